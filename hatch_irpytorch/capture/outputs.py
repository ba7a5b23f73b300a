"""Which outputs of a module or a file become outputs of the graph."""

from __future__ import annotations

from collections.abc import Sequence

from hatch_irpytorch.errors import Place, Problems, shown

_SHOWN = 20


def kept(names: Sequence[str], keep: Sequence[str], place: Place) -> list[int]:
    """The positions of the outputs to keep, in their order: all where none is named.

    A name stands for the output and for all below it: `hidden` for `hidden.0` and `hidden.1`.
    Raises `IRPyTorchError` (`capture-failed`) for a name that is no output.
    """
    problems = Problems()
    for wanted in keep:
        if not any(_is_below(name, wanted) for name in names):
            listed = ", ".join(map(shown, names[:_SHOWN])) or "none"
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            message = f"there is no output {shown(wanted)}"
            problems.add("capture-failed", place, message, f"there are {listed}{more}")
    problems.raise_if_any()
    return [
        position
        for position, name in enumerate(names)
        if not keep or any(_is_below(name, wanted) for wanted in keep)
    ]


def _is_below(name: str, wanted: str) -> bool:
    return name == wanted or name.startswith(f"{wanted}.")
