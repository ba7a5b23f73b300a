"""ATen ops that write, add or join entries at constant positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.entries.comparisons import choice
from hatch_irpytorch.capture.layers.columns import fold
from hatch_irpytorch.capture.pytorch.arguments import Handler, Ints, Number, each, geometry
from hatch_irpytorch.capture.pytorch.index_ops import are_flags, by_positions
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor
from hatch_irpytorch.capture.selections import scattering as s
from hatch_irpytorch.capture.selections.replacing import placed, scatter
from hatch_irpytorch.ir.shapes import numel

_KINDS = {"add": "sum", "multiply": "prod"}
"""What `scatter` calls the reductions of `scatter_reduce`."""


def _scattered(
    c: Context, x: Tensor, source: Tensor | float, place: Callable[[torch.Tensor], torch.Tensor]
) -> Value:
    """x with some of its entries replaced; `place` picks their positions out of a grid."""
    y, b = c.value(x), c.builder
    grid = place(torch.arange(numel(y.shape)).reshape(y.shape))
    updates = b.broadcast(c.value(source), tuple(grid.shape))
    return scatter(b, y, grid.numpy(), updates)


def _slice_scatter(
    c: Context,
    x: Tensor,
    source: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Value:
    return _scattered(
        c, x, source, lambda grid: torch.ops.aten.slice.Tensor(grid, dim, start, end, step)
    )


def _select_scatter(c: Context, x: Tensor, source: Tensor, dim: int, index: int) -> Value:
    return _scattered(c, x, source, lambda grid: grid.select(dim, index))


def _index_put(
    c: Context,
    x: Tensor,
    indices: Sequence[Tensor | None],
    values: Tensor,
    accumulate: bool = False,
) -> Value:
    given = [axis for axis, index in enumerate(indices) if index is not None]
    if len(given) == 1 and not accumulate:
        index = indices[given[0]]
        if isinstance(index, Value) and are_flags(c, given[0]):
            return _put_by_flags(c, x, given[0], index, values)
    fixed = [None if i is None else c.constant(i, "an index") for i in indices]
    if not accumulate:
        return _scattered(c, x, values, lambda grid: torch.ops.aten.index.Tensor(grid, fixed))
    b, y = c.builder, c.value(x)
    grid = torch.arange(numel(y.shape)).reshape(y.shape)
    positions = torch.ops.aten.index.Tensor(grid, fixed)
    updates = b.broadcast(c.value(values), tuple(positions.shape))
    used = [axis for axis, index in enumerate(fixed) if index is not None]
    line = fixed[used[0]] if len(used) == 1 else None
    if line is not None and line.dtype != torch.bool and line.dim() == 1:
        return e.add(b, y, s.sums_along(b, updates, used[0], line.numpy(), y.shape[used[0]]))
    return e.add(b, y, s.sums_at(b, updates, positions.numpy(), y.shape))


def _put_by_flags(c: Context, x: Tensor, axis: int, flags: Value, values: Tensor) -> Value:
    """x with the same values wherever flags are 1, which are told for its axes from `axis` on."""
    b, y, source = c.builder, c.value(x), c.value(values)
    after = y.rank - axis - flags.rank
    counted = max(source.rank - after, 0)
    if numel(source.shape[:counted]) != 1:
        raise InexpressibleError("values for as many entries as the input flags")
    wide = b.reshape(flags, (*[1] * axis, *flags.shape, *[1] * after))
    return choice(b, wide, b.reshape(source, source.shape[counted:]), y)


def _scatter(
    c: Context,
    x: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor | float,
    *,
    reduce: str | None = None,
) -> Value:
    if reduce is not None:
        return _scatter_reduce(c, x, dim, index, source, _KINDS[reduce])
    fixed = c.constant(index, "an index")
    written = float(source) if isinstance(source, float | int) else _region(c, source, fixed)
    return _scattered(c, x, written, lambda grid: torch.gather(grid, dim, fixed))


def _region(c: Context, source: Tensor, index: torch.Tensor) -> Value:
    """The part of the source that an index has a place for."""
    cut = tuple(slice(extent) for extent in index.shape)
    return by_positions(c, source, lambda grid: grid[cut])


def _index_add(
    c: Context, x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Number = 1
) -> Value:
    b, y = c.builder, c.value(x)
    fixed = c.constant(index, "an index").reshape(-1).numpy()
    updates = e.scaled(b, c.value(source), float(alpha))
    if not y.rank:
        return e.add(b, y, b.reshape(updates, ()))
    return e.add(b, y, s.sums_along(b, updates, dim % y.rank, fixed, y.shape[dim]))


def _scatter_add(c: Context, x: Tensor, dim: int, index: Tensor, source: Tensor) -> Value:
    return _scatter_reduce(c, x, dim, index, source, "sum")


def _scatter_reduce(
    c: Context,
    x: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor | Number,
    reduce: str,
    *,
    include_self: bool = True,
) -> Value:
    b, y, fixed = c.builder, c.value(x), c.constant(index, "an index")
    if isinstance(source, int | float):
        updates = b.full(tuple(fixed.shape), float(source))
    else:
        updates = _region(c, source, fixed)
    axis = dim % max(y.rank, 1)
    line = _same_for_all(fixed, axis) if reduce == "sum" and include_self and y.rank else None
    if line is not None and _spans(fixed, y, axis):
        return e.add(b, y, s.sums_along(b, updates, axis, line, y.shape[axis]))
    grid = torch.gather(torch.arange(numel(y.shape)).reshape(y.shape), dim, fixed)
    return s.reduced_at(b, y, grid.numpy(), updates, reduce, include_self)


def _same_for_all(index: torch.Tensor, dim: int) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """The positions along an axis, where they are alike whatever the other axes are."""
    others = [axis for axis in range(index.dim()) if axis != dim]
    first = index
    for axis in others:
        first = first.narrow(axis, 0, 1)
    return first.reshape(-1).numpy() if bool((index == first).all()) else None


def _spans(index: torch.Tensor, x: Value, dim: int) -> bool:
    """Whether an index is as long as a tensor along every other axis."""
    return all(index.shape[axis] == n for axis, n in enumerate(x.shape) if axis != dim)


def _col2im(
    c: Context,
    x: Tensor,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints,
    padding: Ints,
    stride: Ints,
) -> Value:
    b, y = c.builder, c.value(x)
    window = geometry(2, stride, padding, dilation)
    batched = y if y.rank == 3 else b.reshape(y, (1, *y.shape))
    folded = fold(b, batched, each(output_size, 2), each(kernel_size, 2), window)
    return folded if y.rank == 3 else b.reshape(folded, folded.shape[1:])


def _max_unpool(
    c: Context,
    x: Tensor,
    indices: Tensor,
    output_size: Ints,
    stride: Ints = (),  # torch looks at the windows for the checks of three axes alone
    padding: Ints = (),
) -> Value:
    """Entries at the places that were pooled, which count in each plane by itself; else 0."""
    y, places = c.value(x), c.constant(indices, "a place").numpy()
    lead = y.shape[: y.rank - len(output_size)]
    size = numel(tuple(output_size))
    if np.any((places < 0) | (places >= size)):
        raise InexpressibleError(f"places beyond {tuple(output_size)}")
    planes = np.arange(numel(lead)).reshape(*lead, *[1] * len(output_size)) * size
    return placed(c.builder, places + planes, y, (*lead, *output_size))


OPS: dict[str, Handler] = {
    "col2im": _col2im,
    "index_add": _index_add,
    "index_put": _index_put,
    "max_unpool2d": _max_unpool,
    "max_unpool3d": _max_unpool,
    "scatter": _scatter,
    "scatter_add": _scatter_add,
    "scatter_reduce": _scatter_reduce,
    "select_scatter": _select_scatter,
    "slice_scatter": _slice_scatter,
}
"""By the name of the ATen op, for all of its overloads."""
