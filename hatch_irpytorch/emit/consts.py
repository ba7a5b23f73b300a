"""How a const is held, and which consts are the affine part of a layer norm."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.emit.options import EmitOptions
from hatch_irpytorch.emit.plan import Declaration, Template, Tensor
from hatch_irpytorch.emit.templates import shape_comment
from hatch_irpytorch.emit.values import held, read_value
from hatch_irpytorch.ir.graph import Graph, Node
from hatch_irpytorch.ir.ops import Const, LayerNorm
from hatch_irpytorch.ir.ops.code import call
from hatch_irpytorch.ir.ops.elementwise import Add, MulElem
from hatch_irpytorch.ir.params import COMPRESSED
from hatch_irpytorch.ir.shapes import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


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
    value = read_value(array)
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
    if learned:
        return template, [Tensor(node.id, declaration, value.array)]
    return template, [held(node.id, declaration, value, options.dtype)]


@lru_cache(maxsize=4096)
def _const(suffix: str, shape: Shape, held: Shape, learned: bool) -> tuple[Template, Declaration]:
    """The code of consts of a shape, and how their tensors are held."""
    declaration = Declaration(Const.prefix, suffix, held, learned)
    name = f"self.{declaration.name('{1}')}"
    code = call(f"{name}.unsqueeze(0).expand", shape[0], -1) if suffix else name
    return Template((code,), shape_comment(shape)), declaration
