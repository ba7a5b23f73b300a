"""Nodes of a program that have no form: each kind is told once for a line, with how often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import fx

from hatch_irpytorch.capture.pytorch.program import (
    OUTERMOST,
    module_path,
    op_name,
    source_place,
    whole_op,
)
from hatch_irpytorch.errors import Place, Problem

_NAMED = 3
"""How many modules are named of all that have the same refusal."""


@dataclass
class RefusedNodes:
    """What was refused so far: the modules it is in, by message and place."""

    file: str
    _found: dict[tuple[str, Place], list[str]] = field(default_factory=dict)

    def add(self, node: fx.Node, why: str = "") -> None:
        reason = f": {why}" if why else ""
        part = f", as a part of `{whole_op(node)}`" if whole_op(node) else ""
        message = f"`{op_name(node)}` has no form in torchlean.ir.v1{part}{reason}"
        place = source_place(node, self.file)
        self._found.setdefault((message, place), []).append(module_path(node))

    def problems(self) -> Iterator[Problem]:
        """One problem for each message and place, in the order of the program."""
        for (message, place), modules in self._found.items():
            yield Problem("inexpressible", place, message, _where(modules))


def _where(modules: list[str]) -> str:
    names = [name for name in dict.fromkeys(modules) if name != OUTERMOST]
    times = f"{len(modules)} times" if len(modules) > 1 else ""
    if not names:
        return times
    named = ", ".join(f"`{name}`" for name in names[:_NAMED])
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"it is in {named}{rest}{', ' if times else ''}{times}"
