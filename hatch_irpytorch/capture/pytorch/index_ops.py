"""ATen ops that read entries at constant positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.entries import integers
from hatch_irpytorch.capture.pytorch.arguments import Handler, Ints
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor
from hatch_irpytorch.capture.selections import tables
from hatch_irpytorch.capture.selections.gathering import gather, take_all
from hatch_irpytorch.capture.selections.selection import take
from hatch_irpytorch.capture.training import PADDING, note
from hatch_irpytorch.ir.shapes import numel

_ID = "an index"


def _index_select(c: Context, x: Tensor, dim: int, index: Tensor) -> Value:
    y = c.value(x)
    if isinstance(index, Value):
        return tables.look_up(c.builder, y, index, dim, _ID)
    chosen = c.constant(index, "an index").reshape(-1).tolist()
    if not y.rank:
        return y
    return take(c.builder, y, dim, chosen)


def _embedding(
    c: Context, weight: Tensor, indices: Tensor, padding_idx: int = -1, *_: object
) -> Value:
    if padding_idx >= 0 and c.is_learned(weight):
        note(c.builder, PADDING)
    if isinstance(indices, Value):
        return tables.look_up(c.builder, c.value(weight), indices, 0, "an id of an embedding")
    ids = c.constant(indices, "an id of an embedding")
    return take_all(c.builder, c.value(weight), 0, ids.numpy())


def _index(c: Context, x: Tensor, indices: Sequence[Tensor | None]) -> Value:
    """Indexing by tensors: a constant one is a part of its axis, several are positions."""
    y = c.value(x)
    given = {axis: index for axis, index in enumerate(indices) if index is not None}
    if any(isinstance(index, Value) for index in given.values()):
        if any(are_flags(c, axis) for axis in given):
            raise InexpressibleError("a choice of entries by flags that depend on the input")
        ids = {axis: c.value(index) for axis, index in given.items()}
        return tables.look_up_at(c.builder, y, ids, _ID)
    fixed = [None if i is None else c.constant(i, "an index") for i in indices]
    used = [axis for axis, index in enumerate(fixed) if index is not None]
    if len(used) == 1 and fixed[used[0]].dtype != torch.bool:  # type: ignore[union-attr]
        axis, index = used[0], fixed[used[0]]
        assert index is not None
        return take_all(c.builder, y, axis, index.numpy())
    return by_positions(c, x, lambda grid: torch.ops.aten.index.Tensor(grid, fixed))


def are_flags(c: Context, axis: int) -> bool:
    """Whether the index tensor for an axis of the current node holds flags and no places."""
    assert c.node is not None
    index = c.node.args[1][axis]  # type: ignore[index]
    return isinstance(index, fx.Node) and index.meta["val"].dtype == torch.bool


def by_positions(c: Context, x: Tensor, move: Callable[[torch.Tensor], torch.Tensor]) -> Value:
    """Any movement that torch can do on a grid of flat positions."""
    y = c.value(x)
    grid = move(torch.arange(numel(y.shape)).reshape(y.shape))
    return gather(c.builder, y, grid.numpy(), tuple(grid.shape))


def _gather(c: Context, x: Tensor, dim: int, index: Tensor, **_: object) -> Value:
    if isinstance(index, Value):
        return tables.gather(c.builder, c.value(x), index, dim, _ID)
    fixed = c.constant(index, "an index")
    return by_positions(c, x, lambda grid: torch.gather(grid, dim, fixed))


def _one_hot(c: Context, x: Tensor, num_classes: int = -1) -> Value:
    ids = c.value(x)
    integers.require_below(c.builder, ids, num_classes, "a class of one_hot")
    return integers.one_hot(c.builder, ids, num_classes)


def _masked_select(c: Context, x: Tensor, mask: Tensor) -> Value:
    flags = c.constant(mask, "a mask").bool()
    return by_positions(c, x, lambda grid: torch.masked_select(grid, flags))


def _extent(c: Context, x: Tensor, dim: int) -> int:
    """An extent that torch.export leaves open because flags chose the entries."""
    return c.value(x).shape[dim]


def _no_check(c: Context, *_: object, **__: object) -> None:
    """A check of an open extent, which is known here."""


def _diagonal(c: Context, x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Value:
    return by_positions(c, x, lambda grid: torch.diagonal(grid, offset, dim1, dim2))


def _as_strided(
    c: Context, x: Tensor, size: Ints, stride: Ints, storage_offset: int | None = None
) -> Value:
    assert c.node is not None and isinstance(c.node.args[0], fx.Node)
    own = c.node.args[0].meta["val"]
    start = own.storage_offset()
    offset = start if storage_offset is None else storage_offset

    def strided(grid: torch.Tensor) -> torch.Tensor:
        reach = max(_reach(own.shape, own.stride(), start), _reach(size, stride, offset))
        c.builder.budget.spend_for_a_while(reach)
        memory = torch.full((reach,), -1)
        memory.as_strided(own.shape, own.stride(), start).copy_(grid)
        found = memory.as_strided(list(size), list(stride), offset)
        if bool((found < 0).any()):
            raise InexpressibleError("a view of memory beside the entries of its tensor")
        return found

    return by_positions(c, x, strided)


def _reach(size: Ints, stride: Ints, offset: int) -> int:
    """How many entries of memory a tensor reaches over."""
    if 0 in size:
        return offset
    return offset + 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))


def _triangle(keep: Callable[..., np.ndarray[Any, Any]]) -> Handler:
    def convert(c: Context, x: Tensor, diagonal: int = 0) -> Value:
        y = c.value(x)
        mask = keep(np.ones(y.shape[-2:], dtype=np.bool_), diagonal)
        return e.chosen(c.builder, mask, y, c.builder.full((), 0.0))

    return convert


OPS: dict[str, Handler] = {
    "_assert_scalar": _no_check,
    "as_strided": _as_strided,
    "diagonal": _diagonal,
    "embedding": _embedding,
    "gather": _gather,
    "index": _index,
    "index_select": _index_select,
    "masked_select": _masked_select,
    "one_hot": _one_hot,
    "sym_constrain_range_for_size": _no_check,
    "sym_size": _extent,
    "tril": _triangle(np.tril),
    "triu": _triangle(np.triu),
}
"""By the name of the ATen op, for all of its overloads."""
