"""Calls and assignments as lines that the formatter leaves as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat

from hatch_irpytorch.ir.code import Call, Code

LINE_WIDTH = 88

_PLACE = re.compile(r"\{(\w+)\}")


def flat(code: Code) -> str:
    """The code on one line."""
    if isinstance(code, str):
        return code
    return f"{_name(code)}({', '.join(_flat_arguments(code))})"


def _name(call: Call) -> str:
    return call.function if isinstance(call.function, str) else call.function.name


def _flat_arguments(call: Call) -> list[str]:
    found = [a if type(a) is str else flat(a) for a in call.arguments]
    if call.keywords:
        found += [f"{name}={flat(value)}" for name, value in call.keywords]
    return found


def layouts(target: str, code: Code, comment: str = "", indent: int = 8) -> list[str]:
    """The ways to write `target = code  # comment` that come first: on one line, then with the
    arguments on a line of their own.

    An empty target gives a bare expression. Names may be places that are filled later, so which
    of them `fits` is asked of the text that is to stand there.
    """
    return _layouts(_lead(target), code, _remark(comment), indent)


def _lead(target: str) -> str:
    return f"{target} = " if target else ""


def _remark(comment: str) -> str:
    return f"  # {comment}" if comment else ""


def _layouts(lead: str, code: Code, tail: str, indent: int) -> list[str]:
    pad = " " * indent
    if isinstance(code, str):
        return [f"{pad}{lead}{code}{tail}"]
    arguments = ", ".join(_flat_arguments(code))
    opening = f"{pad}{lead}{_name(code)}("
    one_line = f"{opening}{arguments}){tail}"
    if _is_tuple(code):
        return [one_line]
    return [one_line, f"{opening}\n{pad}    {arguments}\n{pad}){tail}"]


def fits(layout: str) -> bool:
    """Whether the arguments of one of `layouts` stand on a line that is not too long."""
    if len(layout) <= LINE_WIDTH:
        return True
    first, *rest = layout.split("\n", 2)
    return len(rest[0] if rest else first) <= LINE_WIDTH


def filled(alternatives: Sequence[str], columns: Mapping[str, Sequence[str]]) -> list[str | None]:
    """The first of some layouts that fits, for many statements that differ only in their names.

    Place `{i}` stands for the items of column i, one a statement. None where no layout fits.
    """
    if not alternatives:
        return [None] * len(next(iter(columns.values())))
    pieces = _PLACE.split(alternatives[0])
    parts = [columns[p] if i % 2 else repeat(p) for i, p in enumerate(pieces)]
    texts = list(map("".join, zip(*parts, strict=False)))
    found: list[str | None] = [*texts]
    longest = [max(p, key=len) if i % 2 else pieces[i] for i, p in enumerate(parts)]
    if fits("".join(longest)):
        return found
    long = [i for i, text in enumerate(texts) if len(text) > LINE_WIDTH and not fits(text)]
    if long:
        rest = {place: [column[i] for i in long] for place, column in columns.items()}
        for index, other in zip(long, filled(alternatives[1:], rest), strict=True):
            found[index] = other
    return found


def places(layouts: Iterable[str]) -> frozenset[str]:
    """The places that layouts have."""
    return frozenset(place for layout in layouts for place in _PLACE.findall(layout))


def statement(target: str, code: Code, comment: str = "", indent: int = 8) -> list[str]:
    """`target = code  # comment`, broken between the arguments where it does not fit.

    An empty target gives a bare expression.
    """
    lines = _lines(_lead(target), code, _remark(comment), indent)
    if isinstance(code, str) and comment and not fits(lines[0]):
        pad = " " * indent
        return [f"{pad}# {comment}", f"{pad}{_lead(target)}{code}"]
    return lines


def _lines(lead: str, code: Code, tail: str, indent: int) -> list[str]:
    """The first layout that fits, else an argument a line."""
    pad = " " * indent
    if isinstance(code, str):
        return [f"{pad}{lead}{code}{tail}"]
    for layout in _layouts(lead, code, tail, indent):
        if fits(layout):
            return layout.split("\n")
    lines = [f"{pad}{lead}{_name(code)}("]
    for argument in code.arguments:
        lines += _lines("", argument, ",", indent + 4)
    for name, value in code.keywords:
        lines += _lines(f"{name}=", value, ",", indent + 4)
    return [*lines, f"{pad}){tail}"]


def _is_tuple(call: Call) -> bool:
    """A bare tuple keeps its trailing comma, so it is always broken one item a line."""
    return call.function == ""
