"""Calls and assignments as lines that the formatter leaves as they are."""

from __future__ import annotations

from hatch_irpytorch.ir.ops.code import Call, Code

LINE_WIDTH = 88


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


def statement(target: str, code: Code, comment: str = "", indent: int = 8) -> list[str]:
    """`target = code  # comment`, broken between the arguments where it does not fit.

    An empty target gives a bare expression.
    """
    return _said(f"{target} = " if target else "", code, comment, indent)


def returned(code: Code, comment: str = "") -> list[str]:
    """`return code  # comment`, broken as a statement is."""
    return _said("return ", code, comment, 8)


def _said(lead: str, code: Code, comment: str, indent: int) -> list[str]:
    lines = _lines(lead, code, f"  # {comment}" if comment else "", indent)
    if isinstance(code, str) and comment and len(lines[0]) > LINE_WIDTH:
        pad = " " * indent
        return [f"{pad}# {comment}", f"{pad}{lead}{code}"]
    return lines


def _lines(lead: str, code: Code, tail: str, indent: int) -> list[str]:
    """On one line, else with all arguments on one line, else with an argument a line."""
    pad = " " * indent
    if isinstance(code, str):
        return [f"{pad}{lead}{code}{tail}"]
    arguments = ", ".join(_flat_arguments(code))
    opening = f"{pad}{lead}{_name(code)}("
    if len(opening) + len(arguments) + 1 + len(tail) <= LINE_WIDTH:
        return [f"{opening}{arguments}){tail}"]
    inner = f"{pad}    {arguments}"
    if len(inner) <= LINE_WIDTH and not _is_tuple(code):
        return [opening, inner, f"{pad}){tail}"]
    lines = [opening]
    for argument in code.arguments:
        lines += _lines("", argument, ",", indent + 4)
    for name, value in code.keywords:
        lines += _lines(f"{name}=", value, ",", indent + 4)
    return [*lines, f"{pad}){tail}"]


def _is_tuple(call: Call) -> bool:
    """A bare tuple keeps its trailing comma, so it is always broken one item a line."""
    return call.function == ""
