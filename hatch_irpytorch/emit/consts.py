"""What a const holds, and which consts are the affine part of a layer norm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hatch_irpytorch.emit.literals import rounded
from hatch_irpytorch.emit.options import EmitOptions
from hatch_irpytorch.emit.plan import Attribute, Binding, Form
from hatch_irpytorch.ir.code import Code, call
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import Const, LayerNorm
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


_SMALL = 1 << 10
_TOGETHER = 1 << 16
"""Consts of at most `_SMALL` numbers are looked at together, so many numbers at a time."""


def read_consts(model: Model, nodes: Iterable[Node]) -> dict[int, ConstValue]:
    """The values of the consts among the nodes; small ones of a shape are looked at as one."""
    by_shape: dict[Shape, list[int]] = defaultdict(list)
    for node in nodes:
        if node.op.tag == Const.tag:
            by_shape[node.shape].append(node.id)
    found: dict[int, ConstValue] = {}
    for shape, ids in by_shape.items():
        arrays = [model.params[node_id, "values"] for node_id in ids]
        if 0 < numel(shape) <= _SMALL and all(any(array.strides) for array in arrays):
            step = _TOGETHER // numel(shape)
            starts = range(0, len(ids), step)
            parts = (_read_small(arrays[start : start + step]) for start in starts)
            found.update(zip(ids, chain.from_iterable(parts), strict=True))
        else:
            found.update(zip(ids, map(read_const, arrays), strict=True))
    return found


def _read_small(arrays: Sequence[Array]) -> Iterator[ConstValue]:
    """`read_const` of arrays of one shape."""
    whole = np.stack(arrays)
    uniform, filled = _same(whole.reshape(len(arrays), -1, 1))
    no_rows = np.zeros(len(arrays), dtype=np.bool_)
    repeats_row = _same(whole)[1] if whole.ndim == 3 else no_rows
    flags = (uniform.tolist(), filled.tolist(), repeats_row.tolist())
    return map(ConstValue, arrays, *flags)


def _same(items: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each of some arrays, whether its rows are equal as floats, and to the bit."""
    axes = (1, 2)
    equal = (items == items[:, :1]).all(axis=axes)
    signs = np.signbit(items)
    return equal, equal & (signs == signs[:, :1]).all(axis=axes)


def layer_norm_affine(graph: Graph, nodes: Sequence[Node]) -> frozenset[int]:
    """Consts that scale or shift a layer norm through `mul_elem` and `add` among the live nodes.

    torchlean.ir.v1: 5.3.
    """
    if not (graph.has_op(Const.tag) and graph.has_op(LayerNorm.tag)):
        return frozenset()
    live = np.ones(len(graph.nodes), dtype=np.bool_)
    if len(nodes) < len(graph.nodes):
        live[:] = False
        live[[node.id for node in nodes]] = True
    const, norm = graph.is_op(Const.tag), graph.is_op(LayerNorm.tag)
    products, operands = _operands(graph, MulElem.tag, live)
    affine = norm[operands].any(axis=1)
    scales = operands[affine]
    scaled = np.zeros(len(graph.nodes), dtype=np.bool_)
    scaled[products[affine & const[operands].any(axis=1)]] = True
    _, operands = _operands(graph, Add.tag, live)
    shifts = operands[scaled[operands].any(axis=1)]
    forced = np.concatenate([scales, shifts], axis=None)
    return frozenset(forced[const[forced]].tolist())


def _operands(graph: Graph, tag: str, live: NDArray[np.bool_]) -> tuple[Ids, Ids]:
    """The live nodes of a kind with two parents, and those: (nodes, 2)."""
    ids = np.flatnonzero(graph.is_op(tag) & live)
    users, used = graph.uses
    first = np.searchsorted(users, ids)
    return ids, used[np.stack([first, first + 1], axis=1)]


def bind_const(
    node: Node, value: ConstValue, affine: bool, options: EmitOptions
) -> tuple[Form, list[Binding]]:
    """What a const says in `forward`, and its binding. torchlean.ir.v1: 5.3."""
    assert isinstance(node.op, Const)
    wanted = node.op.learnable
    learned = options.learnable_consts and (
        affine or not value.uniform if wanted is None else wanted
    )
    tied = learned and options.compress_broadcast_params and wanted is None
    if tied and value.repeats_row:
        row = value.array[0]
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
    return Form((code,)), attribute


def _filled(shape: Shape, value: float) -> Code:
    if numel(shape) == 0:
        return call("torch.zeros", shape, dtype="dtype")
    return call("torch.full", shape, value, dtype="dtype")
