"""Documents in which every node is sound and one op, as most are: no id changes."""

from __future__ import annotations

from itertools import repeat

from hatch_irpytorch.errors import Place, Problems
from hatch_irpytorch.ir.attributes import WITHOUT_ATTRIBUTES
from hatch_irpytorch.ir.columns import Columns
from hatch_irpytorch.ir.decoded import DecodedOps
from hatch_irpytorch.ir.graph import Graph, Node
from hatch_irpytorch.ir.lowered import Lowered
from hatch_irpytorch.ir.ops import BY_TAG, Op
from hatch_irpytorch.ir.wire import Document, origin

_PLAIN = frozenset(BY_TAG) - {"reduce_sum", "reduce_mean"}
"""The kinds of nodes that are one op; reductions may be several."""


def lower_plain(document: Document) -> Lowered | None:
    """The tensor graph of a document, or None where its nodes have to be looked at one by one.

    Nothing is reported here.
    """
    columns = document.columns
    if columns is None or not set(columns.kinds) <= _PLAIN:
        return None
    count = len(columns.kinds)
    if max(document.input_id, *document.output_ids, 0) >= count:
        return None
    ops = _ops(columns, Place(document.file))
    if ops is None:
        return None
    kinds, parents, shapes, fields = columns
    ids, origins = range(count), map(origin, fields)
    rows = zip(ids, ops, parents, shapes, ids, kinds, origins, repeat(()), strict=False)
    nodes = tuple(map(Node._make, rows))
    graph = Graph(nodes, document.input_id, document.output_ids, document.file)
    held = [node_id for node_id, op in enumerate(ops) if op.has_payload]
    return Lowered(graph, {node_id: fields[node_id] for node_id in held})


def _ops(columns: Columns, place: Place) -> list[Op] | None:
    """The op of each node; None where one has a problem."""
    decoded, problems = DecodedOps(), Problems()
    ops: list[Op] = []
    for kind, shape, fields in zip(columns.kinds, columns.shapes, columns.fields, strict=True):
        op = (
            WITHOUT_ATTRIBUTES.get(kind)
            or decoded.like(kind, shape, fields)
            or decoded.decode(kind, shape, fields, len(ops), place, problems)
        )
        if op is None:
            return None
        ops.append(op)
    return ops
