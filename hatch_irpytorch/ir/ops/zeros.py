"""Maximum and minimum that tell +0 from -0, for what an `inv` sees. torchlean.ir.v1: 6.6."""

from __future__ import annotations

from hatch_irpytorch.ir.ops.code import Function

MAXIMUM = Function(
    "maximum",
    '''\
def maximum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The larger entry; of two zeros -0 only where both are, which `torch.maximum` leaves open."""
    return torch.where((a == 0) & (b == 0), (a + b) / 2, torch.maximum(a, b))
''',
)

MINIMUM = Function(
    "minimum",
    '''\
def minimum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The smaller entry; of two zeros -0 where one is, which `torch.minimum` leaves open."""
    return torch.where((a == 0) & (b == 0), -(-a - b) / 2, torch.minimum(a, b))
''',
)
