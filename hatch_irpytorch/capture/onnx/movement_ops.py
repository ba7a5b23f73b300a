"""ONNX ops that move, cut, repeat or join entries, and those that ask for a shape."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.onnx.tensors import Call, Constant, axis_of
from hatch_irpytorch.capture.selections import movement as m
from hatch_irpytorch.capture.selections import tables
from hatch_irpytorch.capture.selections.gathering import gather, take_all
from hatch_irpytorch.capture.selections.replacing import scatter
from hatch_irpytorch.capture.selections.scattering import reduced_at
from hatch_irpytorch.capture.selections.selection import slice_axis, take
from hatch_irpytorch.ir.shapes import numel

Handler = Callable[[Call], Any]


def _reshape(c: Call) -> Value:
    wanted = c.ints_of("shape", 1, "a shape") or []
    own = c.x.shape
    if min(wanted, default=0) < -1 or wanted.count(-1) > 1:
        raise InexpressibleError(f"extents of {wanted}, of which one may be -1 and none below")
    if not c.get("allowzero", 0):
        wanted = [own[axis] if n == 0 else n for axis, n in enumerate(wanted)]
    known = numel(tuple(n for n in wanted if n != -1))
    free = numel(own) // max(known, 1)
    return c.b.reshape(c.x, [free if n == -1 else n for n in wanted])


def _flatten(c: Call) -> Value:
    axis = c.get("axis", 1)
    axis = axis if axis == c.x.rank else axis_of(axis, c.x.rank)
    return c.b.reshape(c.x, (numel(c.x.shape[:axis]), numel(c.x.shape[axis:])))


def _transpose(c: Call) -> Value:
    perm = list(c.get("perm", range(c.x.rank)[::-1]))
    if sorted(perm) != list(range(c.x.rank)):
        raise InexpressibleError(f"the axes {perm} in the place of {c.x.rank}")
    return c.b.permute(c.x, perm)


def _squeeze(c: Call) -> Value:
    axes = c.ints_of("axes", 1, "axes")
    chosen = [i for i, n in enumerate(c.x.shape) if n == 1] if axes is None else axes
    dropped = {axis_of(axis, c.x.rank) for axis in chosen}
    if any(c.x.shape[axis] != 1 for axis in dropped):
        raise InexpressibleError(f"the axes {chosen} of a tensor of shape {c.x.shape}")
    return c.b.reshape(c.x, [n for i, n in enumerate(c.x.shape) if i not in dropped])


def _unsqueeze(c: Call) -> Value:
    axes = c.ints_of("axes", 1, "axes") or []
    rank = c.x.rank + len(axes)
    added = {axis_of(axis, rank) for axis in axes}
    if len(added) < len(axes):
        raise InexpressibleError(f"the axes {axes}, of which one is given twice")
    rest = iter(c.x.shape)
    return c.b.reshape(c.x, [1 if axis in added else next(rest) for axis in range(rank)])


def _concat(c: Call) -> Value:
    values = c.values()
    return c.b.concat(values, axis_of(c.get("axis", 1), values[0].rank))


def _split(c: Call) -> list[Value]:
    axis = c.get("axis", 0)
    extent = c.x.shape[axis]
    sizes = c.ints_of("split", 1, "sizes")
    if sizes is not None and (min(sizes, default=0) < 0 or sum(sizes) != extent):
        raise InexpressibleError(f"parts that are not the {extent} positions of the axis")
    if sizes is None:
        count = c.get("num_outputs", len(c.outputs))
        size = -(-extent // count)
        c.b.budget.spend(nodes=count)
        sizes = [min(size, max(extent - i * size, 0)) for i in range(count)]
    starts = np.cumsum([0, *sizes])
    return [slice_axis(c.b, c.x, axis, int(a), int(z)) for a, z in itertools.pairwise(starts)]


def _slice(c: Call) -> Value | Constant:
    starts = c.ints_of("starts", 1, "a start") or []
    ends = c.ints_of("ends", 2, "an end") or []
    axes = c.ints_of("axes", 3, "axes")
    steps = c.ints(4, "a step") if c.has(4) else [1] * len(starts)
    x = c.tensor(0)
    if axes is None:
        axes = list(range(len(starts)))
    numbers = [axis_of(axis, len(x.shape)) for axis in axes]
    if len(set(numbers)) < len(numbers):
        raise InexpressibleError(f"a slice along the axes {axes}, of which one is given twice")
    for axis, start, end, step in zip(numbers, starts, ends, steps, strict=True):
        chosen = _run(x.shape[axis], start, end, step)
        if isinstance(x, Value):
            x = take(c.b, x, axis, chosen)
        else:
            c.b.budget.spend_for_a_while(len(chosen))
            x = np.take(x, np.array(chosen, dtype=np.int64), axis)
    return x


_NO_END = (2**31 - 1, 2**63 - 1)


def _run(extent: int, start: int, end: int, step: int) -> range:
    """The positions of a slice, whose bounds are moved to the nearest ones that an axis has."""
    if not step:
        raise InexpressibleError("a slice with a step of 0")
    if step < 0 and end in _NO_END:
        # ONNX Runtime goes on to the first entry; by the standard there is none.
        raise InexpressibleError(f"a slice backwards to {end}, which has two meanings")
    start, end = (i + extent if i < 0 else i for i in (start, end))
    low, high = (0, extent) if step > 0 else (-1, extent - 1)
    first = min(max(start, 0), high)
    return range(first, min(max(end, low), high), step) if extent else range(0)


def _gather(c: Call) -> Value:
    axis = axis_of(c.get("axis", 0), c.value(0).rank)
    x = c.value(0)
    if not c.is_constant(1):
        return tables.look_up(c.b, x, c.value(1), axis, "an index")
    indices = c.array(1, "an index")
    return take_all(c.b, x, axis, indices.astype(np.int64))


def _grid(c: Call, x: Value) -> Constant:
    """The flat position of each entry."""
    c.b.budget.spend_for_a_while(numel(x.shape))
    return np.arange(numel(x.shape)).reshape(x.shape)


def _by_positions(c: Call, x: Value, move: Callable[[Constant], Constant]) -> Value:
    """Any movement that NumPy can do on a grid of flat positions."""
    grid = move(_grid(c, x))
    return gather(c.b, x, grid, tuple(grid.shape))


def _elements_of(c: Call, grid: Constant, position: int = 1) -> Constant:
    axis = axis_of(c.get("axis", 0), grid.ndim)
    indices, extent = c.array(position, "an index"), grid.shape[axis]
    if indices.size and not -extent <= indices.min() <= indices.max() < extent:
        raise InexpressibleError(f"positions beyond an axis of {extent}")
    wrapped = np.where(indices < 0, indices + extent, indices)
    if all(i <= n for i, n in zip(indices.shape, grid.shape, strict=True)):
        cut = [slice(n) for n in indices.shape]
        cut[axis] = slice(None)
        grid = grid[tuple(cut)]
    return np.take_along_axis(grid, wrapped, axis)


def _gather_elements(c: Call) -> Value:
    if not c.is_constant(1):
        axis = axis_of(c.get("axis", 0), c.x.rank)
        return tables.gather(c.b, c.x, c.value(1), axis, "an index")
    return _by_positions(c, c.x, lambda grid: _elements_of(c, grid))


def _entries_of(c: Call, grid: Constant, batch: int = 0) -> Constant:
    """`grid` at the index vectors of the second input, each batch on its own."""
    indices = c.array(1, "an index")
    lead = indices.shape[:batch]
    grid = grid.reshape(numel(grid.shape[:batch]), *grid.shape[batch:])
    rows = indices.reshape(len(grid), *indices.shape[batch:])
    found = [part[tuple(np.moveaxis(row, -1, 0))] for part, row in zip(grid, rows, strict=True)]
    return np.stack(found).reshape(*lead, *found[0].shape)


def _gather_nd(c: Call) -> Value:
    if not c.is_constant(1):
        if c.get("batch_dims", 0):
            raise InexpressibleError("index vectors of each batch that depend on the input")
        return tables.look_up_vectors(c.b, c.x, c.value(1), "an index")
    return _by_positions(c, c.x, lambda grid: _entries_of(c, grid, c.get("batch_dims", 0)))


def _scatter_elements(c: Call) -> Value:
    x = c.value(0)
    return _scattered(c, x, _elements_of(c, _grid(c, x)))


def _scatter_nd(c: Call) -> Value:
    x = c.value(0)
    return _scattered(c, x, _entries_of(c, _grid(c, x)))


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _scattered(c: Call, x: Value, positions: Constant) -> Value:
    reduction = c.get("reduction", "none")
    if reduction != "none":
        places = positions.astype(np.int64)
        return reduced_at(c.b, x, places, c.value(2), _REDUCTIONS[reduction], with_own=True)
    return scatter(c.b, x, positions, c.value(2))


def _expand(c: Call) -> Value:
    return c.b.broadcast(c.x, np.broadcast_shapes(c.x.shape, tuple(c.ints(1, "a shape"))))


def _tile(c: Call) -> Value:
    counts = c.ints(1, "a count")
    if min(counts, default=0) < 0:
        raise InexpressibleError(f"a tensor that is repeated {min(counts)} times")
    return m.tile(c.b, c.x, counts)


_MODES = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


def _pad(c: Call) -> Value:
    given = c.ints_of("pads", 1, "padding") or []
    axes = c.ints(3, "axes") if c.has(3) else list(range(len(given) // 2))
    half = len(given) // 2
    pads = [(0, 0)] * c.x.rank
    for position, axis in enumerate(axes):
        pads[axis_of(axis, c.x.rank)] = given[position], given[half + position]
    mode = c.get("mode", "constant")
    for extent, pair in zip(c.x.shape, pads, strict=True):
        left = extent + sum(min(amount, 0) for amount in pair)
        if left < 0 or (mode == "reflect" and max(pair) >= max(left, 1)):
            raise InexpressibleError(f"padding of {pair} of an axis of {extent} (`{mode}`)")
    if mode != "constant":
        return m.pad_by_positions(c.b, c.x, pads, _MODES[mode])
    value = c.get("value", 0.0)
    if c.has(2):
        value = float(c.reals(2, "a padding value").reshape(()))
    return m.pad_constant(c.b, c.x, pads, value)


def _depth_to_space(c: Call) -> Value:
    size = c.get("blocksize", 1)
    batch, channels, height, width = c.x.shape
    depth = channels // size**2
    if c.get("mode", "DCR") == "DCR":
        split = c.b.reshape(c.x, (batch, size, size, depth, height, width))
        turned = c.b.permute(split, [0, 3, 4, 1, 5, 2])
    else:
        split = c.b.reshape(c.x, (batch, depth, size, size, height, width))
        turned = c.b.permute(split, [0, 1, 4, 2, 5, 3])
    return c.b.reshape(turned, (batch, depth, height * size, width * size))


def _space_to_depth(c: Call) -> Value:
    size = c.get("blocksize", 1)
    batch, channels, height, width = c.x.shape
    split = c.b.reshape(c.x, (batch, channels, height // size, size, width // size, size))
    depth_first = c.get("mode", "DCR") == "DCR"
    turned = c.b.permute(split, [0, 3, 5, 1, 2, 4] if depth_first else [0, 1, 3, 5, 2, 4])
    return c.b.reshape(turned, (batch, channels * size**2, height // size, width // size))


def _trilu(c: Call) -> Value:
    diagonal = int(c.array(1, "a diagonal").reshape(())) if c.has(1) else 0
    c.b.budget.spend_for_a_while(numel(c.x.shape[-2:]))
    keep = np.triu if c.get("upper", 1) else np.tril
    mask = keep(np.ones(c.x.shape[-2:], dtype=np.bool_), diagonal)
    return e.chosen(c.b, mask, c.x, c.b.full((), 0.0))


def _compress(c: Call) -> Value:
    kept = np.flatnonzero(c.array(1, "a condition"))
    if "axis" in c.attributes:
        return take(c.b, c.x, axis_of(c.get("axis", 0), c.x.rank), kept.tolist())
    return take(c.b, c.b.reshape(c.x, (numel(c.x.shape),)), 0, kept.tolist())


def _reverse_sequence(c: Call) -> Value:
    time, batch = c.get("time_axis", 0), c.get("batch_axis", 1)
    lengths = c.ints(1, "a length")

    def move(grid: Constant) -> Constant:
        result = np.moveaxis(grid, (batch, time), (0, 1)).copy()
        for row, length in zip(result, lengths, strict=True):
            row[:length] = row[:length][::-1].copy()
        return np.moveaxis(result, (0, 1), (batch, time))

    return _by_positions(c, c.x, move)


def _shape(c: Call) -> Constant:
    return np.array(c.x.shape[c.get("start", 0) : c.get("end", None)], dtype=np.int64)


def _size(c: Call) -> Constant:
    return np.array(numel(c.x.shape), dtype=np.int64)


OPS: dict[str, Handler] = {
    "Compress": _compress,
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Pad": _pad,
    "Reshape": _reshape,
    "ReverseSequence": _reverse_sequence,
    "Scatter": _scatter_elements,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
}
"""By op type."""
