"""Raw nodes to tensor nodes: tuple values, attention, many-axis reductions, legacy kinds.

torchlean.ir.v1: 3. Ids of tensor nodes are positions in the lowered list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from hatch_irpytorch.errors import Place, Problems, nearest, shown
from hatch_irpytorch.ir import attention, legacy
from hatch_irpytorch.ir.attributes import WITHOUT_ATTRIBUTES, decode_fields
from hatch_irpytorch.ir.columns import origin
from hatch_irpytorch.ir.decoded import DecodedOps
from hatch_irpytorch.ir.graph import Graph, Node, Shape, shape_text
from hatch_irpytorch.ir.kinds import (
    ATTENTION,
    CUSTOM,
    KINDS,
    LEGACY_KINDS,
    PROJECTION,
    TUPLE_KINDS,
    kind_label,
)
from hatch_irpytorch.ir.lowered import Lowered
from hatch_irpytorch.ir.ops import Op
from hatch_irpytorch.ir.ops.movement import Reshape
from hatch_irpytorch.ir.ops.reduction import ReduceMean, ReduceSum
from hatch_irpytorch.ir.wire import Document, RawNode

_REDUCTIONS = {"reduce_sum": ReduceSum, "reduce_mean": ReduceMean}
_PAYLOAD_PAIR = ("weight", "bias")


class Unreadable(Op):
    """Stands for a node whose problems are reported already, so that later nodes can be checked."""

    tag = "unreadable"
    prefix = "unreadable"


def lower(document: Document, problems: Problems) -> Lowered:
    """The tensor graph of a document and the payload found in it."""
    plain = document.plain
    if plain is None:
        return _Lowering(document, problems).run()
    # Ids of nodes that are not there have been told.
    known = range(len(plain.nodes))
    outputs = tuple([output if output in known else 0 for output in document.output_ids])
    input_id = document.input_id if document.input_id in known else 0
    graph = Graph.noted(plain.nodes, input_id, outputs, document.file, plain.structure)
    return Lowered(graph, packed=plain.payload)


class _Lowering:
    def __init__(self, document: Document, problems: Problems) -> None:
        self.document = document
        self.problems = problems
        self.nodes: list[Node] = []
        self.inline: dict[int, Mapping[str, object]] = {}
        self.fills: dict[int, float] = {}
        self.names: dict[int, Mapping[str, str]] = {}
        self.tensor_ids: list[int | None] = []
        self.projected: dict[int, int] = {}
        self.decoded = DecodedOps()

    def run(self) -> Lowered:
        document = self.document
        for raw in document.nodes:
            self.tensor_ids.append(self._lower(raw))
        outputs = []
        for position, raw_id in enumerate(document.output_ids):
            tensor_id = self._tensor(raw_id) if raw_id < len(self.tensor_ids) else 0
            if tensor_id is None:
                where = f"output_ids[{position}]"
                place = Place(document.file)
                expected = "the id of a tensor node"
                found = f"`{raw_id}`, a tuple node"
                self.problems.mismatch("bad-tuple", place, where, expected, found)
            outputs.append(tensor_id or 0)
        input_id = (
            self._tensor(document.input_id) if document.input_id < len(self.tensor_ids) else 0
        )
        graph = Graph(tuple(self.nodes), input_id or 0, tuple(outputs), document.file)
        return Lowered(graph, self.inline, self.fills, self.names)

    def _tensor(self, raw_id: int) -> int | None:
        return self.tensor_ids[raw_id]

    def _place(self, raw: RawNode) -> Place:
        kind = kind_label(raw.kind)
        return Place(self.document.file, node=raw.id, kind=kind, tensor=len(self.nodes))

    def _append(
        self, raw: RawNode, op: Op, parents: tuple[int, ...], shape: Shape, *, holds: bool = False
    ) -> int:
        """Append a node; whether it `holds` the payload of the raw one."""
        node_id = len(self.nodes)
        self.nodes.append(
            Node(node_id, op, parents, shape, raw.id, kind_label(raw.kind), origin(raw.fields))
        )
        if holds and op.has_payload:
            self.inline[node_id] = raw.fields
        return node_id

    def _lower(self, raw: RawNode) -> int | None:
        op = WITHOUT_ATTRIBUTES.get(raw.kind) or self.decoded.like(raw.kind, raw.shape, raw.fields)
        if op is not None and raw.sound and not raw.is_tuple:
            parents = tuple([self.tensor_ids[parent] for parent in raw.parents])
            if None not in parents:
                ids = cast("tuple[int, ...]", parents)
                return self._append(raw, op, ids, raw.shape, holds=True)
        place = self._place(raw)
        if (raw.kind or raw.sound) and not self._known_kind(raw, place):
            return None if raw.is_tuple else self._append(raw, Unreadable(), (), raw.shape)
        if raw.is_tuple:
            if raw.kind not in TUPLE_KINDS:
                self.problems.mismatch(
                    "bad-tuple", place, "value_kind", "`tensor` for this kind", "`tuple`"
                )
            return None
        if raw.kind in TUPLE_KINDS:
            self.problems.mismatch(
                "bad-tuple", place, "value_kind", "`tuple` for this kind", "`tensor`"
            )
            return self._append(raw, Unreadable(), (), raw.shape)
        lowered = self._lower_tensor(raw, place) if raw.sound else None
        return self._append(raw, Unreadable(), (), raw.shape) if lowered is None else lowered

    def _known_kind(self, raw: RawNode, place: Place) -> bool:
        if raw.kind in KINDS:
            return True
        if raw.kind == CUSTOM:
            message = "`custom` needs its Lean body, which has no JSON form"
            hint = "replace it by ops of the table before exporting"
            self.problems.add("custom-op", place, message, hint)
        else:
            message = f"unknown kind {shown(raw.kind)}"
            self.problems.add("unknown-kind", place, message, nearest(raw.kind, KINDS))
        return False

    def _lower_tensor(self, raw: RawNode, place: Place) -> int | None:
        if raw.kind == PROJECTION:
            return self._lower_projection(raw, place)
        parents = self._tensor_parents(raw, place)
        if parents is None:
            return None
        if raw.kind in _REDUCTIONS:
            return self._lower_reduction(raw, parents, place)
        if raw.kind in LEGACY_KINDS:
            op = self._legacy_op(raw, parents, place)
        else:
            op = self.decoded.decode(
                raw.kind, raw.shape, raw.fields, len(self.nodes), place, self.problems
            )
        if op is None:
            return None
        return self._append(raw, op, parents, raw.shape, holds=True)

    def _tensor_parents(self, raw: RawNode, place: Place) -> tuple[int, ...] | None:
        parents = tuple(map(self.tensor_ids.__getitem__, raw.parents))
        if None not in parents:
            return cast("tuple[int, ...]", parents)
        index = parents.index(None)
        found = f"`{raw.parents[index]}`, a tuple node"
        hint = "read one of its values with `tuple_getitem`"
        self.problems.mismatch(
            "bad-tuple", place, f"parents[{index}]", "a tensor node", found, hint
        )
        return None

    def _has_parents(self, count: int, found: int, place: Place) -> bool:
        if found != count:
            expected = f"{count} node id{'s' if count != 1 else ''}"
            self.problems.mismatch("bad-arity", place, "parents", expected, str(found))
        return found == count

    def _legacy_op(self, raw: RawNode, parents: tuple[int, ...], place: Place) -> Op | None:
        if not self._has_parents(1, len(parents), place):
            return None
        x = self.nodes[parents[0]].shape
        return legacy.decode_legacy(raw.kind, raw.fields, x, place, self.problems)

    def _lower_reduction(self, raw: RawNode, parents: tuple[int, ...], place: Place) -> int | None:
        if not self._has_parents(1, len(parents), place):
            return None
        shape = self.nodes[parents[0]].shape
        read = self._reduction_axes(raw, place)
        if read is None:
            return None
        axes, keepdim = read
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
        self, raw: RawNode, current: int, axes: tuple[int, ...], keepdim: bool
    ) -> int:
        op = _REDUCTIONS[raw.kind]
        remaining = len(axes)
        for axis in sorted(axes, reverse=True):
            remaining -= 1
            before = self.nodes[current].shape
            after = before[:axis] + before[axis + 1 :]
            last = remaining == 0 and not keepdim
            current = self._append(raw, op(axis), (current,), raw.shape if last else after)
            if keepdim:
                kept = (*before[:axis], 1, *before[axis + 1 :])
                declared = raw.shape if remaining == 0 else kept
                current = self._append(raw, Reshape(after, kept), (current,), declared)
        return current

    def _reduction_axes(self, raw: RawNode, place: Place) -> tuple[tuple[int, ...], bool] | None:
        values = raw.fields
        if "axis" in values and ("axes" in values or "keepdim" in values):
            message = (
                "`axis` (legacy dialect) and `axes`, `keepdim` (v1 dialect) exclude each other"
            )
            self.problems.add("mixed-dialects", place, message)
            return None
        if self.document.legacy and "axis" in values:
            decoded = decode_fields({"axis": (int, True)}, values, place, self.problems)
            return None if decoded is None else ((decoded["axis"],), False)
        wanted: dict[str, tuple[object, bool]] = {
            "axes": (tuple[int, ...], True),
            "keepdim": (bool, True),
        }
        decoded = decode_fields(wanted, values, place, self.problems)
        return None if decoded is None else (decoded["axes"], decoded["keepdim"])

    def _lower_projection(self, raw: RawNode, place: Place) -> int | None:
        decoded = decode_fields({"index": (int, True)}, raw.fields, place, self.problems)
        if decoded is None or not self._has_parents(1, len(raw.parents), place):
            return None
        source = self.document.nodes[raw.parents[0]]
        if not source.sound or source.kind not in KINDS:
            return None
        index: int = decoded["index"]
        if source.kind != ATTENTION or source.tuple_shapes is None:
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
            result = self._expand_attention(source, raw)
            if result is None:
                return None
            self.projected[source.id] = result
        return self.projected[source.id]

    def _expand_attention(self, source: RawNode, raw: RawNode) -> int | None:
        place = self._place(source)
        if not self._has_parents(3, len(source.parents), place):
            return None
        if len(set(source.parents)) != 1:
            expected = "one node three times (self-attention)"
            self.problems.mismatch(
                "unsupported", place, "parents", expected, shown(tuple(source.parents))
            )
            return None
        parents = self._tensor_parents(source, place)
        if parents is None:
            return None
        x = parents[0]
        declared, problems = raw.shape, self.problems
        checked = attention.read_attention(
            source.fields, self.nodes[x].shape, declared, place, problems
        )
        if checked is None:
            return None
        expansion = attention.expand(
            checked, x, lambda op, ids, shape: self._append(source, op, ids, shape)
        )
        for node_id, part in expansion.linears.items():
            names = {slot: f"{part}_{slot}" for slot in _PAYLOAD_PAIR}
            fields = source.fields
            self.names[node_id] = names
            self.inline[node_id] = {s: fields[name] for s, name in names.items() if name in fields}
        self.fills[expansion.scale_id] = checked.scale
        return expansion.result
