"""What a const holds, and which consts are the affine part of a layer norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import Const, LayerNorm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ConstValue:
    """A const's array. `uniform`: all entries equal as floats; `filled`: equal to the bit."""

    array: Array
    uniform: bool
    filled: bool

    @property
    def first(self) -> Array:
        return self.array.reshape(-1)[0] if self.array.size else np.zeros(())

    def repeated_row(self) -> Array | None:
        """The row (E,) of an (S, E) array whose rows are all equal. torchlean.ir.v1: 5.3."""
        array = self.array
        if array.ndim != 2 or not len(array) or not (array == array[0]).all():
            return None
        # Rows that differ only in the sign of a zero are equal as floats, yet not the same bits.
        same_signs = (np.signbit(array) == np.signbit(array[0])).all()
        return array[0] if same_signs else None


def read_const(model: Model, node: Node) -> ConstValue:
    """The value of a const node. A broadcast fill is looked at once, not entry by entry."""
    array = model.params[node.id, "values"]
    if array.size == 0 or not any(array.strides):
        return ConstValue(array, not np.isnan(array).any(), True)
    uniform = bool((array == array.flat[0]).all())
    filled = uniform and bool((np.signbit(array) == np.signbit(array.flat[0])).all())
    return ConstValue(array, uniform, filled)


def layer_norm_affine(graph: Graph, live: frozenset[int]) -> frozenset[int]:
    """Consts that scale or shift a layer norm through `mul_elem` and `add`.

    torchlean.ir.v1: 5.3, in one pass over the nodes.
    """
    scaled: set[int] = set()
    forced: set[int] = set()
    for node in graph.nodes:
        if node.id not in live:
            continue
        if node.op.tag == "mul_elem":
            gammas = _other_consts(graph, node, LayerNorm)
            forced.update(gammas)
            if gammas:
                scaled.add(node.id)
        elif node.op.tag == "add" and any(parent in scaled for parent in node.parents):
            forced.update(p for p in node.parents if isinstance(graph.nodes[p].op, Const))
    return frozenset(forced)


def _other_consts(graph: Graph, node: Node, kind: type[LayerNorm]) -> list[int]:
    if not any(isinstance(graph.nodes[parent].op, kind) for parent in node.parents):
        return []
    return [parent for parent in node.parents if isinstance(graph.nodes[parent].op, Const)]
