"""What lowering gives: the graph, and the payload that its document holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from hatch_irpytorch.ir.graph import Graph

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class InlinePayload(NamedTuple):
    """Payload of one tensor node as the document holds it: JSON values by field, or a fill."""

    values: Mapping[str, object] = _NOTHING
    names: Mapping[str, str] = _NOTHING
    fill: float | None = None

    def name(self, slot: str) -> str:
        """The name under which the document gives a slot: `q_weight` for `weight`."""
        return self.names.get(slot, slot)


@dataclass(frozen=True)
class Lowered:
    graph: Graph
    inline: dict[int, InlinePayload]
