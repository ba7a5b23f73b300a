"""What lowering gives: the graph, and the payload that its document holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hatch_irpytorch.ir.graph import Graph
from hatch_irpytorch.ir.packing import ABSENT, Packed


@dataclass(frozen=True)
class Lowered:
    """A graph with its inline payload: JSON values by node and field, or a number for all entries.

    The payload of plain nodes is `packed` while they are read. `names` are those under which the
    document gives fields where it calls them otherwise.
    """

    graph: Graph
    inline: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    fills: Mapping[int, float] = field(default_factory=dict)
    names: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    packed: Packed | None = None

    def value(self, node_id: int, slot: str) -> object:
        """What the document gives for a slot: a JSON value, an array, or `ABSENT`."""
        if self.packed is not None:
            return self.packed.value(node_id, slot)
        return self.inline.get(node_id, {}).get(slot, ABSENT)

    def name(self, node_id: int, slot: str) -> str:
        """The name under which the document gives a slot: `q_weight` for `weight`."""
        return self.names[node_id][slot] if node_id in self.names else slot
