"""Pieces of generated Python: what an op wants to be written, before it is laid out.

Text enters only as identifiers made from node ids, as numbers and as names fixed in this
package; nothing of an input file is ever a string here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple


class Function(NamedTuple):
    """A function of fixed text that a generated module carries when a node needs it."""

    name: str
    source: str
    needs: tuple[Function, ...] = ()
    imports: tuple[str, ...] = ()


class Call(NamedTuple):
    """A call: the layout may break it between its arguments."""

    function: str | Function
    arguments: tuple[Code, ...]
    keywords: tuple[tuple[str, Code], ...] = ()


Code = str | Call


def mapped(code: Code, change: Callable[[str], str]) -> Code:
    """Code with every text in it changed; functions of fixed text stay."""
    if isinstance(code, str):
        return change(code)
    function = change(code.function) if isinstance(code.function, str) else code.function
    arguments = tuple(mapped(argument, change) for argument in code.arguments)
    keywords = tuple((name, mapped(value, change)) for name, value in code.keywords)
    return Call(function, arguments, keywords)


Literal = int | float | bool | tuple[int, ...]


def literal(value: Literal) -> str:
    """A number or a tuple of naturals as Python source."""
    if isinstance(value, float):
        return float_literal(value)
    return repr(value)


def float_literal(value: float) -> str:
    """The shortest decimal of a binary64 number, as Python's `repr` lays it out."""
    if math.isfinite(value):
        return repr(float(value))
    if math.isnan(value):
        return 'float("nan")'
    return 'float("inf")' if value > 0 else 'float("-inf")'


def call(function: str | Function, *arguments: Code | Literal, **keywords: Code | Literal) -> Call:
    """A call with positional and keyword arguments; numbers become literals."""
    positional = tuple([a if type(a) is str else _code(a) for a in arguments])
    if not keywords:
        return Call(function, positional)
    return Call(function, positional, tuple([(n, _code(v)) for n, v in keywords.items()]))


def _code(value: Code | Literal) -> Code:
    return value if isinstance(value, (str, Call)) else literal(value)
