"""A module of `layout: modules` as plain data: what it holds, takes, computes and returns."""

from __future__ import annotations

from dataclasses import dataclass

from hatch_irpytorch.ir.keys import Path
from hatch_irpytorch.ir.ops.code import Code

ORDERED = "OrderedDict"
"""What holds the parts of a sequence by name."""


@dataclass(frozen=True)
class Held:
    """A tensor that a module holds itself, by its path from there: a parameter, or a buffer.

    `saved`: whether it is part of the state dict.
    """

    name: str
    shape: tuple[str, ...]
    is_parameter: bool
    saved: bool
    dtype: str


@dataclass(frozen=True)
class Line:
    """A statement of `forward`: targets, code, and what its comment says."""

    targets: tuple[str, ...]
    code: Code
    comment: str = ""


@dataclass(frozen=True)
class Loop:
    """Equal calls of modules in a row: `for layer in self.layers: x = layer(x)`."""

    variable: str
    over: str
    line: Line


@dataclass(frozen=True)
class Form:
    """Two modules of one form are of one class, whatever their weights.

    `parts` are the modules inside by name, each with what constructs it. `frozen` are parameters of
    layers among them that training leaves alone.
    """

    parts: tuple[tuple[str, Code], ...]
    held: tuple[Held, ...]
    frozen: tuple[str, ...]
    arguments: tuple[str, ...]
    lines: tuple[Line | Loop, ...]
    returns: tuple[str, ...]


@dataclass(frozen=True)
class ClassForm:
    """A class of a generated file, and where its modules stand.

    `parameters` are the numbers that it is given, each with its type, `kept` those that `forward`
    reads.
    """

    name: str
    form: Form
    paths: tuple[Path, ...]
    parameters: tuple[tuple[str, str], ...] = ()
    kept: tuple[str, ...] = ()
