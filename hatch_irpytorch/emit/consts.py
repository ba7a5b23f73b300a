"""What a const holds, and which consts are the affine part of a layer norm."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hatch_irpytorch.emit.literals import rounded
from hatch_irpytorch.emit.options import EmitOptions
from hatch_irpytorch.emit.plan import Declaration, Template, Tensor
from hatch_irpytorch.emit.templates import shape_comment
from hatch_irpytorch.ir.graph import Graph, Node
from hatch_irpytorch.ir.ops import Const, LayerNorm
from hatch_irpytorch.ir.ops.code import Code, call
from hatch_irpytorch.ir.ops.elementwise import Add, MulElem
from hatch_irpytorch.ir.params import COMPRESSED
from hatch_irpytorch.ir.shapes import Shape, numel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]
    Ids = NDArray[np.int64]


class ConstValue(NamedTuple):
    """A const's array. `uniform`: all entries equal as floats; `filled`: equal to the bit.

    `repeats_row`: whether an (S, E) array holds one row S times, to the bit.
    torchlean.ir.v1: 5.3.
    """

    array: Array
    uniform: bool
    filled: bool
    repeats_row: bool

    @property
    def first(self) -> Array:
        return self.array.reshape(-1)[0] if self.array.size else np.zeros(())


def read_const(array: Array) -> ConstValue:
    """The value of a const. A broadcast fill is looked at once, not entry by entry."""
    has_rows = array.ndim == 2 and len(array) > 0
    if array.size == 0 or not any(array.strides):
        uniform = not np.isnan(array).any()
        return ConstValue(array, uniform, True, has_rows and uniform)
    uniform, same_signs = _are_equal(array.reshape(-1), array.reshape(-1)[:1])
    # Rows that differ only in the sign of a zero are equal as floats, yet not the same bits.
    repeats_row = has_rows and all(_are_equal(array, array[0]))
    return ConstValue(array, uniform, uniform and same_signs, repeats_row)


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


def layer_norm_affine(graph: Graph, nodes: Sequence[Node]) -> frozenset[int]:
    """Consts that scale or shift a layer norm through `mul_elem` and `add` among the live nodes.

    torchlean.ir.v1: 5.3.
    """
    if not (graph.has_op(Const.tag) and graph.has_op(LayerNorm.tag)):
        return frozenset()
    tags = graph.tags
    scaled: set[int] = set()
    found: set[int] = set()
    for node in nodes:
        kinds = [tags[parent] for parent in node.parents]
        scales = node.op.tag == MulElem.tag and LayerNorm.tag in kinds
        if scales and Const.tag in kinds:
            scaled.add(node.id)
        if scales or (node.op.tag == Add.tag and not scaled.isdisjoint(node.parents)):
            found.update(parent for parent in node.parents if tags[parent] == Const.tag)
    return frozenset(found)


def bind_const(
    node: Node, array: Array, affine: bool, options: EmitOptions
) -> tuple[Template, list[Tensor]]:
    """The code of a const in `forward`, and the tensor it holds. torchlean.ir.v1: 5.3."""
    assert isinstance(node.op, Const)
    value = read_const(array)
    wanted = node.op.learnable
    learned = options.learnable_consts and (
        affine or not value.uniform if wanted is None else wanted
    )
    tied = learned and options.compress_broadcast_params and wanted is None
    if tied and value.repeats_row:
        row = value.array[0]
        template, vector = _const(COMPRESSED, node.shape, row.shape, True)
        return template, [Tensor(node.id, vector, row)]
    template, declaration = _const("", node.shape, node.shape, learned)
    if value.filled and not learned:
        fill = float(rounded(value.first, options.dtype))
        return template, [Tensor(node.id, declaration, code=_filled(node.shape, fill))]
    return template, [Tensor(node.id, declaration, value.array)]


@lru_cache(maxsize=4096)
def _const(suffix: str, shape: Shape, held: Shape, learned: bool) -> tuple[Template, Declaration]:
    """The code of consts of a shape, and how their tensors are held."""
    declaration = Declaration(Const.prefix, suffix, held, learned)
    name = f"self.{declaration.name('{1}')}"
    code = call(f"{name}.unsqueeze(0).expand", shape[0], -1) if suffix else name
    return Template((code,), shape_comment(shape)), declaration


def _filled(shape: Shape, value: float) -> Code:
    if numel(shape) == 0:
        return call("torch.zeros", shape, dtype="dtype")
    return call("torch.full", shape, value, dtype="dtype")
