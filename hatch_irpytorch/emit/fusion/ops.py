"""Ops that only `fuse: true` makes: one call of PyTorch for several nodes of a graph."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hatch_irpytorch.ir.ops.base import (
    Buffer,
    Code,
    Function,
    Mask,
    Op,
    Shape,
    Site,
    Slot,
    call,
)
from hatch_irpytorch.ir.ops.learned import LearnedWeight


@dataclass(frozen=True)
class FusedAttention(Op, tag="fused_attention", prefix="attention"):
    """softmax(scale * q kᵀ + bias) v over parents q, k, v and, when biased, the bias.

    `key_order` is the order of axes that k gets first.
    """

    gives_positive_zero = True

    scale: float
    key_order: tuple[int, ...]
    causal: bool = False
    mask: Mask | None = None

    parents = None

    def buffers(self, at: Site) -> tuple[Buffer, ...]:
        return () if self.mask is None else (Buffer("mask", table=self.mask),)

    def torch(self, at: Site) -> Code:
        keywords: dict[str, Code | float | bool] = {}
        if len(at.parents) > 3:
            keywords["attn_mask"] = at.parents[3]
        if self.mask is not None:
            keywords["attn_mask"] = at.slot("mask")
        if self.causal:
            keywords["is_causal"] = True
        if not math.isclose(self.scale, at.shapes[0][-1] ** -0.5, rel_tol=1e-6):
            keywords["scale"] = self.scale
        query, key, value = at.parents[:3]
        return call("F.scaled_dot_product_attention", query, self._turned(key), value, **keywords)

    def _turned(self, key: str) -> Code:
        moved = [axis for axis, source in enumerate(self.key_order) if axis != source]
        if len(moved) == 2:
            return call(f"{key}.transpose", *moved)
        return call(f"{key}.permute", *self.key_order) if moved else key


@dataclass(frozen=True)
class FusedLinears(Op, tag="fused_linears", prefix="linears"):
    """Affine maps of one value as one product, split into the nodes `children`, this one first."""

    children: tuple[int, ...]
    widths: tuple[int, ...]
    learnable: LearnedWeight

    payload_fields = ("weight", "bias")

    def payload(self, x: Shape) -> tuple[Slot, ...]:
        outputs, learned = sum(self.widths), self.learnable
        return (
            Slot("weight", "W", (outputs, x[-1]), learned.weight),
            Slot("bias", "b", (outputs,), learned.bias),
        )

    def torch(self, at: Site) -> Code:
        product = call("F.linear", at.x, at.slot("W"), at.slot("b"))
        return call("torch.split", product, f"{list(self.widths)}", dim=-1)


@dataclass(frozen=True)
class Part(Op, tag="part"):
    """A later child of its parent's `FusedLinears`: assigned there, so it has no line."""


CLAMP = Function(
    "clamp",
    '''\
def clamp(
    x: torch.Tensor, low: float | None = None, high: float | None = None
) -> torch.Tensor:
    """x cut off at the bounds, where half of the gradient passes; `torch.clamp` passes it all."""
    if low is not None:
        x = torch.maximum(x, x.new_full((), low))
    return x if high is None else torch.minimum(x, x.new_full((), high))
''',
)


@dataclass(frozen=True)
class WithScalar(Op, tag="with_scalar"):
    """One of `+ - * max min` with a number on the right, or `-` with it on the left."""

    sign: str
    number: str
    left: bool = False

    def torch(self, at: Site) -> Code:
        if self.sign in ("max", "min"):
            bound = "low" if self.sign == "max" else "high"
            return call(CLAMP, at.x, **{bound: self.number})
        if self.left:
            return f"{self.number} {self.sign} {at.x}"
        if self.sign == "+" and self.number.startswith("-"):
            return f"{at.x} - {self.number[1:]}"
        return f"{at.x} {self.sign} {self.number}"


@dataclass(frozen=True)
class Clamp(Op, tag="fused_clamp"):
    """The entries cut off at `low` and at `high`."""

    low: str
    high: str

    def torch(self, at: Site) -> Code:
        return call(CLAMP, at.x, low=self.low, high=self.high)


@dataclass(frozen=True)
class Cut(Op, tag="cut"):
    """The entries of an axis from `start` to `stop`, every `step`-th; the axis counts from -1."""

    axis: int
    start: int
    stop: int
    step: int

    def torch(self, at: Site) -> Code:
        start = str(self.start) if self.start else ""
        step = f":{self.step}" if self.step > 1 else ""
        others = [":"] * (-1 - self.axis)
        return f"{at.x}[{', '.join(['...', f'{start}:{self.stop}{step}', *others])}]"


@dataclass(frozen=True)
class Means(Op, tag="means"):
    """The mean over several axes of the parent."""

    axes: tuple[int, ...]

    def torch(self, at: Site) -> Code:
        return call("torch.mean", at.x, dim=self.axes)


@dataclass(frozen=True)
class Embedding(Op, tag="fused_embedding"):
    """The rows of a table, the second parent, at the whole numbers (..., 1) of the first."""

    parents = 2

    def torch(self, at: Site) -> Code:
        return call("F.embedding", f"{at.x}.squeeze(-1).long()", at.y)


@dataclass(frozen=True)
class OneCall(Op, tag="one_call"):
    """A function of PyTorch over the parents, known by its name here."""

    name: str
    dim: int | None = None

    parents = None

    def torch(self, at: Site) -> Code:
        function, keywords = _CALLS[self.name]
        if self.dim is not None:
            return call(function, *at.parents, dim=self.dim)
        return call(function, *at.parents, **keywords)


_CALLS: dict[str, tuple[str, dict[str, Code]]] = {
    "addcmul": ("torch.addcmul", {}),
    "gelu": ("F.gelu", {}),
    "log_softmax": ("F.log_softmax", {}),
    "silu": ("F.silu", {}),
    "tanh_gelu": ("F.gelu", {"approximate": '"tanh"'}),
}
