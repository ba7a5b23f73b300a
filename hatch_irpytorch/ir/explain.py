"""Why a graph is refused: every problem with its place. Nothing here ever returns a graph.

The same bytes are read once more with the standard library, node by node. What is sound is lowered,
checked and bound as the reader does it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from hatch_irpytorch.errors import IRPyTorchError, Place, Problems, nearest, shown
from hatch_irpytorch.ir.attributes import (
    ValueFormError,
    nat,
    nats,
    read_attributes,
    shape,
    shapes,
    texts,
)
from hatch_irpytorch.ir.document import (
    FORMAT,
    JSON_TEXT,
    STRUCTS,
    Document,
    Root,
    UnsoundNode,
    check_root,
)
from hatch_irpytorch.ir.kinds import CUSTOM, KINDS, Kind
from hatch_irpytorch.source.json_text import JsonObject, parse_json

_Read = TypeVar("_Read")


def explain(
    data: bytes, file: str, resolve: Callable[[Document, Problems], object]
) -> IRPyTorchError:
    """Everything that is wrong with a document, and what `resolve` tells of what is usable."""
    problems = Problems()
    try:
        document = _document(data, file, problems)
    except IRPyTorchError as error:
        return error
    if document is not None:
        resolve(document, problems)
    return IRPyTorchError(problems)


def _document(data: bytes, file: str, problems: Problems) -> Document | None:
    """What is usable of a document; what is wrong with it goes to `problems`.

    None when the root is not usable. Raises `IRPyTorchError` for a text that is no JSON.
    """
    value = parse_json(data, file, repeated_keys=True)
    root = Place(file)
    if not isinstance(value, JsonObject):
        problems.add("bad-format", root, f"the root must be an object, found {shown(value)}")
        return None
    if value.get("format") != FORMAT:
        found = shown(value["format"]) if "format" in value else "nothing"
        problems.mismatch("bad-format", root, "format", f'`"{FORMAT}"`', found)
        return None
    input_id = _root_nat(value, "input_id", root, problems)
    legacy, output_ids = _outputs(value, root, problems)
    raw = value.get("nodes")
    if not isinstance(raw, list) or not raw:
        found = "nothing" if raw is None else shown(raw)
        problems.mismatch("bad-format", root, "nodes", "an array of at least one node", found)
        return None
    _refuse_repeated(value, Root, root, problems)
    nodes = [_node(item, i, file, legacy, problems) for i, item in enumerate(raw)]
    if input_id is None or output_ids is None:
        return Document(file, legacy, 0, (), nodes)
    document = Document(file, legacy, input_id, output_ids, nodes)
    check_root(document, problems)
    return document


def _root_nat(value: JsonObject, name: str, root: Place, problems: Problems) -> int | None:
    if name not in value:
        problems.add("bad-format", root, f"`{name}` is missing")
        return None
    return _field(value, name, nat, "bad-format", root, problems)


def _field(
    item: JsonObject,
    name: str,
    read: Callable[[object], _Read],
    code: str,
    place: Place,
    problems: Problems,
    expected: str = "",
) -> _Read | None:
    """What a field says, or None after a problem with it."""
    try:
        return read(item.get(name))
    except ValueFormError as problem:
        found = problem.found if name in item else "nothing"
        problems.mismatch(code, place, name, expected or problem.expected, found)
        return None


def _outputs(
    value: JsonObject, root: Place, problems: Problems
) -> tuple[bool, tuple[int, ...] | None]:
    if "output_id" in value and "output_ids" in value:
        message = "`output_id` (legacy dialect) and `output_ids` (v1 dialect) exclude each other"
        problems.add("mixed-dialects", root, message)
        return False, None
    if "output_id" in value:
        output = _root_nat(value, "output_id", root, problems)
        return True, None if output is None else (output,)
    expected = "an array of at least one node id"
    outputs = _field(value, "output_ids", nats, "bad-format", root, problems, expected)
    if outputs == ():
        problems.mismatch("bad-format", root, "output_ids", expected, "an empty one")
    return False, outputs or None


def _node(item: object, position: int, file: str, legacy: bool, problems: Problems) -> Any:
    place = Place(file, node=position)
    if not isinstance(item, JsonObject):
        problems.add("bad-format", place, f"a node must be an object, found {shown(item)}")
        return UnsoundNode("", ())
    before = len(problems)
    tag = item.get("kind")
    if not isinstance(tag, str):
        found = shown(tag) if "kind" in item else "nothing"
        problems.mismatch("bad-attribute", place, "kind", "a string", found)
        tag = ""
    kind = KINDS.get(tag)
    place = Place(file, node=position, kind=tag if kind else "")
    parents = _links(item, position, place, problems)
    is_tuple = _is_tuple(item, place, problems)
    several, declared = None, None
    if is_tuple:
        expected = "an array of shapes"
        several = _field(item, "tuple_shapes", shapes, "bad-shape", place, problems, expected)
    else:
        declared = _field(item, "shape", shape, "bad-shape", place, problems) or ()
    if kind is None and isinstance(item.get("kind"), str):
        _tell_unknown_kind(tag, place, problems)
    elif kind is not None and kind.is_tuple != is_tuple:
        wanted, given = ("tuple", "tensor") if kind.is_tuple else ("tensor", "tuple")
        expected = f"`{wanted}` for this kind"
        problems.mismatch("bad-tuple", place, "value_kind", expected, f"`{given}`")
    named = {}
    if "state_keys" in item:
        named["state_keys"] = _field(item, "state_keys", texts, "bad-attribute", place, problems)
    attributes = None
    if kind is not None and len(problems) == before:
        attributes = _attributes(kind, item, legacy, place, problems)
        _refuse_repeated(item, STRUCTS[kind.tag], place, problems)
    if kind is None or attributes is None or len(problems) > before:
        return UnsoundNode(tag, declared)
    payload = {name: item[name] for name in kind.payload if name in item}
    shaped = {"value_kind": "tuple", "tuple_shapes": several} if is_tuple else {"shape": declared}
    struct: Any = STRUCTS[kind.tag]
    return struct(id=position, parents=parents, **shaped, **attributes, **payload, **named)


def _links(item: JsonObject, position: int, place: Place, problems: Problems) -> tuple[int, ...]:
    """The parents of a node, which has the id of its position and only earlier ones as parents."""
    node_id = item.get("id")
    if type(node_id) is not int or node_id != position:
        found = shown(node_id) if "id" in item else "nothing"
        problems.mismatch("bad-id", place, "id", f"`{position}`, its position in `nodes`", found)
    expected = "an array of node ids"
    parents = _field(item, "parents", nats, "bad-parent", place, problems, expected) or ()
    for index, parent in enumerate(parents):
        if parent >= position:
            hint = "a graph has no cycles and no forward references"
            expected = f"smaller than {position}, the node's own id"
            field = f"parents[{index}]"
            problems.mismatch("bad-parent", place, field, expected, shown(parent), hint)
    return parents


def _is_tuple(item: JsonObject, place: Place, problems: Problems) -> bool:
    value_kind = item.get("value_kind", "tensor")
    if value_kind not in ("tensor", "tuple"):
        expected = '`"tensor"` or `"tuple"`'
        problems.mismatch("bad-tuple", place, "value_kind", expected, shown(value_kind))
    return value_kind == "tuple"


def _tell_unknown_kind(tag: str, place: Place, problems: Problems) -> None:
    if tag == CUSTOM:
        message = "`custom` needs its Lean body, which has no JSON form"
        hint = "replace it by ops of the table before exporting"
        problems.add("custom-op", place, message, hint)
    else:
        problems.add("unknown-kind", place, f"unknown kind {shown(tag)}", nearest(tag, KINDS))


def _attributes(
    kind: Kind, item: JsonObject, legacy: bool, place: Place, problems: Problems
) -> dict[str, Any] | None:
    mixed = kind.mixed(item)
    if mixed:
        problems.add("mixed-dialects", place, *mixed)
        return None
    for name, attribute in kind.attributes.items():
        value = item.get(name)
        struct = attribute.type
        if isinstance(value, JsonObject) and isinstance(struct, type(msgspec.Struct)):
            _refuse_repeated(value, struct, place, problems)
    return read_attributes(kind.spelling(item, legacy=legacy), item, place, problems)


def _refuse_repeated(
    item: JsonObject, struct: type[msgspec.Struct], place: Place, problems: Problems
) -> None:
    """Of a repeated key the last value counts, and all have the type of the field."""
    types = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key, earlier in item.repeated:
        wanted = types.get(key, JSON_TEXT)
        sound = earlier == item[key] if key == "kind" else _fits(earlier, wanted)
        if not sound:
            message = f"the key {shown(key)} is given twice in one object"
            problems.add("duplicate-key", place, message)


def _fits(value: object, wanted: Any) -> bool:
    if wanted == JSON_TEXT:
        return True
    try:
        msgspec.json.decode(json.dumps(value), type=wanted)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
