"""From the modules of a graph to the classes of a file: modules of one form are of one class."""

from __future__ import annotations

import re

from hatch_irpytorch.emit.modules.forms import ClassForm, Form
from hatch_irpytorch.ir.keys import Path

_ENDINGS = (("ies", "y"), ("sses", "ss"), ("s", ""))


class Classes:
    """The classes found so far, each before those that construct it."""

    def __init__(self, reserved: frozenset[str]) -> None:
        self._known: dict[Form, str] = {}
        self._paths: dict[str, list[Path]] = {}
        self._taken = set(reserved)

    def name(self, form: Form, path: Path) -> str:
        """The name of the class of a form, which a first module at a path gives."""
        if form not in self._known:
            self._known[form] = self._free(class_name(path))
        name = self._known[form]
        self._paths.setdefault(name, []).append(path)
        return name

    def forms(self) -> list[ClassForm]:
        return [ClassForm(n, form, tuple(self._paths[n])) for form, n in self._known.items()]

    def _free(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}{number}", number + 1
        self._taken.add(name)
        return name


def class_name(path: Path) -> str:
    """`SelfAttention` for `layers.0.self_attention`, `Layer` for `layers.0`."""
    named = [part for part in path if not part.isdecimal()]
    last = named[-1] if named else "part"
    words = [word for word in re.split(r"[^A-Za-z0-9]+", last) if word]
    name = "".join(word[:1].upper() + word[1:] for word in words)
    name = re.sub(r"\d+$", "", name) or name
    if path and path[-1].isdecimal():
        name = _singular(name)
    return name if name[:1].isalpha() and len(name) > 1 else f"Part{name}"


def _singular(name: str) -> str:
    for ending, instead in _ENDINGS:
        if name.endswith(ending) and len(name) > len(ending) + 1:
            return name.removesuffix(ending) + instead
    return name
