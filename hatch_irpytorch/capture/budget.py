"""How much a conversion may make and do before it says that its file is not worth it."""

from __future__ import annotations

from dataclasses import dataclass

from hatch_irpytorch.capture.inexpressible import InexpressibleError

_ENTRIES = 1 << 23
_ENTRIES_PER_BYTE = 8
_ENTRIES_PER_INPUT_ENTRY = 8
_COUNTED_INPUT_ENTRIES = 1 << 22
_NODES = 3 << 18
_BYTES_PER_NODE = 8
_STEPS = 1 << 31
_STEPS_PER_BYTE = 1 << 8


class OverBudgetError(InexpressibleError):
    """Something would make or do more than its file may. The message says what and how much."""


@dataclass
class Budget:
    """What is left of three allowances; whoever makes something asks before making it.

    `entries` are numbers that are stored: constants, and the tensors that constants are computed
    of. `nodes` are nodes of the graph and of the file after its functions are inlined. `steps` are
    additions, multiplications and copies in computing constants.
    """

    entries: int = 1 << 33
    nodes: int = 1 << 22
    steps: int = 1 << 40

    def spend(self, *, entries: int = 0, nodes: int = 0, steps: int = 0) -> None:
        """Take what is about to be made. Raises `OverBudgetError`, and then takes nothing."""
        _require(entries, self.entries, "numbers would be stored")
        _require(nodes, self.nodes, "nodes would be made")
        _require(steps, self.steps, "steps of computing constants would be taken")
        self.entries -= entries
        self.nodes -= nodes
        self.steps -= steps

    def require_nodes(self, nodes: int) -> None:
        """Raise `OverBudgetError` where so many nodes are more than what is left; take none."""
        _require(nodes, self.nodes, "nodes would be made")

    def spend_for_a_while(self, entries: int) -> None:
        """Take the steps of filling a tensor that is given up at once. Raises `OverBudgetError`."""
        _require(entries, self.entries, "numbers would be stored")
        self.spend(steps=entries)


def budget_of(file_bytes: int, input_entries: int) -> Budget:
    """The budget of a file of so many bytes whose input has so many entries.

    Entries: 8,388,608, and 8 for each byte of the file and each of the first 4,194,304 entries of
    the input. Nodes: 786,432, and one for each 8 bytes. Steps: 2**31, and 256 for each byte.
    """
    counted = min(input_entries, _COUNTED_INPUT_ENTRIES)
    return Budget(
        _ENTRIES + _ENTRIES_PER_BYTE * file_bytes + _ENTRIES_PER_INPUT_ENTRY * counted,
        _NODES + file_bytes // _BYTES_PER_NODE,
        _STEPS + _STEPS_PER_BYTE * file_bytes,
    )


def _require(wanted: int, left: int, what: str) -> None:
    if wanted > left:
        found = f"{wanted:,}" if wanted.bit_length() < 64 else "more than 2**63"
        raise OverBudgetError(f"{found} {what}, {left:,} are left for a file of this size")
