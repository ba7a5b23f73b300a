"""The body of `forward`: a statement for each node."""

from __future__ import annotations

from collections.abc import Iterator

from hatch_irpytorch.emit.fusion.ops import FusedLinears
from hatch_irpytorch.emit.layout import LINE_WIDTH, flat, statement
from hatch_irpytorch.emit.plan import ClassPlan, Template, Variables
from hatch_irpytorch.ir.graph import Node, node_list
from hatch_irpytorch.names import dotted_name


def body(part: ClassPlan) -> Iterator[str]:
    """The lines of the statements; each run of one origin stands under its name."""
    origin = ""
    short: dict[Template, str] = {}
    variables = part.variables
    for said in part.statements:
        node, template = said.node, said.template
        if node.origin:
            named = _telling(dotted_name(node.origin))
            if named and named != origin:
                yield f"        # {named}"
            origin = named
        if node.id in variables.deleted:
            yield from _deletions(variables.deleted[node.id])
        line = short.get(template)
        if line is None:
            line = short[template] = _short(template)
        text = line.format(*variables.names(node))
        if node.covers or node.id in variables.renamed or not _fits(text):
            text = _statements(node, template, variables)
        yield text


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


def _statements(node: Node, template: Template, variables: Variables) -> str:
    """The statements of any node, broken where they are too long for one line."""
    names = variables.names(node)
    target, comment = variables.of[node.id], template.comment.format(*names)
    if isinstance(node.op, FusedLinears):
        target = ", ".join([variables.of[child] for child in node.op.children])
    if node.covers:
        comment = f"{comment}, {node_list(node.covers)}"
    elif node.id in variables.renamed:
        comment = f"v{node.id}: {comment}"
    *first, last = template.filled(names)
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
