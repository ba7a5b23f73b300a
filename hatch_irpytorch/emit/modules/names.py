"""Names of values within a `forward`: what flows keeps its name, what branches off gets another."""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Iterable, Mapping

from hatch_irpytorch.emit.options import RESERVED_NAMES

_FREE = ("y", "z", "w", "u")
_STEMS = {
    "softmax": "weights",
    "matmul": "product",
    "concat": "joined",
    "sum": "total",
    "mse_loss": "loss",
}


class Names:
    """The names in one function, while its statements are written in order."""

    def __init__(self, uses: Mapping[int, int], taken: Iterable[str] = ()) -> None:
        self.of: dict[int, str] = {}
        self._left = Counter(uses)
        self._live: dict[str, int] = {}
        self._reserved = {"self", *RESERVED_NAMES, *keyword.kwlist, *taken}

    def argument(self, value: int, position: int) -> str:
        """The name of a value that the function is given."""
        wanted = "x" if position == 0 else _FREE[min(position - 1, len(_FREE) - 1)]
        return self._give(value, self._fresh(wanted))

    def result(
        self, value: int, read: Mapping[int, int], tag: str, hint: str = "", role: str = ""
    ) -> str:
        """The name of what a statement makes that reads values so often each.

        That is its `role`, or the name of a value that ends here, or what the op makes.
        """
        self._left.subtract(read)
        ended = [v for v in read if self._left[v] <= 0 and v in self.of]
        names = [self.of[v] for v in ended if self._live.get(self.of[v]) == v]
        for name in names:
            del self._live[name]
        if role:
            return self._give(value, self._fresh(role))
        if names:
            return self._give(value, "x" if "x" in names else names[0])
        stem = hint or _STEMS.get(tag, "")
        if stem:
            return self._give(value, self._fresh(stem))
        free = next((name for name in _FREE if self._is_free(name)), _FREE[0])
        return self._give(value, self._fresh(free))

    def _give(self, value: int, name: str) -> str:
        self.of[value] = name
        self._live[name] = value
        return name

    def _is_free(self, name: str) -> bool:
        return name not in self._live and name not in self._reserved

    def _fresh(self, stem: str) -> str:
        if self._is_free(stem):
            return stem
        number = 2
        while not self._is_free(f"{stem}{number}"):
            number += 1
        return f"{stem}{number}"


def unique_names(keys: Iterable[str]) -> dict[str, str]:
    """By key, what an array is called that a module is given."""
    found: dict[str, str] = {}
    taken = {"x", *_FREE, "self", *RESERVED_NAMES}
    for key in keys:
        stem = key.rpartition(".")[2]
        name, number = stem, 2
        while name in taken:
            name, number = f"{stem}{number}", number + 1
        found[key] = name
        taken.add(name)
    return found
