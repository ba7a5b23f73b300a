"""Which nodes are layers of `torch.nn`, and what constructs them."""

from __future__ import annotations

from collections.abc import Mapping

from hatch_irpytorch.ir.graph import Graph, Node
from hatch_irpytorch.ir.keys import IN_PYTORCH, Keys, Path
from hatch_irpytorch.ir.ops import LayerNorm
from hatch_irpytorch.ir.ops.code import Call, Code, Function, call
from hatch_irpytorch.ir.ops.convolution import Conv
from hatch_irpytorch.ir.ops.normalization import DEFAULT_EPS, BatchNormEval
from hatch_irpytorch.ir.ops.products import Linear

FROZEN_BATCH_NORM = Function(
    "FrozenBatchNorm",
    '''\
class FrozenBatchNorm(nn.Module):
    """Batch norm by stored statistics, in training too."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(features))
        self.bias = nn.Parameter(torch.empty(features))
        self.register_buffer("running_mean", torch.empty(features))
        self.register_buffer("running_var", torch.empty(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, var = self.running_mean, self.running_var
        return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)
''',
    imports=("from collections.abc import Mapping", "from typing import Any"),
)

WITHOUT_ARRAYS = {
    "F.avg_pool1d": "nn.AvgPool1d",
    "F.avg_pool2d": "nn.AvgPool2d",
    "F.avg_pool3d": "nn.AvgPool3d",
    "F.gelu": "nn.GELU",
    "F.max_pool1d": "nn.MaxPool1d",
    "F.max_pool2d": "nn.MaxPool2d",
    "F.max_pool3d": "nn.MaxPool3d",
    "F.silu": "nn.SiLU",
    "torch.relu": "nn.ReLU",
    "torch.sigmoid": "nn.Sigmoid",
    "torch.softmax": "nn.Softmax",
    "torch.tanh": "nn.Tanh",
}
"""The layer that calls a function of one value."""

_WITH_ARRAYS = frozenset(
    {"F.batch_norm", "F.conv1d", "F.conv2d", "F.conv3d", "F.layer_norm", "F.linear"}
)
"""The functions that layers with arrays call."""


def owner_of(graph: Graph, node: Node, keys: Keys) -> Path | None:
    """The module that a node is the whole of, by the keys of those of its arrays that are held."""
    if not isinstance(node.op, Linear | Conv | LayerNorm | BatchNormEval):
        return None
    fields = [slot.field for slot in graph.slots(node) if (node.id, slot.field) in keys]
    split = [keys[node.id, field].rpartition(".")[::2] for field in fields]
    owners = {owner for owner, _ in split}
    named = all(
        name == IN_PYTORCH.get(field, field) for field, (_, name) in zip(fields, split, strict=True)
    )
    if not fields or not named or len(owners) != 1 or "" in owners:
        return None
    return tuple(owners.pop().split("."))


def constructor(node: Node, x: tuple[int, ...], bias: bool) -> Code:
    """What makes the layer that a node is; `x` is the shape of its parent."""
    op = node.op
    kept: Mapping[str, bool] = {} if bias else {"bias": False}
    if isinstance(op, Linear):
        return call("nn.Linear", x[-1], op.shape[-1], **kept)
    if isinstance(op, Conv):
        if op.spatial_rank == 0:
            return call("nn.Linear", op.in_channels, op.out_channels, **kept)
        symmetric = op.padding == op.padding_after
        geometry = op.keywords(pad=symmetric)
        kernel = op.kernel[0] if len(set(op.kernel)) == 1 else op.kernel
        name = f"nn.Conv{op.spatial_rank}d"
        return call(name, op.in_channels, op.out_channels, kernel, **geometry, **kept)
    if isinstance(op, LayerNorm):
        normalised = x[op.axis :]
        extents = normalised[0] if len(normalised) == 1 else normalised
        eps = {} if op.eps in (None, DEFAULT_EPS) else {"eps": op.eps}
        return call("nn.LayerNorm", extents, **eps, **kept)
    assert isinstance(op, BatchNormEval) and op.eps is not None
    eps = {} if op.eps == DEFAULT_EPS else {"eps": op.eps}
    return call(FROZEN_BATCH_NORM, op.channels, **eps)


def calls_layer(expressions: tuple[Code, ...]) -> bool:
    """Whether the code of a node has a function that a layer calls."""
    return any(called(code, "") is not None for code in expressions)


def called(code: Code, layer: str) -> Code | None:
    """The code of a node with its function called by way of a layer; None where it has another."""
    if isinstance(code, str):
        return None
    if code.function in _WITH_ARRAYS or code.function in WITHOUT_ARRAYS:
        return Call(layer, code.arguments[:1])
    for place, argument in enumerate(code.arguments):
        inner = called(argument, layer)
        if inner is not None:
            arguments = (*code.arguments[:place], inner, *code.arguments[place + 1 :])
            return Call(code.function, arguments, code.keywords)
    return None


def without_arrays(expressions: tuple[Code, ...]) -> Code | None:
    """What constructs the layer that calls the function of a node and holds nothing."""
    (code, *others) = expressions
    if others or isinstance(code, str) or not isinstance(code.function, str):
        return None
    layer = WITHOUT_ARRAYS.get(code.function)
    if layer is None or len(code.arguments) != 1:
        return None
    return Call(layer, (), code.keywords)
