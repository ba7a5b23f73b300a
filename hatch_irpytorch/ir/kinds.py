"""Every kind a node of a file may have, and how its nodes are spelled. torchlean.ir.v1: 2, 3.

Reader, explainer and writer are made from this table, and it from the classes of the ops.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import NamedTuple, get_args, get_type_hints

from hatch_irpytorch.errors import shown
from hatch_irpytorch.ir.attention import ATTENTION_ATTRIBUTES, ATTENTION_PAYLOAD, SCALE
from hatch_irpytorch.ir.legacy import FOREIGN_FIELDS, LEGACY_KINDS
from hatch_irpytorch.ir.ops import BY_TAG, OPS, Op
from hatch_irpytorch.ir.ops.learned import EVERY_PROJECTION, LearnedProjections

ATTENTION = "multihead_attention"
PROJECTION = "tuple_getitem"
TUPLE = "py_tuple"
CUSTOM = "custom"
LEARNABLE = "learnable"


class Attribute(NamedTuple):
    """The type of a JSON attribute, and what it is where a node does not give it."""

    type: object
    required: bool = True
    default: object = None


@dataclass(frozen=True)
class Kind:
    """How the nodes of one kind are spelled.

    `legacy` are the attributes of its legacy spelling where both dialects share the name; `foreign`
    are fields that only the nodes of the other dialect have. `op` is given for those that are one.
    """

    tag: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    payload: tuple[str, ...] = ()
    legacy: Mapping[str, Attribute] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    op: type[Op] | None = None
    is_tuple: bool = False

    def spelling(self, given: Collection[str], *, legacy: bool) -> Mapping[str, Attribute]:
        """The attributes of a node that gives these fields, in a document of this dialect."""
        is_old = legacy and any(name in given for name in self.legacy)
        return self.legacy if is_old else self.attributes

    def mixed(self, given: Collection[str]) -> tuple[str, str] | None:
        """The message and hint for fields of both dialects in one node. torchlean.ir.v1: 1.6."""
        if any(name in given for name in self.legacy):
            if any(name in given for name in self.attributes):
                old, new = _listed(self.legacy), _listed(self.attributes)
                return f"{old} (legacy dialect) and {new} (v1 dialect) exclude each other", ""
            return None
        foreign = next((name for name in self.foreign if name in given), None)
        if foreign is None:
            return None
        if self.op is not None:
            return f"{shown(foreign)} belongs to the legacy dialect, `{self.tag}` to the v1 one", ""
        hint = f"use kind `{LEGACY_KINDS[self.tag].tag}` or drop it"
        return f"`{foreign}` belongs to the v1 dialect, `{self.tag}` to the legacy one", hint


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _attributes_of(op: type[Op]) -> dict[str, Attribute]:
    """The fields of an op that its nodes give as attributes."""
    hints = get_type_hints(op)
    result = {}
    for found in fields(op):  # type: ignore[arg-type]
        if found.name not in op.from_node:
            kind = hints[found.name]
            types = get_args(kind)
            if type(None) in types:
                kind = types[0]
            optional = found.default is not MISSING
            result[found.name] = Attribute(kind, not optional, found.default if optional else None)
    return result


def _of_op(op: type[Op]) -> Kind:
    foreign = FOREIGN_FIELDS.get(op.tag, ())
    if op.tag in ("reduce_sum", "reduce_mean"):
        several = {"axes": Attribute(tuple[int, ...]), "keepdim": Attribute(bool)}
        return Kind(op.tag, several, legacy=_attributes_of(op))
    return Kind(op.tag, _attributes_of(op), op.payload_fields, foreign=foreign, op=op)


def _of_legacy(tag: str) -> Kind:
    legacy = LEGACY_KINDS[tag]
    op = BY_TAG[legacy.tag]
    of_op = _attributes_of(op)
    attributes = {name: Attribute(kind) for name, kind in legacy.attributes.items()}
    if LEARNABLE in of_op:
        attributes[LEARNABLE] = of_op[LEARNABLE]
    foreign = set(of_op) - set(attributes) - op.repeated_fields
    return Kind(tag, attributes, op.payload_fields, foreign=tuple(sorted(foreign)))


def _of_others() -> tuple[Kind, ...]:
    attention = {name: Attribute(kind) for name, kind in ATTENTION_ATTRIBUTES.items()}
    attention[SCALE] = Attribute(float, False)
    attention[LEARNABLE] = Attribute(LearnedProjections, False, EVERY_PROJECTION)
    return (
        Kind(ATTENTION, attention, ATTENTION_PAYLOAD, is_tuple=True),
        Kind(TUPLE, is_tuple=True),
        Kind(PROJECTION, {"index": Attribute(int)}),
    )


KINDS: dict[str, Kind] = {
    kind.tag: kind for kind in (*map(_of_op, OPS), *map(_of_legacy, LEGACY_KINDS), *_of_others())
}
"""By the name that a node's `kind` has. `custom` has no JSON form and is not among them."""
