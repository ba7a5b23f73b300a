"""Ops that move, repeat or join entries without changing them."""

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
    require_shape,
    shape_text,
)
from hatch_irpytorch.ir.regrouping import regrouped
from hatch_irpytorch.ir.symbolic import (
    NotFreeError,
    Product,
    SymbolicShape,
    is_batch,
    is_free,
    joined,
    lined_up,
    without_axis,
)


@dataclass(frozen=True)
class BroadcastTo(Op, tag="broadcast_to"):
    """Repeats along new and unit axes. torchlean.ir.v1: broadcast_to, N11."""

    from_shape: Shape
    to_shape: Shape

    def infer(self, x: Shape) -> Shape:
        require_shape("from_shape", self.from_shape, x)
        target = self.to_shape[len(self.to_shape) - len(x) :]
        fits = len(x) <= len(self.to_shape) and all(
            i in (1, j) for i, j in zip(x, target, strict=True)
        )
        if not fits:
            raise RuleError(
                "to_shape", self.to_shape, f"a shape that {shape_text(x)} broadcasts to"
            )
        return self.to_shape

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        start = len(out) - len(x)
        for axis, (extent, wanted) in enumerate(zip(self.from_shape, out[start:], strict=True)):
            if is_free(x[axis]) and extent != wanted:
                raise NotFreeError(f"repeats axis {axis} to {wanted} entries")
        kept = zip(x, out[start:], strict=True)
        return [(*out[:start], *(a if is_free(a) else b for a, b in kept))]

    def reference(self, x: Array) -> Array:
        return np.broadcast_to(x, self.to_shape)

    def torch(self, at: Site) -> Code:
        x, out = at.parent_shapes[0], at.result_shape
        if x == out:
            return at.x
        if not any(map(is_free, out)):
            return call("torch.broadcast_to", at.x, at.out)
        return expanded(at.x, x, out)


def expanded(name: str, x: SymbolicShape, out: SymbolicShape) -> Code:
    """A value repeated to a shape whose free extents it has already."""
    start = len(out) - len(x)
    kept = [-1 if a == b else b for a, b in zip(x, out[start:], strict=True)]
    sizes = tuple([b for b in (*out[:start], *kept) if isinstance(b, int)])
    return call(f"{name}.expand", sizes)


@dataclass(frozen=True)
class Reshape(Op, tag="reshape"):
    """Row-major reinterpretation. torchlean.ir.v1: reshape."""

    in_shape: Shape
    out_shape: Shape

    def infer(self, x: Shape) -> Shape:
        require_shape("in_shape", self.in_shape, x)
        if numel(self.out_shape) != numel(x):
            raise RuleError("out_shape", self.out_shape, f"a shape with {numel(x)} entries")
        return self.out_shape

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        return regrouped(x, out)

    def reference(self, x: Array) -> Array:
        return x.reshape(self.out_shape)

    def torch(self, at: Site) -> Code:
        return _reshaped(at)


@dataclass(frozen=True)
class Flatten(Op, tag="flatten"):
    """Everything into one axis, row-major. torchlean.ir.v1: flatten."""

    value_shape: Shape

    def infer(self, x: Shape) -> Shape:
        require_shape("value_shape", self.value_shape, x)
        return (numel(x),)

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        return regrouped(x, out)

    def reference(self, x: Array) -> Array:
        return x.reshape(-1)

    def torch(self, at: Site) -> Code:
        return _reshaped(at)


def _reshaped(at: Site) -> Code:
    if at.parent_shapes[0] == at.result_shape:
        return at.x
    sizes = at.sizes(at.result_shape)
    return call(f"{at.x}.reshape", *sizes) if sizes else call(f"{at.x}.reshape", ())


@dataclass(frozen=True)
class Permute(Op, tag="permute"):
    """Axes reordered: axis i of the result is axis perm[i] of x. torchlean.ir.v1: permute."""

    perm: tuple[int, ...]

    def infer(self, x: Shape) -> Shape:
        if sorted(self.perm) != list(range(len(x))):
            raise RuleError("perm", self.perm, f"each axis of {shape_text(x)} once")
        return tuple(x[axis] for axis in self.perm)

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        return [tuple(x[axis] for axis in self.perm)]

    def reference(self, x: Array) -> Array:
        return np.transpose(x, self.perm)

    def torch(self, at: Site) -> Code:
        identity = self.perm == tuple(range(len(self.perm)))
        return at.x if identity else call(f"{at.x}.permute", *self.perm)


@dataclass(frozen=True)
class Transpose(Op, tag="transpose"):
    """Two axes exchanged. torchlean.ir.v1: transpose."""

    axis1: int
    axis2: int

    def infer(self, x: Shape) -> Shape:
        require_axis(self.axis1, x, "axis1")
        require_axis(self.axis2, x, "axis2")
        out = list(x)
        out[self.axis1], out[self.axis2] = out[self.axis2], out[self.axis1]
        return tuple(out)

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        order = list(range(len(x)))
        order[self.axis1], order[self.axis2] = order[self.axis2], order[self.axis1]
        return [tuple(x[axis] for axis in order)]

    def reference(self, x: Array) -> Array:
        return np.swapaxes(x, self.axis1, self.axis2)

    def torch(self, at: Site) -> Code:
        if self.axis1 == self.axis2:
            return at.x
        return call(f"{at.x}.transpose", self.axis1, self.axis2)


@dataclass(frozen=True)
class Concat(Op, tag="concat"):
    """Joined along one axis in parent order. torchlean.ir.v1: concat."""

    axis: int

    parents = None

    def infer(self, *shapes: Shape) -> Shape:
        first = shapes[0]
        require_axis(self.axis, first)
        for position, shape in enumerate(shapes):
            rest = shape[: self.axis] + shape[self.axis + 1 :]
            if len(shape) != len(first) or rest != first[: self.axis] + first[self.axis + 1 :]:
                expected = f"like {shape_text(first)} outside axis {self.axis}"
                raise RuleError(f"parents[{position}]", shape, expected)
        total = sum(shape[self.axis] for shape in shapes)
        return (*first[: self.axis], total, *first[self.axis + 1 :])

    def infer_symbolic(self, out: Shape, *shapes: SymbolicShape) -> list[SymbolicShape]:
        rank = len(out)
        along = [shape[self.axis - rank] for shape in shapes]
        if any(map(is_batch, along)):
            raise NotFreeError(f"joins values along axis {self.axis}")
        if any(map(is_free, along)):
            raise NotFreeError(f"joins values along axis {self.axis}")
        rest = joined([without_axis(shape, len(shape) + self.axis - rank) for shape in shapes])
        return [(*rest[: self.axis], out[self.axis], *rest[self.axis :])]

    def repeats(self, parent: SymbolicShape, out: SymbolicShape) -> tuple[tuple[int, Product], ...]:
        return lined_up(parent, out)

    def reference(self, *inputs: Array) -> Array:
        return np.concatenate(inputs, axis=self.axis)

    def torch(self, at: Site) -> Code:
        shapes = zip(at.parents, at.parent_shapes, strict=True)
        parts = call("", *(self._part(at, name, shape) for name, shape in shapes))
        return call("torch.cat", parts, dim=self.axis) if self.axis else call("torch.cat", parts)

    def _part(self, at: Site, name: str, shape: SymbolicShape) -> Code:
        """A parent, repeated along free axes of the result where it has none."""
        out = at.result_shape
        if not any(map(is_free, out)) or (len(shape) == len(out) and not lined_up(shape, out)):
            return name
        added = at.extents(out)[: len(out) - len(shape)]
        lacking = [axis for axis, _ in lined_up(shape, out)]
        sizes = at.extents(out[len(added) :])
        kept = [size if axis in lacking else -1 for axis, size in enumerate(sizes)]
        # In a tuple, where torch.fx sees that a size comes from the input.
        return call(f"{name}.expand", call("", *added, *kept))
