"""Raw nodes to tensor nodes: tuple values, attention, many-axis reductions, legacy kinds.

torchlean.ir.v1: 3. Ids of tensor nodes are positions in the lowered list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from msgspec import UNSET

from hatch_irpytorch.errors import Place, Problems, shown
from hatch_irpytorch.ir.attention import SCALE, checked_attention, expand
from hatch_irpytorch.ir.document import KIND_OF, Document, UnsoundNode
from hatch_irpytorch.ir.graph import Graph, Node
from hatch_irpytorch.ir.kinds import ATTENTION, KINDS, PROJECTION
from hatch_irpytorch.ir.legacy import LEGACY_KINDS, normalised
from hatch_irpytorch.ir.ops import Op
from hatch_irpytorch.ir.ops.movement import Reshape
from hatch_irpytorch.ir.ops.reduction import ReduceMean, ReduceSum
from hatch_irpytorch.ir.shapes import Shape, shape_text
from hatch_irpytorch.names import dotted_name

_REDUCTIONS = {"reduce_sum": ReduceSum, "reduce_mean": ReduceMean}

_WITHOUT_ATTRIBUTES = {
    kind.tag: kind.op()
    for kind in KINDS.values()
    if kind.op is not None and not kind.attributes and not kind.op.from_node
}
"""The ops that are the same wherever they stand."""


class Unreadable(Op):
    """Stands for a node whose problems are told already, so that later nodes can be checked."""

    tag = "unreadable"
    prefix = "unreadable"


@dataclass(frozen=True)
class Lowered:
    """A graph, and for its nodes with payload the raw nodes that hold it.

    `fills` are numbers for all entries of a tensor. `names` are those under which a raw node gives
    fields where it calls them otherwise.
    """

    graph: Graph
    holders: Mapping[int, Any]
    fills: Mapping[int, float]
    names: Mapping[int, Mapping[str, str]]

    def value(self, node_id: int, slot: str) -> object:
        """What the document gives for a slot: JSON text, a JSON value, or `UNSET`."""
        return getattr(self.holders.get(node_id), self.name(node_id, slot), UNSET)

    def name(self, node_id: int, slot: str) -> str:
        """The name under which the document gives a slot: `q_weight` for `weight`."""
        return self.names[node_id][slot] if node_id in self.names else slot


def lower(document: Document, problems: Problems) -> Lowered:
    """The tensor graph of a document, and where its payload is."""
    return _Lowering(document, problems).run()


class _Lowering:
    def __init__(self, document: Document, problems: Problems) -> None:
        self.document = document
        self.problems = problems
        self.nodes: list[Node] = []
        self.holders: dict[int, Any] = {}
        self.fills: dict[int, float] = {}
        self.names: dict[int, Mapping[str, str]] = {}
        self.tensor_ids: list[int | None] = []
        self.projected: dict[int, int] = {}
        self.ops: dict[object, Op] = {}

    def run(self) -> Lowered:
        document = self.document
        for position, raw in enumerate(document.nodes):
            self.tensor_ids.append(self._lower(position, raw))
        outputs = []
        for position, raw_id in enumerate(document.output_ids):
            tensor_id = self._tensor(raw_id)
            if tensor_id is None:
                place = Place(document.file)
                found = f"`{raw_id}`, a tuple node"
                where = f"output_ids[{position}]"
                expected = "the id of a tensor node"
                self.problems.mismatch("bad-tuple", place, where, expected, found)
            outputs.append(tensor_id or 0)
        input_id = self._tensor(document.input_id) or 0
        graph = Graph(tuple(self.nodes), input_id, tuple(outputs), document.file)
        return Lowered(graph, self.holders, self.fills, self.names)

    def _tensor(self, raw_id: int) -> int | None:
        """The tensor of a raw node, None for a tuple; the first one for no node at all."""
        return self.tensor_ids[raw_id] if raw_id < len(self.tensor_ids) else 0

    def _place(self, raw: Any) -> Place:
        return Place(self.document.file, node=raw.id, kind=raw.kind, tensor=len(self.nodes))

    def _append(self, raw: Any, op: Op, parents: tuple[int, ...], shape: Shape) -> int:
        node_id = len(self.nodes)
        origin = ""
        if raw.debug_target is not UNSET or raw.onnx_name is not UNSET:
            origin = _origin(raw)
        keys = () if raw.state_keys is UNSET else _state_keys(raw.state_keys, op)
        self.nodes.append(Node(node_id, op, parents, shape, raw.id, raw.kind, origin, keys))
        return node_id

    def _lower(self, position: int, raw: Any) -> int | None:
        kind = KIND_OF.get(type(raw))
        if kind is None:
            return None if raw.shape is None else self._unreadable(position, raw)
        if kind.is_tuple:
            return None
        if kind.op is None:
            lowered = self._lower_other(raw, kind.tag)
        else:
            lowered = None
            parents = self._tensor_parents(raw)
            if parents is not None:
                op = _WITHOUT_ATTRIBUTES.get(kind.tag) or self._op(raw, kind.op, kind.attributes)
                lowered = self._append(raw, op, parents, raw.shape)
        if lowered is None:
            return self._unreadable(position, raw)
        if kind.payload:
            self.holders[lowered] = raw
        return lowered

    def _lower_other(self, raw: Any, kind: str) -> int | None:
        """What is no op of its own: a value of a tuple, a legacy kind, a reduction."""
        if kind == PROJECTION:
            return self._lower_projection(raw)
        parents = self._tensor_parents(raw)
        if parents is None or not self._has_parents(raw, 1):
            return None
        if kind in LEGACY_KINDS:
            return self._lower_legacy(raw, parents)
        return self._lower_reduction(raw, parents)

    def _unreadable(self, position: int, raw: Any) -> int:
        node_id = len(self.nodes)
        self.nodes.append(Node(node_id, Unreadable(), (), raw.shape, position, raw.kind))
        return node_id

    def _op(self, raw: Any, op: type[Op], names: Iterable[str]) -> Op:
        """The op of a node; nodes of the same attributes share one."""
        said = [getattr(raw, name) for name in names]
        shape = raw.shape if "shape" in op.from_node else None
        # `repr` tells -0.0 from 0.0.
        key = (op, shape, repr(said))
        known = self.ops.get(key)
        if known is None:
            of_node = {"shape": shape, "node_id": len(self.nodes)}
            taken = {name: of_node[name] for name in op.from_node}
            known = op(**dict(zip(names, said, strict=True)), **taken)
            if "node_id" not in op.from_node:
                self.ops[key] = known
        return known

    def _tensor_parents(self, raw: Any) -> tuple[int, ...] | None:
        parents = tuple(map(self.tensor_ids.__getitem__, raw.parents))
        if None not in parents:
            return cast("tuple[int, ...]", parents)
        index = parents.index(None)
        found = f"`{raw.parents[index]}`, a tuple node"
        hint = "read one of its values with `tuple_getitem`"
        place, where = self._place(raw), f"parents[{index}]"
        self.problems.mismatch("bad-tuple", place, where, "a tensor node", found, hint)
        return None

    def _has_parents(self, raw: Any, count: int) -> bool:
        found = len(raw.parents)
        if found != count:
            expected = f"{count} node id{'s' if count != 1 else ''}"
            place = self._place(raw)
            self.problems.mismatch("bad-arity", place, "parents", expected, str(found))
        return found == count

    def _lower_legacy(self, raw: Any, parents: tuple[int, ...]) -> int | None:
        x = self.nodes[parents[0]].shape
        op = normalised(raw.kind, raw, x, self._place(raw), self.problems)
        return None if op is None else self._append(raw, op, parents, raw.shape)

    def _lower_reduction(self, raw: Any, parents: tuple[int, ...]) -> int | None:
        shape, place = self.nodes[parents[0]].shape, self._place(raw)
        is_legacy = raw.axis is not UNSET and self.document.legacy
        axes: tuple[int, ...] = (raw.axis,) if is_legacy else raw.axes
        keepdim = not is_legacy and raw.keepdim
        if len(set(axes)) != len(axes) or any(axis >= len(shape) for axis in axes):
            expected = f"different axes of {shape_text(shape)}"
            self.problems.mismatch("bad-attribute", place, "axes", expected, shown(axes))
            return None
        if not axes:
            if raw.shape != shape:
                expected = f"{shape_text(shape)} when there are no axes"
                found = shape_text(raw.shape)
                self.problems.mismatch("shape-mismatch", place, "shape", expected, found)
            return parents[0]
        return self._append_reductions(raw, parents[0], axes, keepdim)

    def _append_reductions(
        self, raw: Any, current: int, axes: tuple[int, ...], keepdim: bool
    ) -> int:
        op = _REDUCTIONS[raw.kind]
        remaining = len(axes)
        for axis in sorted(axes, reverse=True):
            remaining -= 1
            before = self.nodes[current].shape
            after = before[:axis] + before[axis + 1 :]
            last = remaining == 0 and not keepdim
            reduction = self.ops.setdefault((op, axis), op(axis))
            current = self._append(raw, reduction, (current,), raw.shape if last else after)
            if keepdim:
                kept = (*before[:axis], 1, *before[axis + 1 :])
                declared = raw.shape if remaining == 0 else kept
                current = self._append(raw, Reshape(after, kept), (current,), declared)
        return current

    def _lower_projection(self, raw: Any) -> int | None:
        if not self._has_parents(raw, 1):
            return None
        source, place = self.document.nodes[raw.parents[0]], self._place(raw)
        if isinstance(source, UnsoundNode):
            return None
        index: int = raw.index
        if source.kind != ATTENTION:
            expected = f"a node of kind `{ATTENTION}`"
            found = f"node {source.id} (`{source.kind}`)"
            self.problems.mismatch("bad-tuple", place, "parents[0]", expected, found)
            return None
        if index >= len(source.tuple_shapes):
            expected = f"below {len(source.tuple_shapes)}, the length of the tuple"
            self.problems.mismatch("bad-tuple", place, "index", expected, f"`{index}`")
            return None
        if source.tuple_shapes[index] != raw.shape:
            expected = f"{shape_text(source.tuple_shapes[index])}, as node {source.id} declares it"
            found = shape_text(raw.shape)
            self.problems.mismatch("shape-mismatch", place, "shape", expected, found)
            return None
        if index != 0:
            message = "only index 0 of attention has a lowering, index 1 is its weights"
            self.problems.add("unsupported", place, message)
            return None
        if source.id not in self.projected:
            result = self._expand_attention(source, raw.shape)
            if result is None:
                return None
            self.projected[source.id] = result
        return self.projected[source.id]

    def _expand_attention(self, source: Any, declared: Shape) -> int | None:
        if not self._has_parents(source, 3):
            return None
        place = self._place(source)
        if len(set(source.parents)) != 1:
            expected, found = "one node three times (self-attention)", shown(source.parents)
            self.problems.mismatch("unsupported", place, "parents", expected, found)
            return None
        parents = self._tensor_parents(source)
        if parents is None:
            return None
        x = parents[0]
        checked = checked_attention(source, self.nodes[x].shape, declared, place, self.problems)
        if checked is None:
            return None
        expansion = expand(checked, x, lambda op, ids, shape: self._append(source, op, ids, shape))
        for node_id, part in expansion.linears.items():
            self.holders[node_id] = source
            self.names[node_id] = {slot: f"{part}_{slot}" for slot in ("weight", "bias")}
        if checked.scale is None:
            self.names[expansion.scale_id] = {"values": SCALE}
        else:
            self.fills[expansion.scale_id] = checked.scale
        return expansion.result


def _state_keys(given: Mapping[str, str], op: Op) -> tuple[tuple[str, str], ...]:
    """What the source calls the arrays of a node, by payload field, where it is a dotted name."""
    return tuple(
        (f, key) for f, key in given.items() if f in op.payload_fields and dotted_name(key)
    )


def _origin(raw: Any) -> str:
    """Where a node came from, by the fields that adapters write for people; or nothing."""
    for text in (raw.debug_target, raw.onnx_name):
        if text is not UNSET and bytes(memoryview(text)[:1]) == b'"':
            name = dotted_name(msgspec.json.decode(text))
            if name:
                return name
    return ""
