"""The `torchlean.ir.v1` document: its root and its raw nodes, read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

from hatch_irpytorch.errors import Place, Problems, shown
from hatch_irpytorch.ir.attributes import ValueFormError, items, nat, nats, shape
from hatch_irpytorch.ir.columns import Columns, read_columns
from hatch_irpytorch.ir.graph import Graph, Node, ParamStore, Shape
from hatch_irpytorch.ir.kinds import kind_label
from hatch_irpytorch.ir.ops import Mask
from hatch_irpytorch.ir.ops.convolution import Conv
from hatch_irpytorch.ir.plain import PlainNodes, read_plain
from hatch_irpytorch.source.quick_json import Parts

FORMAT = "torchlean.ir.v1"

NODES = Parts("nodes", (read_plain, read_columns))
"""How the nodes are read while the text of a document is."""


class RawNode(NamedTuple):
    """One object of `nodes`. `fields` is the whole object, unknown fields included."""

    id: int
    kind: str
    parents: tuple[int, ...]
    shape: Shape
    tuple_shapes: tuple[Shape, ...] | None
    fields: dict[str, object]
    sound: bool = True

    @property
    def is_tuple(self) -> bool:
        return self.tuple_shapes is not None


@dataclass(frozen=True)
class Document:
    """A graph as its file spells it. `legacy`: the dialect of torchlean.ir.v1: 1.6.

    The nodes are `plain` where each is one op without any problem, `columns` where all are sound
    tensor nodes, else `told`: what is wrong with any of them has been told.
    """

    file: str
    legacy: bool
    input_id: int
    output_ids: tuple[int, ...]
    plain: PlainNodes | None
    columns: Columns | None = None
    told: tuple[RawNode, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of every node."""
        if self.plain is not None:
            return self.plain.kinds
        return self.columns.kinds if self.columns else tuple([node.kind for node in self.told])

    @cached_property
    def nodes(self) -> tuple[RawNode, ...]:
        """The nodes one by one, where they are not `plain`."""
        assert self.plain is None
        if self.columns is None:
            return self.told
        rows = zip(*self.columns, strict=True)
        return tuple(
            RawNode(position, kind, parents, extents, None, fields)
            for position, (kind, parents, extents, fields) in enumerate(rows)
        )


def read_document(value: object, file: str, problems: Problems) -> Document | None:
    """The document in a JSON value. Root and node structure are checked, ops are not.

    Instead of the array of nodes there may be what `NODES` made of it.
    Returns None when the root is not usable. torchlean.ir.v1: 1.1, 1.2, 1.4.
    """
    root = Place(file)
    if not isinstance(value, dict):
        problems.add("bad-format", root, f"the root must be an object, found {shown(value)}")
        return None
    if value.get("format") != FORMAT:
        found = shown(value["format"]) if "format" in value else "nothing"
        problems.mismatch("bad-format", root, "format", f'`"{FORMAT}"`', found)
        return None
    input_id = _root_nat(value, "input_id", root, problems)
    legacy, output_ids = _read_outputs(value, root, problems)
    raw = value.get("nodes")
    if not isinstance(raw, (list, PlainNodes, Columns)) or not raw:
        found = "nothing" if raw is None else shown(raw)
        problems.mismatch("bad-format", root, "nodes", "an array of at least one node", found)
        return None
    nodes = _read_nodes(raw, file, problems)
    if input_id is None or output_ids is None:
        return Document(file, legacy, 0, (), *nodes)
    document = Document(file, legacy, input_id, output_ids, *nodes)
    kinds = document.kinds
    count = len(kinds)
    _check_input(document, kinds, problems)
    for position, output in enumerate(output_ids):
        if output >= count:
            field = "output_id" if legacy else f"output_ids[{position}]"
            expected = f"the id of one of the {count} nodes"
            problems.mismatch("bad-id", root, field, expected, f"`{output}`")
    return document


def _read_nodes(
    raw: list[Any] | PlainNodes | Columns, file: str, problems: Problems
) -> tuple[PlainNodes | None, Columns | None, tuple[RawNode, ...]]:
    """The nodes in one of the three forms of a document."""
    plain = read_plain([raw]) if type(raw) is list else raw
    if isinstance(plain, PlainNodes):
        return plain, None, ()
    columns = read_columns([raw]) if type(raw) is list else raw
    if isinstance(columns, Columns):
        return None, columns, ()
    return None, None, tuple(_read_node(x, i, file, problems) for i, x in enumerate(raw))


def _root_nat(value: dict[str, object], name: str, root: Place, problems: Problems) -> int | None:
    if name not in value:
        problems.add("bad-format", root, f"`{name}` is missing")
        return None
    try:
        return nat(value[name])
    except ValueFormError as problem:
        problems.mismatch("bad-format", root, name, problem.expected, problem.found)
        return None


def _read_outputs(
    value: dict[str, object], root: Place, problems: Problems
) -> tuple[bool, tuple[int, ...] | None]:
    if "output_id" in value and "output_ids" in value:
        message = "`output_id` (legacy dialect) and `output_ids` (v1 dialect) exclude each other"
        problems.add("mixed-dialects", root, message)
        return False, None
    if "output_id" in value:
        output = _root_nat(value, "output_id", root, problems)
        return True, None if output is None else (output,)
    expected = "an array of at least one node id"
    try:
        outputs = nats(value.get("output_ids"))
    except ValueFormError as problem:
        found = problem.found if "output_ids" in value else "nothing"
        problems.mismatch("bad-format", root, "output_ids", expected, found)
        return False, None
    if not outputs:
        problems.mismatch("bad-format", root, "output_ids", expected, "an empty one")
        return False, None
    return False, outputs


def _read_node(item: object, position: int, file: str, problems: Problems) -> RawNode:
    place = Place(file, node=position)
    if not isinstance(item, dict):
        problems.add("bad-format", place, f"a node must be an object, found {shown(item)}")
        return RawNode(position, "", (), (), None, {}, sound=False)
    before = len(problems)
    kind = item.get("kind")
    if not isinstance(kind, str):
        found = shown(kind) if "kind" in item else "nothing"
        problems.mismatch("bad-attribute", place, "kind", "a string", found)
        kind = ""
    place = Place(file, node=position, kind=kind_label(kind))
    _check_id(item, position, place, problems)
    parents = _read_parents(item, position, place, problems)
    value_kind = item.get("value_kind", "tensor")
    if value_kind not in ("tensor", "tuple"):
        expected = '`"tensor"` or `"tuple"`'
        problems.mismatch("bad-tuple", place, "value_kind", expected, shown(value_kind))
    if value_kind == "tuple":
        shapes = _read_tuple_shapes(item, place, problems)
        sound = len(problems) == before
        return RawNode(position, kind, parents, (), shapes, item, sound)
    try:
        declared = shape(item.get("shape"))
    except ValueFormError as problem:
        found = problem.found if "shape" in item else "nothing"
        problems.mismatch("bad-shape", place, "shape", problem.expected, found)
        declared = ()
    return RawNode(position, kind, parents, declared, None, item, len(problems) == before)


def _check_id(item: dict[str, object], position: int, place: Place, problems: Problems) -> None:
    found = item.get("id")
    if type(found) is not int or found != position:
        text = shown(found) if "id" in item else "nothing"
        problems.mismatch("bad-id", place, "id", f"`{position}`, its position in `nodes`", text)


def _read_parents(
    item: dict[str, object], position: int, place: Place, problems: Problems
) -> tuple[int, ...]:
    try:
        parents = nats(item.get("parents"))
    except ValueFormError as problem:
        found = problem.found if "parents" in item else "nothing"
        problems.mismatch("bad-parent", place, "parents", "an array of node ids", found)
        return ()
    if not parents or max(parents) < position:
        return parents
    for index, parent in enumerate(parents):
        if parent >= position:
            hint = "a graph has no cycles and no forward references"
            expected = f"smaller than {position}, the node's own id"
            field = f"parents[{index}]"
            problems.mismatch("bad-parent", place, field, expected, shown(parent), hint)
    return ()


def _read_tuple_shapes(
    item: dict[str, object], place: Place, problems: Problems
) -> tuple[Shape, ...]:
    try:
        value = items(item.get("tuple_shapes"))
        if not isinstance(value, list):
            raise ValueFormError("", shown(value) if "tuple_shapes" in item else "nothing")
        return tuple(shape(entry) for entry in value)
    except ValueFormError as problem:
        expected = "an array of shapes"
        problems.mismatch("bad-shape", place, "tuple_shapes", expected, problem.found)
        return ()


def _check_input(document: Document, kinds: Sequence[str], problems: Problems) -> None:
    root = Place(document.file)
    if kinds.count("input") != 1:
        inputs = [node_id for node_id, kind in enumerate(kinds) if kind == "input"]
        found = "none" if not inputs else f"nodes {', '.join(map(str, inputs[:5]))}"
        message = f"a graph must have exactly one `input` node, found {found}"
        problems.add("bad-format", root, message)
    elif document.input_id != kinds.index("input"):
        expected = f"`{kinds.index('input')}`, the node of kind `input`"
        problems.mismatch("bad-id", root, "input_id", expected, f"`{document.input_id}`")


# Writing


def write_document(graph: Graph, params: ParamStore | None = None) -> dict[str, object]:
    """A v1 document of the lowered graph, with the payload of `params` inside when given.

    Every tensor node becomes one raw node, so that ids stay; a one-axis reduction is written
    with `axes` and without `keepdim`.
    """
    return {
        "format": FORMAT,
        "input_id": graph.input_id,
        "output_ids": list(graph.output_ids),
        "nodes": [_write_node(graph, node, params) for node in graph.nodes],
    }


def document_text(
    graph: Graph,
    params: ParamStore | None,
    extra: Mapping[str, str] | None = None,
) -> str:
    """`write_document` as JSON text, one node a line; `extra` are more fields of the root."""
    document = write_document(graph, params)
    nodes = document.pop("nodes")
    assert isinstance(nodes, list)
    lines = ",\n".join(f"    {json.dumps(node, allow_nan=False)}" for node in nodes)
    head = json.dumps(document | dict(extra or {}))
    return f'{head[:-1]}, "nodes": [\n{lines}\n]}}\n'


def _write_node(graph: Graph, node: Node, params: ParamStore | None) -> dict[str, object]:
    op = node.op
    slots = graph.slots(node)
    written: dict[str, object] = {
        "id": node.id,
        "kind": op.tag,
        "parents": list(node.parents),
        "value_kind": "tensor",
        "shape": list(node.shape),
    }
    if node.origin:
        written["debug_target"] = node.origin
    for field in fields(op):  # type: ignore[arg-type]
        value = getattr(op, field.name)
        left_out = field.default is not MISSING and value == field.default
        repeated = params is not None and field.name in op.repeated_fields
        if field.name not in op.from_node and not left_out and not repeated:
            written[field.name] = _json_value(value)
    if op.tag in ("reduce_sum", "reduce_mean"):
        written |= {"axes": [written.pop("axis")], "keepdim": False}
    for slot in slots:
        array = None if params is None else params.get((node.id, slot.field))
        if array is not None:
            flat = op.tag == "const"
            written[slot.field] = (array.reshape(-1) if flat else array).tolist()
    if params is not None:
        written |= _repeated_fields(graph, node)
    return written


def _repeated_fields(graph: Graph, node: Node) -> dict[str, object]:
    """What upstream's payload reader wants although shapes say it already."""
    if node.op.tag == "linear":
        return {"out_dim": node.shape[-1], "in_dim": graph.parent_shapes(node)[0][-1]}
    if node.op.tag == "conv":
        assert isinstance(node.op, Conv)
        extents = graph.parent_shapes(node)[0]
        return {"input_spatial": list(extents[node.op.channel_axis + 1 :])}
    return {}


def _json_value(value: object) -> object:
    if isinstance(value, Mask):
        return {"shape": list(value.shape), "allowed": list(value.allowed)}
    return list(value) if isinstance(value, tuple) else value
