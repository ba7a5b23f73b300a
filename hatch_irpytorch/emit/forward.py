"""The body of `forward`: a statement for each node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

from hatch_irpytorch.emit.layout import LINE_WIDTH, filled, layouts, places, statement
from hatch_irpytorch.emit.plan import Form, ModulePlan, blocks
from hatch_irpytorch.ir.graph import Node
from hatch_irpytorch.ir.shapes import Shape, numel, shape_text
from hatch_irpytorch.names import dotted_name


def body(plan: ModulePlan) -> Iterator[str]:
    """The lines of the nodes, many at a time; each run of one origin under its name."""
    origin = ""
    deleted = plan.variables.deleted
    for nodes, said in zip(blocks(plan.nodes), blocks(plan.said), strict=True):
        lines: list[str] = []
        for node, form, text in zip(nodes, said, _usual(plan, nodes, said), strict=True):
            if node.origin:
                named = _telling(dotted_name(node.origin))
                if named and named != origin:
                    lines.append(f"        # {named}")
                origin = named
            if node.id in deleted:
                lines += _deletions(deleted[node.id])
            lines.append(_statements(plan, node, form) if text is None else text)
        yield "\n".join(lines)


def _telling(origin: str) -> str:
    """An origin that says more than the line below it: not the method, not the operator."""
    return "" if origin == "forward" or origin.startswith("aten.") else origin


def _usual(plan: ModulePlan, nodes: Sequence[Node], said: Sequence[Form]) -> list[str | None]:
    """The statements of nodes where a layout of their form does.

    Those of one form are laid out at once.
    """
    alike: dict[int, list[int]] = defaultdict(list)
    for index, form in enumerate(said):
        alike[id(form)].append(index)
    found: list[str | None] = [None] * len(nodes)
    for indexes in alike.values():
        if len(indexes) == 1:
            continue
        texts = _filled(plan, said[indexes[0]], [nodes[index] for index in indexes])
        for index, text in zip(indexes, texts, strict=True):
            found[index] = text
    return found


def _filled(plan: ModulePlan, form: Form, nodes: list[Node]) -> Sequence[str | None]:
    """The statements of nodes of one form, where one of its layouts does."""
    if any(node.covers for node in nodes):
        return [None] * len(nodes)
    *first, last = form.expressions
    usual = [layouts(form.target, expression) for expression in first]
    remark, shape = _remark(form), nodes[0].shape
    if [node.shape for node in nodes].count(shape) == len(nodes):
        remark = remark.replace(f"{{{_SHAPE}}}", _shape_remark(shape))
    usual.append(layouts(form.target, last, remark))
    wanted = places(chain.from_iterable(usual))
    columns = {place: _column(plan, nodes, place) for place in wanted}
    texts = [filled(alternatives, columns) for alternatives in usual]
    if len(texts) == 1:
        return texts[0]
    whole = [[text for text in several if text] for several in zip(*texts, strict=True)]
    return ["\n".join(known) if len(known) == len(texts) else None for known in whole]


def _column(plan: ModulePlan, nodes: list[Node], place: str) -> Sequence[str]:
    """What a place of a form stands for, one item a node."""
    names = plan.variables.of
    if place == _SHAPE:
        return [_shape_remark(node.shape) for node in nodes]
    if place == "0":
        return [names[node.id] for node in nodes]
    if place == "1":
        return [str(node.id) for node in nodes]
    parent = int(place) - 2
    return [names[node.parents[parent]] for node in nodes]


def _statements(plan: ModulePlan, node: Node, form: Form) -> str:
    """The statements of any node."""
    names = plan.names(node)
    target = form.target.format(*names)
    remark = _remark(form).format(*names, **{_SHAPE: _shape_remark(node.shape)})
    if node.covers:
        remark = f"{remark}, {_node_list(node.covers)}"
    *first, last = plan.expressions(node, form)
    lines: list[str] = []
    for expression in first:
        lines += statement(target, expression)
    return "\n".join([*lines, *statement(target, last, remark)])


_SHAPE = "shape"
"""The place of a node's shape in a remark."""


def _remark(form: Form) -> str:
    """What the comment of a form says."""
    remark = f"{{{_SHAPE}}}, {form.domain}" if form.domain else f"{{{_SHAPE}}}"
    return f"v{{1}}: {remark}" if form.says_id else remark


def _shape_remark(shape: Shape) -> str:
    remark = shape_text(shape)
    return remark if len(remark) <= 60 else f"rank {len(shape)}, {numel(shape)} values"


def _node_list(ids: tuple[int, ...]) -> str:
    """Ascending ids as `nodes 3-7, 9`."""
    runs: list[list[int]] = []
    for node_id in ids:
        if runs and node_id == runs[-1][1] + 1:
            runs[-1][1] = node_id
        else:
            runs.append([node_id, node_id])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in runs]
    return f"nodes {', '.join(shown)}"


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
