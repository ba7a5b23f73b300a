"""Ops decoded before: nodes of the same kind, attributes and shape share one."""

from __future__ import annotations

import marshal

from hatch_irpytorch.ir.attributes import ATTRIBUTES
from hatch_irpytorch.ir.legacy import FOREIGN_FIELDS
from hatch_irpytorch.ir.ops import OPS, Mask, Op
from hatch_irpytorch.ir.wire import RawNode

_WITH_OTHER_FIELDS = frozenset({"reduce_sum", "reduce_mean"})
_NAMES = {
    op.tag: (*ATTRIBUTES[op.tag], *FOREIGN_FIELDS.get(op.tag, ()))
    for op in OPS
    if op.from_node <= {"shape"}
    and op.tag not in _WITH_OTHER_FIELDS
    and (Mask, True) not in ATTRIBUTES[op.tag].values()
}
"""The fields that decide what an op is, for those that are the same wherever these and the shape
are."""


class DecodedOps:
    """Sound ops by what their nodes say."""

    def __init__(self) -> None:
        self._known: dict[bytes, Op] = {}

    def like(self, raw: RawNode) -> Op | None:
        """The op that a node with the same fields had, if any had."""
        written = _written(raw)
        return None if written is None else self._known.get(written)

    def keep(self, raw: RawNode, op: Op) -> None:
        """Note the op of a node for those that are alike."""
        written = _written(raw)
        if written is not None:
            self._known[written] = op


def _written(raw: RawNode) -> bytes | None:
    """A node's kind, shape and fields as bytes, which tell 1 from true, from 1.0 and from nothing.

    None where nodes are not compared, and for long arrays, which have no such form.
    """
    names = _NAMES.get(raw.kind)
    if names is None:
        return None
    try:
        return marshal.dumps((raw.kind, raw.shape, [raw.fields.get(n, ...) for n in names]), 2)
    except ValueError:
        return None
