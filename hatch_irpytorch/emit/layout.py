"""Calls and assignments as lines that the formatter leaves as they are."""

from __future__ import annotations

from hatch_irpytorch.ir.code import Call, Code

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
    pad = " " * indent
    lead = f"{target} = " if target else ""
    remark = f"  # {comment}" if comment else ""
    line = f"{pad}{lead}{code if isinstance(code, str) else flat(code)}{remark}"
    if len(line) <= LINE_WIDTH:
        return [line]
    if isinstance(code, str):
        above = [f"{pad}# {comment}"] if comment else []
        return [*above, f"{pad}{lead}{code}"]
    return _broken(code, lead, indent, remark)


def _broken(call: Call, lead: str, indent: int, tail: str) -> list[str]:
    pad, inner = " " * indent, " " * (indent + 4)
    arguments = _flat_arguments(call)
    opening = f"{pad}{lead}{_name(call)}("
    joined = f"{inner}{', '.join(arguments)}"
    if len(joined) <= LINE_WIDTH and not _is_tuple(call):
        return [opening, joined, f"{pad}){tail}"]
    lines = [opening]
    for name, value in [("", argument) for argument in call.arguments] + list(call.keywords):
        prefix = f"{name}=" if name else ""
        text = f"{inner}{prefix}{flat(value)},"
        if len(text) <= LINE_WIDTH or isinstance(value, str):
            lines.append(text)
        else:
            lines.extend(_broken(value, prefix, indent + 4, ","))
    return [*lines, f"{pad}){tail}"]


def _is_tuple(call: Call) -> bool:
    """A bare tuple keeps its trailing comma, so it is always broken one item a line."""
    return call.function == ""
