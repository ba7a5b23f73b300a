"""The body of `forward`: a statement for each node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hatch_irpytorch.emit.layout import LINE_WIDTH, flat, statement
from hatch_irpytorch.emit.plan import Statement, Template
from hatch_irpytorch.names import dotted_name


def body(statements: Iterable[Statement]) -> Iterator[str]:
    """The lines of the statements; each run of one origin stands under its name."""
    origin = ""
    lines: dict[Template, str] = {}
    for said in statements:
        if said.origin:
            named = _telling(dotted_name(said.origin))
            if named and named != origin:
                yield f"        # {named}"
            origin = named
        if said.deleted:
            yield from _deletions(said.deleted)
        text = ""
        if not said.target and not said.comment:
            line = lines.get(said.template)
            if line is None:
                line = lines[said.template] = _short(said.template)
            text = line.format(*said.names)
        yield text if text and _fits(text) else _statements(said)


def _telling(origin: str) -> str:
    """An origin that says more than the line below it: not the method, not the operator."""
    return "" if origin == "forward" or origin.startswith("aten.") else origin


def _short(template: Template) -> str:
    """The statements of a template, each on one line."""
    lines = [f"        {{0}} = {flat(code)}" for code in template.expressions]
    return "\n".join(lines) + f"  # {template.comment}"


def _fits(text: str) -> bool:
    if len(text) <= LINE_WIDTH:
        return True
    return "\n" in text and all(len(line) <= LINE_WIDTH for line in text.split("\n"))


def _statements(said: Statement) -> str:
    """The statements of any node, broken where they are too long for one line."""
    target = said.target or said.names[0]
    comment = (said.comment or said.template.comment).format(*said.names)
    *first, last = said.template.filled(said.names)
    lines = [line for code in first for line in statement(target, code)]
    return "\n".join([*lines, *statement(target, last, comment)])


def _deletions(names: tuple[str, ...]) -> list[str]:
    """`del` statements, as few as their width allows."""
    lines: list[str] = []
    for name in names:
        if lines and len(lines[-1]) + len(name) + 2 <= LINE_WIDTH:
            lines[-1] += f", {name}"
        else:
            lines.append(f"        del {name}")
    return lines


def returns(names: tuple[str, ...]) -> list[str]:
    """The statement that returns the outputs."""
    line = f"        return {', '.join(names)}"
    if len(line) <= LINE_WIDTH:
        return [line]
    return ["        return (", *(f"            {name}," for name in names), "        )"]
