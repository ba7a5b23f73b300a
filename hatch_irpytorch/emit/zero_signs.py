"""Which nodes have to give the right one of two zeros: an `inv` makes infinities of them.

torchlean.ir.v1: 6.6. Elsewhere +0 and -0 are equal, and torch's choice is as good as any.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hatch_irpytorch.emit.literals import rounded
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import Const, Input
from hatch_irpytorch.ir.ops.elementwise import (
    Add,
    Inv,
    MaxElem,
    MinElem,
    MulElem,
    Relu,
    Sqrt,
    Sub,
)


def seen_by_inverse(graph: Graph, nodes: Sequence[Node]) -> frozenset[int]:
    """The nodes whose zeros an `inv` sees, by way of ops that pass their signs on."""
    if not graph.has_op(Inv.tag):
        return frozenset()
    found: set[int] = set()
    for node in reversed(nodes):
        op = node.op
        hides = op.hides_zero_sign or op.gives_positive_zero
        if op.tag == Inv.tag or (node.id in found and not hides):
            found.update(node.parents)
    return frozenset(found)


def need_right_zeros(model: Model, nodes: Sequence[Node], dtype: str) -> frozenset[int]:
    """The nodes among those seen by an `inv` for which torch may choose the other zero."""
    graph = model.graph
    seen = seen_by_inverse(graph, nodes)
    if not seen:
        return seen
    needed: set[int] = set()
    negative: set[int] = set()
    for node in nodes:
        of_parents = [parent in negative for parent in node.parents]
        may_be = _may_be_negative(model, node, of_parents, dtype)
        if may_be and node.id in seen and _chooses(graph, node):
            needed.add(node.id)
            may_be = not node.op.gives_positive_zero
        if may_be:
            negative.add(node.id)
    return frozenset(needed)


def _chooses(graph: Graph, node: Node) -> bool:
    return node.op.gives_positive_zero or isinstance(node.op, MaxElem | MinElem)


def _may_be_negative(model: Model, node: Node, of_parents: list[bool], dtype: str) -> bool:
    """Whether a result may be -0 as torch computes it, given whether those of its parents may."""
    op = node.op
    if isinstance(op, Const):
        array = rounded(model.params[node.id, "values"], dtype)
        return bool((np.signbit(array) & (array == 0.0)).any())
    if isinstance(op, Input):
        return True
    if isinstance(op, Relu | Sqrt | Sub):
        return of_parents[0]
    if isinstance(op, Add):
        return all(of_parents)
    if isinstance(op, MulElem):
        return len(set(node.parents)) > 1
    if op.gives_positive_zero or isinstance(op, Inv):
        return True
    return not op.hides_zero_sign and any(of_parents)
