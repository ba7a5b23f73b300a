"""A ModulePlan as the text of a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from hatch_irpytorch.emit.forward import body, returns
from hatch_irpytorch.emit.layout import LINE_WIDTH, filled, flat, layouts, statement
from hatch_irpytorch.emit.plan import Binding, ModulePlan, alike, blocks
from hatch_irpytorch.emit.skeleton import RUN_AS_PROGRAM, skeleton_text
from hatch_irpytorch.emit.tables import NUMBERS, NUMBERS_FLOAT64, flag_table, tables
from hatch_irpytorch.emit.weights import MAPPED_TENSORS
from hatch_irpytorch.ir.code import Code, Function, call
from hatch_irpytorch.ir.shapes import numel, shape_text

_DTYPE = re.compile(r"\bdtype\b(?!=)")


def module_text(plan: ModulePlan, header: tuple[str, ...], weights_file: str | None) -> str:
    """The module of a plan, ending in one newline. `header` holds comment lines without `#`."""
    if plan.weights_in_file and weights_file is None:
        raise ValueError("weights in a file need the file's name")
    functions = [MAPPED_TENSORS[plan.dtype]] if plan.in_file else []
    if plan.has_tables:
        functions.append(NUMBERS_FLOAT64 if plan.dtype == "float64" else NUMBERS)
    functions += plan.functions
    sources = [function.source for function in functions]
    training = [] if plan.skeleton is None else skeleton_text(plan, plan.skeleton)
    lines = [f"# {line}" for line in header]
    lines += [f'"""{_summary(plan)}"""', ""]
    lines += _standard_imports(functions)
    lines += _imports(plan, _use_functional(plan, [*sources, *training]))
    parts = [[source.rstrip()] for source in sources]
    parts.append(_class(plan, weights_file if plan.in_file else None))
    parts += [[text.rstrip()] for text in training]
    if plan.has_tables:
        held = (_tables(plan, some) for some in blocks(plan.bindings))
        parts.append([text for text in held if text])
    if plan.skeleton is not None:
        parts.append([RUN_AS_PROGRAM.rstrip()])
    for part in parts:
        lines += ["", "", *part]
    return "\n".join([*lines, ""])


def _use_functional(plan: ModulePlan, blocks: list[str]) -> bool:
    """Whether the statements of `forward` or other blocks of code call `F`.

    The text of `forward` is not asked: it holds remarks from the graph, which may say anything.
    """
    said = (flat(code) for form in plan.forms for code in form.expressions)
    return any("F." in text for text in chain(said, blocks))


def _summary(plan: ModulePlan) -> str:
    outputs = ", ".join(shape_text(shape) for shape in plan.output_shapes)
    counts = f"{_count(plan.node_count, 'node')}, {_count(plan.parameter_count, 'parameter')}"
    line = f"{plan.class_name}: {shape_text(plan.input_shape)} -> {outputs}; {counts}."
    if len(line) + 6 <= LINE_WIDTH:
        return line
    return f"{plan.class_name}: {_count(len(plan.returns), 'output')}; {counts}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _standard_imports(functions: list[Function]) -> list[str]:
    found = {line for function in functions for line in function.imports}
    lines = sorted(found, key=lambda line: (line.startswith("from"), line))
    return [*lines, ""] if lines else []


def _imports(plan: ModulePlan, uses_functional: bool) -> list[str]:
    lines = ["import numpy as np"] if plan.has_tables else []
    lines.append("import torch")
    if uses_functional:
        lines.append("import torch.nn.functional as F")
    lines.append("from torch import nn")
    return lines


def _class(plan: ModulePlan, weights_file: str | None) -> list[str]:
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
    return [*lines, *body(plan), *returns(plan.returns)]


def _constructor(plan: ModulePlan, weights_file: str | None) -> list[str]:
    lines: list[str] = []
    bound = [_bound_lines(plan, some) for some in blocks(plan.bindings)]
    if any(map(_DTYPE.search, bound)):
        lines.append(f"        dtype = torch.{plan.dtype}")
    if weights_file is not None:
        path = call("Path(__file__).with_name", f'"{weights_file}"')
        lines += statement("weights", call("mapped_tensors", path))
    return lines + bound


def _bound_lines(plan: ModulePlan, bindings: Sequence[Binding]) -> str:
    """The statements for bindings; those that are alike are laid out at once."""
    found: list[str | None] = [None] * len(bindings)
    for _, indexes in alike(bindings):
        same = [index for index in indexes if bindings[index].code is None]
        if same:
            alternatives = layouts(*_bound(plan, bindings[same[0]], "{0}"))
            ids = [str(bindings[index].node_id) for index in same]
            for index, text in zip(same, filled(alternatives, {"0": ids}), strict=True):
                found[index] = text
    lines: list[str] = []
    for binding, text in zip(bindings, found, strict=True):
        if text is None:
            lines += statement(*_bound(plan, binding, binding.node_id))
        else:
            lines.append(text)
    return "\n".join(lines)


def _bound(plan: ModulePlan, binding: Binding, node_id: int | str) -> tuple[str, Code]:
    """The target and the expression of a binding; instead of the id there may be a place."""
    attribute = binding.attribute
    name = attribute.name(node_id)
    value = _value(plan, binding, node_id)
    if attribute.learned:
        return f"self.{name}", call("nn.Parameter", value)
    if attribute.saved:
        return "", call("self.register_buffer", f'"{name}"', value)
    return "", call("self.register_buffer", f'"{name}"', value, persistent=False)


def _value(plan: ModulePlan, binding: Binding, node_id: int | str) -> Code:
    if binding.code is not None:
        return binding.code
    kind = "torch.bool" if binding.mask else "dtype"
    if numel(binding.shape) == 0:
        return call("torch.zeros", binding.shape, dtype=kind)
    if binding.values is not None and plan.weights_in_file:
        return f'weights["{binding.attribute.name(node_id)}"]'
    return call(NUMBERS, binding.attribute.table_name(node_id), binding.shape, kind)


def _tables(plan: ModulePlan, bindings: Sequence[Binding]) -> str:
    """The tables of bindings; those that are alike are laid out at once."""
    held = [binding for binding in bindings if plan.has_table(binding)]
    found = [""] * len(held)
    for attribute, indexes in alike(held):
        before, _, behind = attribute.table_name("{}").partition("{}")
        some = [held[index] for index in indexes]
        names = [f"{before}{binding.node_id}{behind}" for binding in some]
        arrays = [binding.values for binding in some if binding.values is not None]
        if len(arrays) == len(some):
            texts = tables(names, arrays, attribute.shape, plan.dtype)
        else:
            masks = [binding.mask.allowed for binding in some if binding.mask is not None]
            texts = [
                flag_table(name, flags, attribute.shape)
                for name, flags in zip(names, masks, strict=True)
            ]
        for index, text in zip(indexes, texts, strict=True):
            found[index] = text
    return "\n".join(found)
