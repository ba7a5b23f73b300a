"""The nodes of a document field by field, which is how sound ones are looked at fast."""

from __future__ import annotations

from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from hatch_irpytorch.ir.attributes import MAX_EXTENT, MAX_RANK, ValueFormError
from hatch_irpytorch.ir.attributes import items as as_list
from hatch_irpytorch.ir.graph import Shape
from hatch_irpytorch.source.number_text import NumberText


class Columns(NamedTuple):
    """Tensor nodes by field; `fields` are the whole objects. Equal shapes are one tuple."""

    kinds: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]
    shapes: tuple[Shape, ...]
    fields: tuple[dict[str, object], ...]


_STRUCTURE = itemgetter("id", "kind", "parents", "shape")


def read_columns(items: list[Any]) -> Columns | None:
    """The nodes of a document when each is a tensor node without any problem, else None.

    torchlean.ir.v1: 1.2.
    """
    if set(map(type, items)) != {dict}:
        return None
    try:
        ids, kinds, parents, shapes = zip(*map(_STRUCTURE, items), strict=True)
    except KeyError:
        return None
    count = len(ids)
    try:
        parents = tuple(map(as_list, parents)) if NumberText in set(map(type, parents)) else parents
    except ValueFormError:
        return None
    if (
        set(map(type, ids)) != {int}
        or ids != tuple(range(count))
        or set(map(type, kinds)) != {str}
        or [item.get("value_kind", "tensor") for item in items].count("tensor") != count
        or not _are_parents(parents)
    ):
        return None
    extents = _shapes(shapes)
    if extents is None:
        return None
    return Columns(kinds, tuple(map(tuple, parents)), extents, tuple(items))


def _are_parents(values: tuple[Any, ...]) -> bool:
    """Whether each value is a list of ids that are smaller than its position."""
    if not _hold_integers(values):
        return False
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    try:
        ids = np.fromiter(chain.from_iterable(values), np.int64, lengths.sum())
    except OverflowError:
        return False
    owners = np.repeat(np.arange(len(values)), lengths)
    return bool(((ids >= 0) & (ids < owners)).all())


def _shapes(values: tuple[Any, ...]) -> tuple[Shape, ...] | None:
    """The shapes, if each value is a list of extents that torch and NumPy can hold."""
    if not _hold_integers(values):
        return None
    known: dict[Shape, Shape] = {}
    shapes = tuple([known.setdefault(shape, shape) for shape in map(tuple, values)])
    for shape in known:
        in_range = min(shape, default=0) >= 0 and max(shape, default=0) <= MAX_EXTENT
        if len(shape) > MAX_RANK or not in_range:
            return None
    return shapes


def _hold_integers(values: tuple[Any, ...]) -> bool:
    """Whether each value is a list of nothing but integers."""
    if set(map(type, values)) != {list}:
        return False
    return {int}.issuperset(map(type, chain.from_iterable(values)))
