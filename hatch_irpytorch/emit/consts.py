"""What a const holds, and which consts are the affine part of a layer norm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.emit.literals import rounded
from hatch_irpytorch.emit.options import EmitOptions
from hatch_irpytorch.emit.plan import Attribute, Binding, Form
from hatch_irpytorch.ir.code import Code, call
from hatch_irpytorch.ir.graph import Graph, Model, Node, Shape, numel
from hatch_irpytorch.ir.ops import Const, LayerNorm
from hatch_irpytorch.ir.params import COMPRESSED

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
        if array.ndim != 2 or not len(array):
            return None
        # Rows that differ only in the sign of a zero are equal as floats, yet not the same bits.
        return array[0] if all(_are_equal(array, array[0])) else None


def read_const(model: Model, node: Node) -> ConstValue:
    """The value of a const node. A broadcast fill is looked at once, not entry by entry."""
    array = model.params[node.id, "values"]
    if array.size == 0 or not any(array.strides):
        return ConstValue(array, not np.isnan(array).any(), True)
    uniform, same_signs = _are_equal(array.reshape(-1), array.reshape(-1)[:1])
    return ConstValue(array, uniform, uniform and same_signs)


_ROWS = 1 << 20


def _are_equal(array: Array, wanted: Array) -> tuple[bool, bool]:
    """Whether each item equals `wanted`, and each sign; a part at a time, up to the first other."""
    step = max(1, _ROWS // max(1, wanted.size))
    signs = True
    for start in range(0, len(array), step):
        part = array[start : start + step]
        if not (part == wanted).all():
            return False, False
        signs = signs and bool((np.signbit(part) == np.signbit(wanted)).all())
    return True, signs


def layer_norm_affine(graph: Graph, live: frozenset[int]) -> frozenset[int]:
    """Consts that scale or shift a layer norm through `mul_elem` and `add`.

    torchlean.ir.v1: 5.3, in one pass over the nodes.
    """
    if not any(isinstance(node.op, Const) for node in graph.signature_nodes):
        return frozenset()
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


def bind_const(
    model: Model, node: Node, affine: bool, options: EmitOptions
) -> tuple[Form, list[Binding]]:
    """What a const says in `forward`, and its binding. torchlean.ir.v1: 5.3."""
    assert isinstance(node.op, Const)
    value = read_const(model, node)
    wanted = node.op.learnable
    learned = options.learnable_consts and (
        affine or not value.uniform if wanted is None else wanted
    )
    tied = learned and options.compress_broadcast_params and wanted is None
    row = value.repeated_row() if tied else None
    if row is not None:
        form, vector = _const(COMPRESSED, node.shape, row.shape, True)
        return form, [Binding(node.id, vector, row)]
    form, attribute = _const("", node.shape, node.shape, learned)
    if value.filled and not learned:
        fill = float(rounded(value.first, options.dtype))
        return form, [Binding(node.id, attribute, code=_filled(node.shape, fill))]
    return form, [Binding(node.id, attribute, value.array)]


@lru_cache(maxsize=4096)
def _const(suffix: str, shape: Shape, held: Shape, learned: bool) -> tuple[Form, Attribute]:
    """What consts of a shape say, and what they hold for it; one of either for all of them."""
    attribute = Attribute(Const.prefix, suffix, held, learned)
    name = f"self.{attribute.name('{1}')}"
    code = call(f"{name}.unsqueeze(0).expand", shape[0], -1) if suffix else name
    return Form((code,), shape), attribute


def _filled(shape: Shape, value: float) -> Code:
    if numel(shape) == 0:
        return call("torch.zeros", shape, dtype="dtype")
    return call("torch.full", shape, value, dtype="dtype")
