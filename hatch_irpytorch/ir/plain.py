"""Documents in which every node is sound and one op, as most are: no id changes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from typing import Any, NamedTuple

from hatch_irpytorch.errors import Place, Problems
from hatch_irpytorch.ir.attributes import WITHOUT_ATTRIBUTES
from hatch_irpytorch.ir.columns import STRUCTURE, Columns, origin, read_part
from hatch_irpytorch.ir.decoded import DecodedOps
from hatch_irpytorch.ir.graph import Node, Shape
from hatch_irpytorch.ir.ops import BY_TAG, Op
from hatch_irpytorch.ir.packing import Packed
from hatch_irpytorch.ir.structure import Structure

_PLAIN = frozenset(BY_TAG) - {"reduce_sum", "reduce_mean"}
"""The kinds of nodes that are one op; reductions may be several."""


class PlainNodes(NamedTuple):
    """The nodes of such a document, and what is known of them all."""

    nodes: tuple[Node, ...]
    kinds: tuple[str, ...]
    payload: Packed
    structure: Structure


def read_plain(parts: Iterable[list[Any]]) -> PlainNodes | None:
    """The nodes of a document, which come a part at a time.

    None where they have to be looked at one by one: nothing is reported here.
    """
    nodes: list[Node] = []
    all_kinds: list[str] = []
    payload, structure, decoded = Packed(), Structure(), DecodedOps()
    known: dict[Shape, Shape] = {}
    for items in parts:
        first = len(nodes)
        columns = read_part(items, first, known)
        if columns is None or not _PLAIN.issuperset(columns.kinds):
            return None
        ops = _ops(columns, decoded, first)
        if ops is None:
            return None
        kinds, parents, shapes, fields = columns
        ids = [*range(first, first + len(ops))]
        bare = len(STRUCTURE)
        origins = [origin(node) if len(node) > bare else "" for node in fields]
        rows = zip(ids, ops, parents, shapes, ids, kinds, origins, repeat(()), strict=False)
        made = list(map(Node._make, rows))
        structure.add(made)
        nodes += made
        all_kinds += kinds
        payload.add(columns, first)
    return PlainNodes(tuple(nodes), tuple(all_kinds), payload, structure) if nodes else None


def _ops(columns: Columns, decoded: DecodedOps, first: int) -> list[Op] | None:
    """The op of each node from position `first` on; None where one has a problem."""
    place, problems = Place(""), Problems()
    ops: list[Op] = []
    for kind, shape, fields in zip(columns.kinds, columns.shapes, columns.fields, strict=True):
        op = (
            WITHOUT_ATTRIBUTES.get(kind)
            or decoded.like(kind, shape, fields)
            or decoded.decode(kind, shape, fields, first + len(ops), place, problems)
        )
        if op is None:
            return None
        ops.append(op)
    return ops
