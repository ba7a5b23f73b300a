"""What lowering gives: the graph, and the payload that its document holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hatch_irpytorch.ir.graph import Graph


@dataclass(frozen=True)
class Lowered:
    """A graph with its inline payload: JSON values by node and field, or a number for all entries.

    `names` are those under which the document gives fields where it calls them otherwise.
    """

    graph: Graph
    inline: Mapping[int, Mapping[str, object]]
    fills: Mapping[int, float] = field(default_factory=dict)
    names: Mapping[int, Mapping[str, str]] = field(default_factory=dict)

    def name(self, node_id: int, slot: str) -> str:
        """The name under which the document gives a slot: `q_weight` for `weight`."""
        return self.names[node_id][slot] if node_id in self.names else slot
