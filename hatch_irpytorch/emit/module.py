"""A ModulePlan as the text of a file."""

from __future__ import annotations

import re

from hatch_irpytorch.emit.layout import LINE_WIDTH, flat, statement
from hatch_irpytorch.emit.plan import Binding, ModulePlan, Step
from hatch_irpytorch.emit.skeleton import RUN_AS_PROGRAM, skeleton_text
from hatch_irpytorch.emit.tables import NUMBERS, NUMBERS_FLOAT64, flag_table, tables
from hatch_irpytorch.ir.code import Call, call
from hatch_irpytorch.ir.graph import numel, shape_text

_DTYPE = re.compile(r"\bdtype\b(?!=)")


def module_text(plan: ModulePlan, header: tuple[str, ...], weights_file: str | None) -> str:
    """The module of a plan, ending in one newline. `header` holds comment lines without `#`."""
    if plan.weights_in_file and weights_file is None:
        raise ValueError("weights in a file need the file's name")
    needs_file = plan.weights_in_file and bool(plan.stored)
    numbers = NUMBERS_FLOAT64 if plan.dtype == "float64" else NUMBERS
    functions = (numbers, *plan.functions) if plan.tables else plan.functions
    blocks = [function.source for function in functions]
    blocks.append(_class(plan, weights_file if needs_file else None))
    if plan.skeleton is not None:
        blocks.extend(skeleton_text(plan, plan.skeleton))
    if plan.tables:
        blocks.append("\n".join(_tables(plan)) + "\n")
    if plan.skeleton is not None:
        blocks.append(RUN_AS_PROGRAM)
    body = "\n\n".join(blocks)
    top = "".join(f"# {line}\n" for line in header)
    return f'{top}"""{_summary(plan)}"""\n\n{_imports(plan, body, needs_file)}\n\n{body}'


def _summary(plan: ModulePlan) -> str:
    outputs = ", ".join(shape_text(shape) for shape in plan.output_shapes)
    counts = f"{_count(plan.node_count, 'node')}, {_count(plan.parameter_count, 'parameter')}"
    line = f"{plan.class_name}: {shape_text(plan.input_shape)} -> {outputs}; {counts}."
    if len(line) + 6 <= LINE_WIDTH:
        return line
    return f"{plan.class_name}: {_count(len(plan.returns), 'output')}; {counts}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _imports(plan: ModulePlan, body: str, needs_file: bool) -> str:
    standard = sorted({module for function in plan.functions for module in function.modules})
    lines = [f"import {module}" for module in standard]
    if needs_file:
        lines.append("from pathlib import Path")
    if lines:
        lines.append("")
    if plan.tables:
        lines.append("import numpy as np")
    lines.append("import torch")
    if "F." in body:
        lines.append("import torch.nn.functional as F")
    if needs_file:
        lines.append("from safetensors.torch import load_file")
    lines.append("from torch import nn")
    return "\n".join(lines) + "\n"


def _class(plan: ModulePlan, weights_file: str | None) -> str:
    lines = [f"class {plan.class_name}(nn.Module):"]
    buffers = [f"    {b.name}: torch.Tensor" for b in plan.bindings if not b.learned]
    lines += [*buffers, ""] if buffers else []
    if plan.bindings:
        lines += ["    def __init__(self) -> None:", "        super().__init__()"]
        lines += _constructor(plan, weights_file)
        lines.append("")
    kind = "torch.Tensor"
    if len(plan.returns) > 1:
        kind = f"tuple[{', '.join([kind] * len(plan.returns))}]"
    signature = f"    def forward(self, x: torch.Tensor) -> {kind}:"
    if len(signature) > LINE_WIDTH:
        signature = "    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:"
    lines.append(signature)
    lines += _body(plan.steps)
    lines += _returns(plan.returns)
    return "\n".join(lines) + "\n"


def _constructor(plan: ModulePlan, weights_file: str | None) -> list[str]:
    lines: list[str] = []
    bound = [line for binding in plan.bindings for line in _bind(plan, binding)]
    if any(_DTYPE.search(line) for line in bound):
        lines.append(f"        dtype = torch.{plan.dtype}")
    if weights_file is not None:
        path = call("Path(__file__).with_name", f'"{weights_file}"')
        lines += statement("weights", call("load_file", path))
    return lines + bound


def _bind(plan: ModulePlan, binding: Binding) -> list[str]:
    if binding.learned and binding.values is not None and not plan.weights_in_file:
        lines = _bind_table(binding)
        if lines:
            return lines
    value = _value(plan, binding)
    if binding.learned:
        return statement(f"self.{binding.name}", call("nn.Parameter", value))
    name = f'"{binding.name}"'
    if binding.saved:
        return statement("", call("self.register_buffer", name, value))
    return statement("", call("self.register_buffer", name, value, persistent=False))


def _bind_table(binding: Binding) -> list[str]:
    """The statement for a parameter with a table, where it has one of the two usual forms."""
    built = f"{NUMBERS.name}({binding.name.upper()}, {shape_text(binding.shape)}, dtype)"
    line = f"        self.{binding.name} = nn.Parameter({built})"
    if not numel(binding.shape) or len(built) + 12 > LINE_WIDTH:
        return []
    if len(line) <= LINE_WIDTH:
        return [line]
    return [f"        self.{binding.name} = nn.Parameter(", f"            {built}", "        )"]


def _value(plan: ModulePlan, binding: Binding) -> Call | str:
    if binding.code is not None:
        return binding.code
    if binding.values is not None and plan.weights_in_file:
        return f'weights["{binding.name}"]'
    kind = "torch.bool" if binding.mask else "dtype"
    if numel(binding.shape) == 0:
        return call("torch.zeros", binding.shape, dtype=kind)
    return call(NUMBERS, binding.name.upper(), binding.shape, kind)


def _body(steps: tuple[Step, ...]) -> list[str]:
    """The nodes, each run of one origin under its name."""
    lines: list[str] = []
    origin = ""
    usual: dict[int, str] = {}
    for step in steps:
        if step.origin and step.origin != origin:
            lines.append(f"        # {step.origin}")
            origin = step.origin
        if step.deleted or step.covers or step.domain or step.name[1:] != str(step.node_id):
            lines += _step(step)
            continue
        # Nodes with the same form have the same shape.
        form = usual.get(id(step.form)) or usual.setdefault(id(step.form), _usual_line(step))
        line = step.filled(form)
        if len(line) <= LINE_WIDTH and len(step.form) == 1:
            lines.append(line)
        else:
            lines += _step(step)
    return lines


def _usual_line(step: Step) -> str:
    """The form of a step with nothing but its shape to tell, on one line."""
    return f"        {{0}} = {flat(step.form[-1])}  # {_shape_remark(step)}"


def _step(step: Step) -> list[str]:
    remark = _shape_remark(step)
    remark = f"{remark}, {step.domain}" if step.domain else remark
    if step.covers:
        remark = f"{remark}, {_node_list(step.covers)}"
    elif step.name != f"v{step.node_id}":
        remark = f"v{step.node_id}: {remark}"
    *first, last = step.expressions
    lines = _deletions(step.deleted)
    for expression in first:
        lines += statement(step.name, expression)
    return lines + statement(step.name, last, remark)


def _shape_remark(step: Step) -> str:
    remark = shape_text(step.shape)
    return remark if len(remark) <= 60 else f"rank {len(step.shape)}, {numel(step.shape)} values"


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


def _returns(names: tuple[str, ...]) -> list[str]:
    line = f"        return {', '.join(names)}"
    if len(line) <= LINE_WIDTH:
        return [line]
    return ["        return (", *(f"            {name}," for name in names), "        )"]


def _tables(plan: ModulePlan) -> list[str]:
    """Tables in the order of the bindings."""
    held = [(b.name.upper(), b.values) for b in plan.tables if b.values is not None]
    numbers = iter(tables(held, plan.dtype))
    return [
        next(numbers)
        if binding.mask is None
        else flag_table(binding.name.upper(), binding.mask.allowed, binding.shape)
        for binding in plan.tables
    ]
