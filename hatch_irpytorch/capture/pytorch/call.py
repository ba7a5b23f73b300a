"""A module as a function of one tensor, which returns the outputs that are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from hatch_irpytorch.capture.outputs import kept
from hatch_irpytorch.capture.pytorch.inputs import arguments
from hatch_irpytorch.errors import Place, fail

INNER = "module"
"""The name that the module has inside of a `Call`."""


@dataclass(frozen=True)
class _Given:
    """Stands for a tensor among the arguments: an attribute of the `Call`, or its own input."""

    attribute: str = ""


@dataclass
class Returned:
    """What the last call returned beside tensors: the names of outputs by the kind of them."""

    others: dict[str, list[str]] = field(default_factory=dict)


class Call(nn.Module):
    """A module that is called with one tensor, for a `parameter`, and with what is bound.

    It returns a tuple of those tensors that the module returns, in dicts, dataclasses and lists in
    their order, and that are kept.
    """

    def __init__(
        self,
        module: nn.Module,
        file: str,
        parameter: str = "",
        bind: Mapping[str, torch.Tensor] | None = None,
        keep: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.add_module(INNER, module)
        self.file = file
        self.keep = tuple(keep)
        self.returned = Returned()
        bound = {}
        for number, (name, tensor) in enumerate((bind or {}).items()):
            self.register_buffer(f"bound_{number}", tensor, persistent=False)
            bound[name] = _Given(f"bound_{number}")
        self.arguments = arguments(module, file, _Given(), parameter, bound)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        def filled(given: _Given) -> torch.Tensor:
            return getattr(self, given.attribute) if given.attribute else x

        args, named = tree_map(filled, self.arguments)
        found = list(leaves(self.get_submodule(INNER)(*args, **named)))
        self.returned.others = _by_kind(found)
        tensors = [(name, leaf) for name, leaf in found if isinstance(leaf, torch.Tensor)]
        if not tensors:
            raise fail("capture-failed", Place(self.file), "the module returns no tensor")
        chosen = kept([name for name, _ in tensors], self.keep, Place(self.file))
        return tuple(tensors[position][1] for position in chosen)


def _by_kind(found: Iterable[tuple[str, object]]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for name, leaf in found:
        if not isinstance(leaf, torch.Tensor):
            kind = "None" if leaf is None else type(leaf).__name__
            kinds.setdefault(kind, []).append(name)
    return kinds


def leaves(returned: object, name: str = "") -> Iterator[tuple[str, object]]:
    """What a call returns, part by part, with dotted names of keys, fields and positions."""
    parts = _parts(returned)
    if parts is None:
        yield name or "0", returned
        return
    for key, part in parts:
        yield from leaves(part, f"{name}.{key}" if name else key)


def _parts(value: Any) -> Iterable[tuple[str, object]] | None:
    """The parts of a value that holds others; None for any other."""
    if isinstance(value, torch.Tensor):
        return None
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    if is_dataclass(value) and not isinstance(value, type):
        return [(part.name, getattr(value, part.name)) for part in fields(value)]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, tuple | list):
        return [(str(position), part) for position, part in enumerate(value)]
    inner = tree_leaves(value)
    if len(inner) == 1 and inner[0] is value:
        return None
    return [(str(position), part) for position, part in enumerate(inner)]


def module_name(path: str) -> str:
    """The name that a part of a `Call` has in the module that it calls."""
    return path.removeprefix(INNER).removeprefix(".")
