"""Ops decoded before: nodes of the same kind, attributes and shape share one."""

from __future__ import annotations

import marshal

from hatch_irpytorch.ir.attributes import ATTRIBUTES
from hatch_irpytorch.ir.graph import Shape
from hatch_irpytorch.ir.legacy import FOREIGN_FIELDS
from hatch_irpytorch.ir.ops import OPS, Mask, Op
from hatch_irpytorch.ir.wire import RawNode

_NAMES = {
    op.tag: (*ATTRIBUTES[op.tag], *FOREIGN_FIELDS.get(op.tag, ()))
    for op in OPS
    if op.from_node <= {"shape"} and (Mask, True) not in ATTRIBUTES[op.tag].values()
}
"""The fields that decide what an op is, for those that are the same wherever these and the shape
are. Masks are left out: they are too long to compare."""

_Said = tuple[str, Shape, bytes]


class DecodedOps:
    """Sound ops by what their nodes say."""

    def __init__(self) -> None:
        self._known: dict[_Said, Op] = {}

    def like(self, raw: RawNode) -> Op | None:
        """The op that a node with the same fields had, if any had."""
        said = _said(raw)
        return None if said is None else self._known.get(said)

    def keep(self, raw: RawNode, op: Op) -> None:
        """Note the op of a node for those that are alike."""
        said = _said(raw)
        if said is not None:
            self._known[said] = op


def _said(raw: RawNode) -> _Said | None:
    """A node's kind, shape and fields; those as bytes, which tell 1 from true, from 1.0 and from
    nothing.

    None where nodes are not compared, and for long arrays, which have no such form.
    """
    names = _NAMES.get(raw.kind)
    if names is None:
        return None
    if not names:
        return raw.kind, raw.shape, b""
    fields = raw.fields
    try:
        said = marshal.dumps([fields.get(name, ...) for name in names], 2)
    except ValueError:
        return None
    return raw.kind, raw.shape, said
