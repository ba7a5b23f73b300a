"""Softmax along an axis, and softmax over the entries that a fixed mask allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hatch_irpytorch.ir.ops.base import (
    Array,
    Buffer,
    Code,
    Function,
    Mask,
    Op,
    RuleError,
    Shape,
    Site,
    call,
    numel,
    require_axis,
    require_shape,
)
from hatch_irpytorch.ir.symbolic import NotFreeError, SymbolicShape, is_batch, is_free, lined_up


@dataclass(frozen=True)
class Softmax(Op, tag="softmax"):
    """Softmax along one axis. torchlean.ir.v1: softmax."""

    hides_zero_sign = True

    axis: int

    def infer(self, x: Shape) -> Shape:
        require_axis(self.axis, x)
        return x

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        if is_batch(x[self.axis]):
            raise NotFreeError(f"takes a softmax along axis {self.axis}")
        return [x]

    def reference(self, x: Array) -> Array:
        if x.size == 0:
            return x
        e: Array = np.exp(x - x.max(axis=self.axis, keepdims=True))
        return np.asarray(e / e.sum(axis=self.axis, keepdims=True))

    def torch(self, at: Site) -> Code:
        return call("torch.softmax", at.x, dim=self.axis)


HARD_MASKED_SOFTMAX = Function(
    "hard_masked_softmax",
    '''\
def hard_masked_softmax(x: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Softmax over the allowed entries of each row of the last axis, 0 elsewhere."""
    y = torch.softmax(x.masked_fill(~allowed, float("-inf")), dim=-1)
    return y.masked_fill(~allowed, 0.0)
''',
)


@dataclass(frozen=True)
class HardMaskedSoftmax(Op, tag="hard_masked_softmax"):
    """Softmax over the allowed entries of each last-axis row. torchlean.ir.v1: N5, 2.6."""

    hides_zero_sign = True

    mask: Mask

    def infer(self, x: Shape) -> Shape:
        require_shape("mask.shape", self.mask.shape, x)
        if len(self.mask.allowed) != numel(x):
            expected = f"{numel(x)} booleans for a mask of {x}"
            raise RuleError("mask.allowed", f"{len(self.mask.allowed)} booleans", expected)
        return x

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        if not x or is_free(x[-1]):
            raise NotFreeError("takes a softmax along its last axis")
        self.narrowed(x)
        return [x]

    def narrowed(self, x: SymbolicShape) -> HardMaskedSoftmax:
        """The same with a mask of one entry along free axes. Raises `NotFreeError` if it varies."""
        axes = [axis for axis, _ in lined_up(self.mask.shape, x)]
        if all(self.mask.shape[axis] == 1 for axis in axes):
            return self
        allowed = np.array(self.mask.allowed, dtype=np.bool_).reshape(self.mask.shape)
        kept = allowed
        for axis in axes:
            kept = kept.take([0], axis=axis)
        if not (allowed == kept).all():
            raise NotFreeError("masks each sample in another way")
        return HardMaskedSoftmax(Mask(kept.shape, tuple(kept.reshape(-1).tolist())))

    def reference(self, x: Array) -> Array:
        allowed = np.array(self.mask.allowed, dtype=np.bool_).reshape(x.shape)
        if x.ndim == 0 or x.size == 0:
            return np.where(allowed, 1.0 + 0.0 * x, 0.0)
        kept = np.where(allowed, x, -np.inf)
        top = kept.max(axis=-1, keepdims=True)
        e = np.where(allowed, np.exp(kept - top), 0.0)
        total = e.sum(axis=-1, keepdims=True)
        return np.where(allowed, e / total, 0.0)

    def buffers(self, at: Site) -> tuple[Buffer, ...]:
        return (Buffer("mask", table=self.mask),)

    def torch(self, at: Site) -> Code:
        return call(HARD_MASKED_SOFTMAX, at.x, at.slot("mask"))
