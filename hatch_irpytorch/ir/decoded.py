"""Ops decoded before: nodes of the same kind and attributes share one."""

from __future__ import annotations

import marshal

from hatch_irpytorch.errors import Place, Problems
from hatch_irpytorch.ir.attributes import ATTRIBUTES, decode_op
from hatch_irpytorch.ir.graph import Shape
from hatch_irpytorch.ir.legacy import FOREIGN_FIELDS, refuse_legacy_fields
from hatch_irpytorch.ir.ops import BY_TAG, OPS, Mask, Op

_NAMES = {
    op.tag: (*ATTRIBUTES[op.tag], *FOREIGN_FIELDS.get(op.tag, ()))
    for op in OPS
    if op.from_node <= {"shape"} and (Mask, True) not in ATTRIBUTES[op.tag].values()
}
"""The fields that decide what an op is, for those that are the same wherever these are and, for
some, the shape. Masks are left out: they are too long to compare."""

_SHAPED = frozenset(op.tag for op in OPS if "shape" in op.from_node)

_Said = tuple[str, Shape | None, bytes]


class DecodedOps:
    """Sound ops by what their nodes say."""

    def __init__(self) -> None:
        self._known: dict[_Said, Op] = {}

    def like(self, kind: str, shape: Shape, fields: dict[str, object]) -> Op | None:
        """The op that a node with the same fields had, if any had."""
        said = _said(kind, shape, fields)
        return None if said is None else self._known.get(said)

    def decode(
        self,
        kind: str,
        shape: Shape,
        fields: dict[str, object],
        node_id: int,
        place: Place,
        problems: Problems,
    ) -> Op | None:
        """The op of a node of v1, noted for those that are alike; None after a problem."""
        if not refuse_legacy_fields(kind, fields, place, problems):
            return None
        context: dict[str, object] = {"shape": shape, "node_id": node_id}
        op = decode_op(BY_TAG[kind], fields, context, place, problems)
        said = _said(kind, shape, fields)
        if op is not None and said is not None:
            self._known[said] = op
        return op


def _said(kind: str, shape: Shape, fields: dict[str, object]) -> _Said | None:
    """A node's kind, its shape where that decides what it is, and its fields as bytes, which tell
    1 from true, from 1.0 and from nothing.

    None where nodes are not compared, and for long arrays, which have no such form.
    """
    names = _NAMES.get(kind)
    if names is None:
        return None
    deciding = shape if kind in _SHAPED else None
    if not names:
        return kind, deciding, b""
    try:
        return kind, deciding, marshal.dumps([fields.get(name, ...) for name in names], 2)
    except ValueError:
        return None
