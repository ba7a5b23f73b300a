"""The parts of a module and its arrays, as its `forward` reaches them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hatch_irpytorch.ir.keys import Path


class Members:
    """The members of the module at a path, among all modules of a graph.

    `arguments` are names of arrays that are passed in, by key. `sequences` are the modules whose
    parts are reached by their numbers.
    """

    def __init__(
        self,
        path: Path,
        parameters: Collection[str],
        arguments: Mapping[str, str],
        sequences: Collection[Path],
    ) -> None:
        self.path = path
        self._parameters = parameters
        self._arguments = arguments
        self._sequences = sequences

    def module(self, path: Path) -> str:
        """A module inside, as `forward` reaches it: mypy knows nothing of an item of a sequence."""
        shown = "self"
        for end in range(len(self.path), len(path)):
            part = path[end]
            if not part.isdecimal():
                shown += f".{part}"
            elif end + 1 == len(path) and path[:end] in self._sequences:
                shown += f"[{part}]"
            else:
                return f'{shown}.get_submodule("{".".join(path[end:])}")'
        return shown

    def array(self, key: str) -> str:
        """An array, as `forward` reaches it."""
        if key in self._arguments:
            return self._arguments[key]
        *owner, name = key.split(".")
        rest = owner[len(self.path) :]
        if not any(part.isdecimal() for part in rest):
            return f"{self.module(tuple(owner))}.{name}"
        kind = "parameter" if key in self._parameters else "buffer"
        return f'self.get_{kind}("{".".join((*rest, name))}")'


def is_numbered(names: Sequence[str]) -> bool:
    """Whether parts are those of a sequence, in its order."""
    return bool(names) and list(names) == [str(i) for i in range(len(names))]
