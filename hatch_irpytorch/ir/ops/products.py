"""Affine maps and matrix products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hatch_irpytorch.ir.ops.base import (
    Array,
    Code,
    Op,
    RuleError,
    Shape,
    Site,
    Slot,
    call,
    shape_text,
)
from hatch_irpytorch.ir.ops.learned import EVERY_WEIGHT, LearnedWeight
from hatch_irpytorch.ir.symbolic import (
    NotFreeError,
    Product,
    SymbolicShape,
    is_batch,
    is_free,
    joined,
    lined_up,
    unmixed,
)


@dataclass(frozen=True)
class Linear(Op, tag="linear"):
    """Affine map of the last axis: (..., in) to (..., out). torchlean.ir.v1: linear."""

    gives_positive_zero = True

    shape: Shape
    out_dim: int | None = None
    in_dim: int | None = None
    learnable: LearnedWeight = EVERY_WEIGHT

    from_node = frozenset({"shape"})
    repeated_fields = frozenset({"out_dim", "in_dim"})
    payload_fields = ("weight", "bias")

    def infer(self, x: Shape) -> Shape:
        if not x:
            raise RuleError("parents", x, "a parent of rank 1 or more")
        if not self.shape:
            raise RuleError("shape", self.shape, "rank 1 or more")
        if self.in_dim not in (None, x[-1]):
            raise RuleError("in_dim", self.in_dim, f"{x[-1]}, the last extent of {shape_text(x)}")
        if self.out_dim not in (None, self.shape[-1]):
            expected = f"{self.shape[-1]}, the last extent of `shape`"
            raise RuleError("out_dim", self.out_dim, expected)
        return (*x[:-1], self.shape[-1])

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        if is_free(x[-1]):
            raise NotFreeError(f"maps axis {len(x) - 1} to another")
        return [(*x[:-1], out[-1])]

    def payload(self, x: Shape) -> tuple[Slot, ...]:
        outputs, learned = self.shape[-1], self.learnable
        return (
            Slot("weight", "W", (outputs, x[-1]), learned.weight),
            Slot("bias", "b", (outputs,), learned.bias),
        )

    def reference(self, x: Array, *, weight: Array, bias: Array) -> Array:
        return np.asarray(x @ weight.T + bias)

    def torch(self, at: Site) -> Code:
        return call("F.linear", at.x, at.slot("W"), at.slot("b"))


@dataclass(frozen=True)
class Matmul(Op, tag="matmul"):
    """Matrix product with promotion of vectors. torchlean.ir.v1: matmul, N10."""

    gives_positive_zero = True

    parents = 2

    def infer(self, a: Shape, b: Shape) -> Shape:
        if not a or not b:
            raise RuleError("parents", f"{a} and {b}", "two tensors of rank 1 or more")
        left = a if len(a) > 1 else (1, *a)
        right = b if len(b) > 1 else (*b, 1)
        if left[-1] != right[-2]:
            found = f"{shape_text(a)} and {shape_text(b)}"
            raise RuleError("parents", found, "equal inner extents")
        rows = left[-2:-1] if len(a) > 1 else ()
        columns = right[-1:] if len(b) > 1 else ()
        return _broadcast(left[:-2], right[:-2]) + rows + columns

    def infer_symbolic(self, out: Shape, a: SymbolicShape, b: SymbolicShape) -> list[SymbolicShape]:
        inner = a[-1], b[-2] if len(b) > 1 else b[0]
        if any(map(is_batch, inner)):
            raise NotFreeError("multiplies over the axis that holds the batch")
        if inner[0] != inner[1] and any(map(is_free, inner)):
            raise NotFreeError("multiplies over a free extent and a fixed one")
        rows = a[-2:-1] if len(a) > 1 else ()
        columns = b[-1:] if len(b) > 1 else ()
        return [unmixed((*joined((a[:-2], b[:-2])), *rows, *columns))]

    def repeats(self, parent: SymbolicShape, out: SymbolicShape) -> tuple[tuple[int, Product], ...]:
        beside_a_vector = len(out) < len(parent)
        return lined_up(parent[:-2], out[: -1 if beside_a_vector else -2])

    def reference(self, a: Array, b: Array) -> Array:
        return np.asarray(np.matmul(a, b))

    def torch(self, at: Site) -> Code:
        return call("torch.matmul", at.x, at.y)


def _broadcast(a: Shape, b: Shape) -> Shape:
    rank = max(len(a), len(b))
    left = (1,) * (rank - len(a)) + a
    right = (1,) * (rank - len(b)) + b
    for i, j in zip(left, right, strict=True):
        if i != j and 1 not in (i, j):
            found = f"{shape_text(a)} and {shape_text(b)}"
            raise RuleError("parents", found, "leading axes that are equal or 1")
    return tuple(j if i == 1 else i for i, j in zip(left, right, strict=True))
