"""ATen ops that move, cut, repeat or join entries."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hatch_irpytorch.capture.builder import Value
from hatch_irpytorch.capture.pytorch.arguments import Handler, Ints
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor
from hatch_irpytorch.capture.selections import movement as m
from hatch_irpytorch.capture.selections.cuts import repeat_entries
from hatch_irpytorch.capture.selections.selection import select, slice_axis, take
from hatch_irpytorch.ir.shapes import numel


def _view(c: Context, x: Tensor, shape: Ints) -> Value:
    y = c.value(x)
    known = [extent for extent in shape if extent != -1]
    free = numel(y.shape) // max(numel(tuple(known)), 1)
    return c.builder.reshape(y, [free if extent == -1 else extent for extent in shape])


def _flatten(c: Context, x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Value:
    y = c.value(x)
    if not y.rank:
        return c.builder.reshape(y, (1,))
    start, end = start_dim % y.rank, end_dim % y.rank
    middle = numel(y.shape[start : end + 1])
    return c.builder.reshape(y, (*y.shape[:start], middle, *y.shape[end + 1 :]))


def _unflatten(c: Context, x: Tensor, dim: int, sizes: Ints) -> Value:
    y = c.value(x)
    dim %= y.rank
    known = numel(tuple(size for size in sizes if size != -1))
    whole = [y.shape[dim] // max(known, 1) if size == -1 else size for size in sizes]
    return c.builder.reshape(y, (*y.shape[:dim], *whole, *y.shape[dim + 1 :]))


def _squeeze(c: Context, x: Tensor, dim: int | Ints | None = None) -> Value:
    y = c.value(x)
    dims = range(y.rank) if dim is None else [dim] if isinstance(dim, int) else dim
    chosen = {d % max(y.rank, 1) for d in dims}
    kept = [n for axis, n in enumerate(y.shape) if axis not in chosen or n != 1]
    return c.builder.reshape(y, kept)


def _unsqueeze(c: Context, x: Tensor, dim: int) -> Value:
    y = c.value(x)
    dim %= y.rank + 1
    return c.builder.reshape(y, (*y.shape[:dim], 1, *y.shape[dim:]))


def _permute(c: Context, x: Tensor, dims: Ints) -> Value:
    return c.builder.permute(c.value(x), dims)


def _transpose(c: Context, x: Tensor, dim0: int, dim1: int) -> Value:
    return c.builder.transpose(c.value(x), dim0, dim1)


def _t(c: Context, x: Tensor) -> Value:
    y = c.value(x)
    return y if y.rank < 2 else c.builder.transpose(y, 0, 1)


def _expand(c: Context, x: Tensor, sizes: Ints, *, implicit: bool = False) -> Value:
    y = c.value(x)
    shape = (1,) * (len(sizes) - y.rank) + y.shape
    pairs = zip(sizes, shape, strict=True)
    return c.builder.broadcast(y, [own if size == -1 else size for size, own in pairs])


def _repeat(c: Context, x: Tensor, repeats: Ints) -> Value:
    return m.tile(c.builder, c.value(x), repeats)


def _repeat_interleave(
    c: Context, x: Tensor, repeats: Tensor | int, dim: int | None = None, **_: object
) -> Value:
    y, b = c.value(x), c.builder
    if dim is None:
        y, dim = b.reshape(y, (numel(y.shape),)), 0
    if isinstance(repeats, int):
        return repeat_entries(b, y, dim, repeats)
    counts = c.constant(repeats, "a count").reshape(-1)
    positions = torch.arange(y.shape[dim]).repeat_interleave(counts.expand(y.shape[dim]))
    return take(b, y, dim, positions.tolist())


def _cat(c: Context, tensors: Sequence[Tensor], dim: int = 0) -> Value:
    values = [c.value(t) for t in tensors]
    kept = [value for value in values if value.shape != (0,)] or values[:1]
    return c.builder.concat(kept, dim)


def _stack(c: Context, tensors: Sequence[Tensor], dim: int = 0) -> Value:
    values = [c.value(t) for t in tensors]
    dim %= values[0].rank + 1
    unit = [c.builder.reshape(v, (*v.shape[:dim], 1, *v.shape[dim:])) for v in values]
    return c.builder.concat(unit, dim)


def _slice(
    c: Context,
    x: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Value:
    y = c.value(x)
    return take(c.builder, y, dim, range(y.shape[dim])[start:end:step])


def _select(c: Context, x: Tensor, dim: int, index: int) -> Value:
    return select(c.builder, c.value(x), dim, index)


def _narrow(c: Context, x: Tensor, dim: int, start: int, length: int) -> Value:
    y = c.value(x)
    start %= max(y.shape[dim], 1)
    return slice_axis(c.builder, y, dim, start, start + length)


def _parts(c: Context, x: Tensor, sizes: Ints, dim: int) -> list[Value]:
    y, parts, start = c.value(x), [], 0
    for size in sizes:
        parts.append(slice_axis(c.builder, y, dim, start, start + size))
        start += size
    return parts


def _split_with_sizes(c: Context, x: Tensor, sizes: Ints, dim: int = 0) -> list[Value]:
    return _parts(c, x, sizes, dim)


def _split(c: Context, x: Tensor, size: int | Ints, dim: int = 0) -> list[Value]:
    if not isinstance(size, int):
        return _parts(c, x, size, dim)
    extent = c.value(x).shape[dim]
    starts = range(0, extent, size) if extent else range(1)
    return _parts(c, x, [min(size, extent - start) for start in starts], dim)


def _chunk(c: Context, x: Tensor, chunks: int, dim: int = 0) -> list[Value]:
    extent = c.value(x).shape[dim]
    return _split(c, x, max(-(-extent // chunks), 1), dim)


def _unbind(c: Context, x: Tensor, dim: int = 0) -> list[Value]:
    y = c.value(x)
    return [select(c.builder, y, dim, i) for i in range(y.shape[dim])]


def _unfold(c: Context, x: Tensor, dimension: int, size: int, step: int) -> Value:
    y, b = c.value(x), c.builder
    if not y.rank:
        return b.reshape(y, (size,))
    dim = dimension % max(y.rank, 1)
    starts = range(0, y.shape[dim] - size + 1, step)
    part = take(b, y, dim, [i + k for i in starts for k in range(size)])
    wide = b.reshape(part, (*y.shape[:dim], len(starts), size, *y.shape[dim + 1 :]))
    order = [axis for axis in range(wide.rank) if axis != dim + 1]
    return b.permute(wide, [*order, dim + 1])


def _flip(c: Context, x: Tensor, dims: Ints) -> Value:
    return m.flip(c.builder, c.value(x), dims)


def _roll(c: Context, x: Tensor, shifts: int | Ints, dims: int | Ints = ()) -> Value:
    y, b = c.value(x), c.builder
    amounts = [shifts] if isinstance(shifts, int) else shifts
    axes = [dims] if isinstance(dims, int) else dims
    if not axes:
        flat = b.reshape(y, (numel(y.shape),))
        return b.reshape(m.roll(b, flat, 0, amounts[0]), y.shape)
    for amount, axis in zip(amounts, axes, strict=True):
        y = m.roll(b, y, axis % y.rank, amount)
    return y


def _pairs(x: Value, pad: Ints) -> list[tuple[int, int]]:
    """torch's flat padding, last axis first, as (before, after) of every axis."""
    given = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)][::-1]
    return [(0, 0)] * (x.rank - len(given)) + given


def _constant_pad(c: Context, x: Tensor, pad: Ints, value: float = 0.0) -> Value:
    y = c.value(x)
    return m.pad_constant(c.builder, y, _pairs(y, pad), float(value))


_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _pad(
    c: Context, x: Tensor, pad: Ints, mode: str = "constant", value: float | None = None
) -> Value:
    y = c.value(x)
    if mode == "constant":
        return m.pad_constant(c.builder, y, _pairs(y, pad), value or 0.0)
    return m.pad_by_positions(c.builder, y, _pairs(y, pad), _MODES[mode])


def _pad_as(mode: str) -> Handler:
    return lambda c, x, padding: _pad(c, x, padding, mode)


def _pixel_shuffle(c: Context, x: Tensor, factor: int) -> Value:
    y, b = c.value(x), c.builder
    *lead, channels, height, width = y.shape
    out, n = channels // factor**2, len(lead)
    split = b.reshape(y, (*lead, out, factor, factor, height, width))
    turned = b.permute(split, [*range(n), n, n + 3, n + 1, n + 4, n + 2])
    return b.reshape(turned, (*lead, out, height * factor, width * factor))


def _pixel_unshuffle(c: Context, x: Tensor, factor: int) -> Value:
    y, b = c.value(x), c.builder
    *lead, channels, height, width = y.shape
    rows, columns, n = height // factor, width // factor, len(lead)
    split = b.reshape(y, (*lead, channels, rows, factor, columns, factor))
    turned = b.permute(split, [*range(n), n, n + 2, n + 4, n + 1, n + 3])
    return b.reshape(turned, (*lead, channels * factor**2, rows, columns))


def _channel_shuffle(c: Context, x: Tensor, groups: int) -> Value:
    y, b = c.value(x), c.builder
    batch, channels, *rest = y.shape
    split = b.reshape(y, (batch, groups, channels // groups, *rest))
    return b.reshape(b.transpose(split, 1, 2), y.shape)


def _new_tensor_shape(c: Context, x: Tensor, value: Tensor | float, **_: object) -> Value:
    return c.builder.broadcast(c.value(value), c.value(x).shape)


OPS: dict[str, Handler] = {
    "_reshape_alias": _view,
    "_unsafe_view": _view,
    "cat": _cat,
    "channel_shuffle": _channel_shuffle,
    "chunk": _chunk,
    "constant_pad_nd": _constant_pad,
    "expand": _expand,
    "fill": _new_tensor_shape,
    "flatten": _flatten,
    "flip": _flip,
    "narrow": _narrow,
    "pad": _pad,
    "permute": _permute,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "reflection_pad1d": _pad_as("reflect"),
    "reflection_pad2d": _pad_as("reflect"),
    "reflection_pad3d": _pad_as("reflect"),
    "repeat": _repeat,
    "repeat_interleave": _repeat_interleave,
    "replication_pad1d": _pad_as("replicate"),
    "replication_pad2d": _pad_as("replicate"),
    "replication_pad3d": _pad_as("replicate"),
    "reshape": _view,
    "roll": _roll,
    "select": _select,
    "slice": _slice,
    "split": _split,
    "split_with_sizes": _split_with_sizes,
    "squeeze": _squeeze,
    "stack": _stack,
    "t": _t,
    "transpose": _transpose,
    "unbind": _unbind,
    "unflatten": _unflatten,
    "unfold": _unfold,
    "unsqueeze": _unsqueeze,
    "view": _view,
}
"""By the name of the ATen op, for all of its overloads."""
