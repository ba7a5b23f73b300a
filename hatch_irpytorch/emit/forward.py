"""The body of `forward`: a statement for each node."""

from __future__ import annotations

from hatch_irpytorch.emit.layout import LINE_WIDTH, filled, layouts, statement
from hatch_irpytorch.emit.plan import Form, ModulePlan, Step
from hatch_irpytorch.ir.graph import Node, numel, shape_text
from hatch_irpytorch.names import dotted_name


def body(plan: ModulePlan) -> list[str]:
    """The lines of the nodes, each run of one origin under its name."""
    lines: list[str] = []
    origin = ""
    deleted = plan.variables.deleted
    for step, text in zip(plan.steps, _usual(plan), strict=True):
        node = step[0]
        if node.origin:
            named = dotted_name(node.origin)
            if named and named != origin:
                origin = named
                lines.append(f"        # {origin}")
        if node.id in deleted:
            lines += _deletions(deleted[node.id])
        if text is None:
            lines += _statements(plan, step)
        else:
            lines.append(text)
    return lines


def _usual(plan: ModulePlan) -> list[str | None]:
    """The statements of each step where they have a usual form; those of one form at once."""
    alike: dict[tuple[int, bool], list[int]] = {}
    renamed = plan.variables.renamed
    for index, (node, form) in enumerate(plan.steps):
        if not node.covers:
            alike.setdefault((id(form), node.id in renamed), []).append(index)
    found: list[str | None] = [None] * len(plan.steps)
    for (_, is_renamed), indexes in alike.items():
        form = plan.steps[indexes[0]][1]
        columns = _columns(plan, [plan.steps[index][0] for index in indexes])
        texts = [filled(usual, columns) for usual in _layouts(form, is_renamed)]
        if len(texts) == 1:
            for index, text in zip(indexes, texts[0], strict=True):
                found[index] = text
        else:
            for index, *several in zip(indexes, *texts, strict=True):
                known = [text for text in several if text is not None]
                found[index] = "\n".join(known) if len(known) == len(several) else None
    return found


def _columns(plan: ModulePlan, nodes: list[Node]) -> list[list[str]]:
    """What the places of a form stand for, for all nodes that have it."""
    names = plan.variables.of
    ids = [node.id for node in nodes]
    parents = zip(*[node.parents for node in nodes], strict=True)
    return [
        [names[node_id] for node_id in ids],
        [str(node_id) for node_id in ids],
        *[[names[parent] for parent in column] for column in parents],
    ]


def _layouts(form: Form, is_renamed: bool) -> list[list[str]]:
    """The usual layouts of each statement of a form, with places for names."""
    *first, last = form.expressions
    remark = f"v{{1}}: {_remark(form)}" if is_renamed else _remark(form)
    found = [layouts(form.target, expression) for expression in first]
    return [*found, layouts(form.target, last, remark)]


def _statements(plan: ModulePlan, step: Step) -> list[str]:
    """The statements of any step."""
    node, form = step
    names = plan.names(node)
    target, remark = form.target.format(*names), _remark(form).format(*names)
    if node.covers:
        remark = f"{remark}, {_node_list(node.covers)}"
    elif node.id in plan.variables.renamed:
        remark = f"v{node.id}: {remark}"
    *first, last = plan.expressions(step)
    lines: list[str] = []
    for expression in first:
        lines += statement(target, expression)
    return lines + statement(target, last, remark)


def _remark(form: Form) -> str:
    """What the comment of a form says."""
    remark = shape_text(form.shape)
    if len(remark) > 60:
        remark = f"rank {len(form.shape)}, {numel(form.shape)} values"
    return f"{remark}, {form.domain}" if form.domain else remark


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
