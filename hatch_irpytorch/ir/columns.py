"""The nodes of a document field by field, which is how sound ones are looked at fast."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from hatch_irpytorch.ir.attributes import MAX_EXTENT, MAX_RANK, ValueFormError
from hatch_irpytorch.ir.attributes import items as as_list
from hatch_irpytorch.ir.graph import Shape
from hatch_irpytorch.names import dotted_name
from hatch_irpytorch.source.number_text import NumberText


class Columns(NamedTuple):
    """Tensor nodes by field; `fields` are the whole objects. Equal shapes are one tuple."""

    kinds: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]
    shapes: tuple[Shape, ...]
    fields: tuple[dict[str, object], ...]


def origin(fields: dict[str, object]) -> str:
    """Where a node came from, by the fields that adapters write for people; or nothing."""
    if "debug_target" not in fields and "onnx_name" not in fields:
        return ""
    return dotted_name(fields.get("debug_target")) or dotted_name(fields.get("onnx_name"))


STRUCTURE = ("id", "kind", "parents", "shape")
"""The fields that every tensor node has."""

_structure = itemgetter(*STRUCTURE)


def read_columns(parts: Iterable[list[Any]]) -> Columns | None:
    """The nodes of a document when each is a tensor node without any problem, else None.

    They come a part at a time. torchlean.ir.v1: 1.2.
    """
    whole: tuple[list[Any], ...] = ([], [], [], [])
    known: dict[Shape, Shape] = {}
    for items in parts:
        part = read_part(items, len(whole[0]), known)
        if part is None:
            return None
        for column, values in zip(whole, part, strict=True):
            column += values
    return Columns(*map(tuple, whole)) if whole[0] else None


def read_part(items: list[Any], first: int, known: dict[Shape, Shape]) -> Columns | None:
    """The nodes from position `first` on; `known` are the shapes so far."""
    if set(map(type, items)) != {dict}:
        return None
    try:
        ids, kinds, parents, shapes = zip(*map(_structure, items), strict=True)
    except KeyError:
        return None
    count = len(ids)
    try:
        parents = tuple(map(as_list, parents)) if NumberText in set(map(type, parents)) else parents
    except ValueFormError:
        return None
    if (
        set(map(type, ids)) != {int}
        or ids != tuple(range(first, first + count))
        or set(map(type, kinds)) != {str}
        or [item.get("value_kind", "tensor") for item in items].count("tensor") != count
        or not _are_parents(parents, first)
    ):
        return None
    extents = _shapes(shapes, known)
    if extents is None:
        return None
    return Columns(kinds, tuple(map(tuple, parents)), extents, tuple(items))


def _are_parents(values: tuple[Any, ...], first: int) -> bool:
    """Whether each value is a list of ids that are smaller than its position from `first` on."""
    if not _hold_integers(values):
        return False
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    try:
        ids = np.fromiter(chain.from_iterable(values), np.int64, lengths.sum())
    except OverflowError:
        return False
    owners = np.repeat(np.arange(first, first + len(values)), lengths)
    return bool(((ids >= 0) & (ids < owners)).all())


def _shapes(values: tuple[Any, ...], known: dict[Shape, Shape]) -> tuple[Shape, ...] | None:
    """The shapes, if each value is a list of extents that torch and NumPy can hold."""
    if not _hold_integers(values):
        return None
    before = len(known)
    shapes = tuple([known.setdefault(shape, shape) for shape in map(tuple, values)])
    for shape in islice(reversed(known), len(known) - before):
        in_range = min(shape, default=0) >= 0 and max(shape, default=0) <= MAX_EXTENT
        if len(shape) > MAX_RANK or not in_range:
            return None
    return shapes


def _hold_integers(values: tuple[Any, ...]) -> bool:
    """Whether each value is a list of nothing but integers."""
    if set(map(type, values)) != {list}:
        return False
    return {int}.issuperset(map(type, chain.from_iterable(values)))
