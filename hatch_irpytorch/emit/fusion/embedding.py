"""The rule of `fuse: true` for ids: rows that are 1 at one place, times a table → embedding."""

from __future__ import annotations

import numpy as np

from hatch_irpytorch.emit.fusion.nodes import Fuser
from hatch_irpytorch.emit.fusion.ops import Embedding
from hatch_irpytorch.ir.graph import Node
from hatch_irpytorch.ir.ops.movement import BroadcastTo, Flatten, Permute, Reshape, Transpose


def fuse_embedding(fuser: Fuser, node: Node) -> bool:
    """relu(1 - |ids - (0, 1, 2, ...)|) times a table → embedding, for ids of the input."""
    if node.op.tag != "matmul" or len(fuser.shape(node.parents[1])) != 2:
        return False
    rows, table = node.parents
    found = _ids_of_rows(fuser, rows)
    if found is None:
        return False
    ids, covered = found
    if not _are_ids_below(fuser, ids, fuser.shape(table)[0]):
        return False
    return fuser.put(node, Embedding(), (ids, table), covered)


def _ids_of_rows(fuser: Fuser, rows: int) -> tuple[int, tuple[int, ...]] | None:
    """The ids (..., 1) whose rows a node holds, and the nodes that make rows of them."""
    inner = fuser.nodes[rows].parents[0] if fuser.op(rows).tag == "relu" else -1
    if inner < 0 or fuser.op(inner).tag != "sub":
        return None
    one, size = fuser.nodes[inner].parents
    number = fuser.number(one)
    if number is None or number[0] != 1.0 or fuser.op(size).tag != "abs":
        return None
    (difference,) = fuser.nodes[size].parents
    if fuser.op(difference).tag != "sub":
        return None
    spread, positions = fuser.nodes[difference].parents
    known = fuser.constant(positions)
    if known is None or not isinstance(fuser.op(spread), BroadcastTo):
        return None
    (ids,) = fuser.nodes[spread].parents
    count = fuser.shape(rows)[-1]
    same = fuser.shape(ids) == (*fuser.shape(rows)[:-1], 1)
    if not same or not (known[0] == np.arange(count)).all():
        return None
    return ids, (rows, inner, *number[1], size, difference, spread, *known[1])


def _are_ids_below(fuser: Fuser, ids: int, count: int) -> bool:
    """Whether a value is the input, moved, and that holds no more than `count` whole numbers."""
    while isinstance(fuser.op(ids), Reshape | Flatten | Permute | Transpose | BroadcastTo):
        (ids,) = fuser.nodes[ids].parents
    graph = fuser.model.graph
    return ids == graph.input_id and graph.integers is not None and graph.integers <= count
