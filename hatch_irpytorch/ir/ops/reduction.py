"""Sums, means and the mean squared error."""

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
    call,
    numel,
    require_axis,
    require_same,
)
from hatch_irpytorch.ir.symbolic import NotFreeError, SymbolicShape, is_batch, is_free, without_axis


@dataclass(frozen=True)
class Sum(Op, tag="sum"):
    """Sum of all entries, 0 when there are none. torchlean.ir.v1: sum."""

    gives_positive_zero = True

    def infer(self, x: Shape) -> Shape:
        return ()

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        if any(map(is_batch, x)):
            raise NotFreeError("sums all entries")
        return [()]

    def reference(self, x: Array) -> Array:
        return np.asarray(x.sum())

    def torch(self, at: Site) -> Code:
        return call("torch.sum", at.x)


@dataclass(frozen=True)
class _ReduceAxis(Op):
    axis: int

    def infer(self, x: Shape) -> Shape:
        require_axis(self.axis, x)
        if x[self.axis] == 0:
            raise RuleError("axis", f"axis {self.axis} of {x}", "an axis with a positive extent")
        return x[: self.axis] + x[self.axis + 1 :]

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        if is_batch(x[self.axis]):
            raise NotFreeError(f"reduces axis {self.axis}")
        return [without_axis(x, self.axis)]


@dataclass(frozen=True)
class ReduceSum(_ReduceAxis, tag="reduce_sum"):
    """Sum along one axis. torchlean.ir.v1: reduce_sum."""

    gives_positive_zero = True

    def reference(self, x: Array) -> Array:
        return np.asarray(x.sum(axis=self.axis))

    def torch(self, at: Site) -> Code:
        return call("torch.sum", at.x, dim=self.axis)


@dataclass(frozen=True)
class ReduceMean(_ReduceAxis, tag="reduce_mean"):
    """Mean along one axis. torchlean.ir.v1: reduce_mean."""

    gives_positive_zero = True

    def reference(self, x: Array) -> Array:
        return np.asarray(x.sum(axis=self.axis) / x.shape[self.axis])

    def torch(self, at: Site) -> Code:
        return call("torch.mean", at.x, dim=self.axis)


@dataclass(frozen=True)
class MseLoss(Op, tag="mse_loss"):
    """Mean of squared differences, 0 for empty tensors. torchlean.ir.v1: mse_loss, 6.5."""

    gives_positive_zero = True

    parents = 2

    def infer(self, a: Shape, b: Shape) -> Shape:
        require_same(a, b)
        return ()

    def infer_symbolic(self, out: Shape, a: SymbolicShape, b: SymbolicShape) -> list[SymbolicShape]:
        if any(map(is_free, (*a, *b))):
            raise NotFreeError("averages over all entries")
        return [()]

    def passes_gradient(self, *shapes: Shape) -> bool:
        return numel(shapes[0]) > 0

    def reference(self, a: Array, b: Array) -> Array:
        return np.asarray(((a - b) ** 2).sum() / max(a.size, 1))

    def torch(self, at: Site) -> Code:
        if numel(at.shapes[0]) == 0:
            return call("F.mse_loss", at.x, at.y, reduction='"sum"')
        return call("F.mse_loss", at.x, at.y)
