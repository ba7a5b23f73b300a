"""A `torchlean.ir.v1` document, typed: one struct for each kind of node. torchlean.ir.v1: 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from hatch_irpytorch.errors import Place, Problems
from hatch_irpytorch.ir.kinds import KINDS, Attribute, Kind
from hatch_irpytorch.ir.ops import Mask
from hatch_irpytorch.ir.ops.learned import LearnedArrays
from hatch_irpytorch.ir.shapes import DeclaredShape, Shape

FORMAT = "torchlean.ir.v1"

_Nat = Annotated[int, Meta(ge=0)]
_TYPES: dict[object, Any] = {
    int: _Nat,
    bool: bool,
    float: float,
    tuple[int, ...]: tuple[_Nat, ...],
    Mask: Mask,
    **{kind: kind for kind in LearnedArrays.__subclasses__()},
}
JSON_TEXT: Any = Raw | UnsetType
"""The type of a field whose value is not looked at, or only later."""


class RawNode(msgspec.Struct, tag_field="kind", gc=False):
    """What the nodes of every kind have. Payload is kept as its JSON text until it is asked for."""

    id: int
    parents: tuple[_Nat, ...]
    debug_target: JSON_TEXT = UNSET
    onnx_name: JSON_TEXT = UNSET
    state_keys: dict[str, str] | UnsetType = UNSET


class UnsoundNode(NamedTuple):
    """Stands for a node whose problems are told already. A tuple has no shape."""

    kind: str
    shape: Shape | None


def _struct(kind: Kind) -> type[RawNode]:
    required: list[Any] = [("shape", DeclaredShape)]
    optional: list[Any] = [("value_kind", Literal["tensor"], "tensor")]
    if kind.is_tuple:
        required = [("value_kind", Literal["tuple"]), ("tuple_shapes", tuple[DeclaredShape, ...])]
        optional = []
    for name, attribute in kind.attributes.items():
        if attribute.required and not kind.legacy:
            required.append((name, _TYPES[attribute.type]))
        else:
            optional.append(_optional(name, attribute))
    optional += [_optional(name, attribute) for name, attribute in kind.legacy.items()]
    optional += [(name, JSON_TEXT, UNSET) for name in (*kind.payload, *kind.foreign)]
    name = "".join(part.capitalize() for part in kind.tag.split("_"))
    struct: Any = msgspec.defstruct(
        f"{name}Node",
        [*required, *optional],
        bases=(RawNode,),
        tag=kind.tag,
        namespace={"kind": kind.tag},
        gc=False,
        kw_only=True,
    )
    return struct  # type: ignore[no-any-return]


def _optional(name: str, attribute: Attribute) -> tuple[str, Any, object]:
    if attribute.required:
        return name, _TYPES[attribute.type] | UnsetType, UNSET
    return name, _TYPES[attribute.type], attribute.default


STRUCTS: dict[str, type[RawNode]] = {tag: _struct(kind) for tag, kind in KINDS.items()}
KIND_OF: dict[type[RawNode], Kind] = {STRUCTS[tag]: kind for tag, kind in KINDS.items()}
_TWO_DIALECTS = frozenset(of for of, kind in KIND_OF.items() if kind.foreign or kind.legacy)
"""The structs of kinds that both dialects have, each in its own spelling."""

_AnyNode: Any = Union[tuple(STRUCTS.values())]  # noqa: UP007


class Root(msgspec.Struct, gc=False):
    format: Literal["torchlean.ir.v1"]
    input_id: _Nat
    nodes: Annotated[list[_AnyNode], Meta(min_length=1)]
    output_id: _Nat | UnsetType = UNSET
    output_ids: Annotated[tuple[_Nat, ...], Meta(min_length=1)] | UnsetType = UNSET


_DECODER = msgspec.json.Decoder(Root)


class Document(NamedTuple):
    """A graph as its file spells it. `legacy`: the dialect of torchlean.ir.v1: 1.6."""

    file: str
    legacy: bool
    input_id: int
    output_ids: tuple[int, ...]
    nodes: Sequence[Any]


def read_document(data: bytes, file: str) -> Document | None:
    """The document in a text whose types and links are all right; None for any other."""
    try:
        root = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    legacy = isinstance(root.output_id, int)
    if legacy == isinstance(root.output_ids, tuple):
        return None
    outputs: Any = (root.output_id,) if legacy else root.output_ids
    document = Document(file, legacy, root.input_id, outputs, root.nodes)
    for position, node in enumerate(root.nodes):
        if node.id != position:
            return None
        for parent in node.parents:
            if parent >= position:
                return None
        if type(node) in _TWO_DIALECTS and not _is_of_one_dialect(node, legacy):
            return None
    problems = Problems()
    check_root(document, problems)
    return None if len(problems) else document


def _is_of_one_dialect(node: RawNode, legacy: bool) -> bool:
    kind = KIND_OF[type(node)]
    names = (*kind.foreign, *kind.legacy, *kind.attributes)
    given = [name for name in names if getattr(node, name) is not UNSET]
    spelling = kind.spelling(given, legacy=legacy)
    complete = all(name in given for name, attribute in spelling.items() if attribute.required)
    return complete and kind.mixed(given) is None


def check_root(document: Document, problems: Problems) -> None:
    """Tell when the input or an output is not the id of a node that can be one."""
    root, count = Place(document.file), len(document.nodes)
    inputs = [i for i, node in enumerate(document.nodes) if node.kind == "input"]
    if len(inputs) != 1:
        found = "none" if not inputs else f"nodes {', '.join(map(str, inputs[:5]))}"
        message = f"a graph must have exactly one `input` node, found {found}"
        problems.add("bad-format", root, message)
    elif document.input_id != inputs[0]:
        expected = f"`{inputs[0]}`, the node of kind `input`"
        problems.mismatch("bad-id", root, "input_id", expected, f"`{document.input_id}`")
    for position, output in enumerate(document.output_ids):
        if output >= count:
            field = "output_id" if document.legacy else f"output_ids[{position}]"
            expected = f"the id of one of the {count} nodes"
            problems.mismatch("bad-id", root, field, expected, f"`{output}`")
