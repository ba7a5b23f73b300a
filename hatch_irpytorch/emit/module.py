"""A ModulePlan as the text of a file."""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain

from hatch_irpytorch.emit.contract import (
    REQUIRE_INTEGERS,
    REQUIRE_SHAPE,
    require_integers,
    require_shape,
)
from hatch_irpytorch.emit.forward import body, returns
from hatch_irpytorch.emit.layout import LINE_WIDTH, flat, statement
from hatch_irpytorch.emit.plan import ClassPlan, Declaration, ModulePlan, Tensor
from hatch_irpytorch.emit.skeleton import RUN_AS_PROGRAM, skeleton_text
from hatch_irpytorch.emit.tables import NUMBERS, NUMBERS_FLOAT64, flag_table, tables
from hatch_irpytorch.emit.weights import MAPPED_TENSORS
from hatch_irpytorch.ir.ops.code import Code, Function, call
from hatch_irpytorch.ir.shapes import Shape, numel
from hatch_irpytorch.ir.symbolic import symbolic_text

_DTYPE = re.compile(r"\bdtype\b(?!=)")


def module_text(plan: ModulePlan, header: tuple[str, ...], weights_file: str | None) -> str:
    """The module of a plan, ending in one newline. `header` holds comment lines without `#`."""
    if plan.weights_in_file and weights_file is None:
        raise ValueError("weights in a file need the file's name")
    functions = [require_shape(plan.input_shape)]
    functions += [] if plan.integers is None else [require_integers(plan.integers)]
    functions += [MAPPED_TENSORS[plan.dtype]] if plan.in_file else []
    if plan.has_tables:
        functions.append(NUMBERS_FLOAT64 if plan.dtype == "float64" else NUMBERS)
    functions += plan.functions
    sources = [function.source for function in functions]
    training = [] if plan.skeleton is None else skeleton_text(plan, plan.skeleton)
    lines = [f"# {line}" for line in header]
    lines += [*_docstring(plan), ""]
    lines += _standard_imports(functions)
    lines += _imports(plan, _use_functional(plan, [*sources, *training]))
    parts = [[source.rstrip()] for source in sources]
    file = weights_file if plan.in_file else None
    parts += [_class(plan, part, file) for part in plan.classes]
    parts += [[text.rstrip()] for text in training]
    if plan.has_tables:
        parts.append(_tables(plan))
    if plan.skeleton is not None:
        parts.append([RUN_AS_PROGRAM.rstrip()])
    for part in parts:
        lines += ["", "", *part]
    return "\n".join([*lines, ""])


def _use_functional(plan: ModulePlan, blocks: list[str]) -> bool:
    """Whether the statements of `forward` or other blocks of code call `F`.

    The text of `forward` is not asked: it holds remarks from the graph, which may say anything.
    """
    said = (flat(code) for template in plan.templates for code in template.expressions)
    return any("F." in text for text in chain(said, blocks))


def _docstring(plan: ModulePlan) -> list[str]:
    """What the module computes, of which shape, and why that is fixed if it is."""
    if not plan.fixed_reason:
        return [f'"""{_summary(plan)}"""']
    told = textwrap.wrap(f"The batch is fixed: {plan.fixed_reason}.", LINE_WIDTH)
    return [f'"""{_summary(plan)}', "", *told, '"""']


def _summary(plan: ModulePlan) -> str:
    outputs = ", ".join(symbolic_text(shape) for shape in plan.output_shapes)
    counts = f"{_count(plan.node_count, 'node')}, {_count(plan.parameter_count, 'parameter')}"
    line = f"{plan.model.name}: {symbolic_text(plan.input_shape)} -> {outputs}; {counts}."
    if len(line) + 6 <= LINE_WIDTH:
        return line
    return f"{plan.model.name}: {_count(len(plan.output_shapes), 'output')}; {counts}."


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
    lines.append("from torch import fx, nn")
    return lines


def _class(plan: ModulePlan, part: ClassPlan, weights_file: str | None) -> list[str]:
    lines = [f"class {part.name}(nn.Module):"]
    buffers = [f"    {held.name}: torch.Tensor" for held in part.tensors if not held.learned]
    lines += [*buffers, ""] if buffers else []
    if part.tensors:
        lines += ["    def __init__(self) -> None:", "        super().__init__()"]
        lines += _constructor(plan, part, weights_file)
        lines.append("")
    kind = "torch.Tensor"
    if len(part.returns) > 1:
        kind = f"tuple[{', '.join([kind] * len(part.returns))}]"
    signature = f"    def forward(self, x: torch.Tensor) -> {kind}:"
    if len(signature) > LINE_WIDTH:
        signature = "    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:"
    lines += [signature, f"        {REQUIRE_SHAPE}(x)"]
    lines += [] if plan.integers is None else [f"        {REQUIRE_INTEGERS}(x)"]
    return [*lines, *body(part), *returns(part.returns)]


def _constructor(plan: ModulePlan, part: ClassPlan, weights_file: str | None) -> list[str]:
    lines: list[str] = []
    made = list(_assignments(plan, part.tensors))
    if any(map(_DTYPE.search, made)):
        lines.append(f"        dtype = torch.{plan.dtype}")
    if weights_file is not None:
        path = call("Path(__file__).with_name", f'"{weights_file}"')
        lines += statement("weights", call("mapped_tensors", path))
    return lines + made


_DIGIT = "#"
"""Stands for each digit of an id, so that lines are as long as with it."""


def _assignments(plan: ModulePlan, tensors: Sequence[Tensor]) -> Iterator[str]:
    """The statements of `__init__`: laid out once for tensors that are declared alike."""
    known: dict[tuple[Declaration, bool, int], str] = {}
    for held in tensors:
        if held.code is not None:
            yield from statement(*_held(plan, held, held.node_id))
            continue
        node_id = str(held.node_id)
        alike = (held.declaration, held.mask is None, len(node_id))
        place = _DIGIT * len(node_id)
        if alike not in known:
            known[alike] = "\n".join(statement(*_held(plan, held, place)))
        yield known[alike].replace(place, node_id)


def _held(plan: ModulePlan, held: Tensor, node_id: int | str) -> tuple[str, Code]:
    """Target and value of the statement that makes a tensor; for the id a place may stand."""
    name = held.declaration.name(node_id)
    value = _value(plan, held, name)
    if held.learned:
        return f"self.{name}", call("nn.Parameter", value)
    register = "self.register_buffer"
    if held.declaration.saved:
        return "", call(register, f'"{name}"', value)
    return "", call(register, f'"{name}"', value, persistent=False)


def _value(plan: ModulePlan, held: Tensor, name: str) -> Code:
    if held.code is not None:
        return held.code
    kind = "torch.bool" if held.mask else "dtype"
    if numel(held.shape) == 0:
        return call("torch.zeros", held.shape, dtype=kind)
    if held.values is not None and plan.weights_in_file:
        return f'weights["{name}"]'
    return call(NUMBERS, name.upper(), held.shape, kind)


def _tables(plan: ModulePlan) -> list[str]:
    """The tables of tensors, in order; those of one shape are laid out together."""
    held = [tensor for tensor in plan.tensors if plan.has_table(tensor)]
    texts = [""] * len(held)
    alike: dict[Shape, list[int]] = defaultdict(list)
    for place, tensor in enumerate(held):
        if tensor.mask is not None:
            texts[place] = flag_table(tensor.table_name, tensor.mask.allowed, tensor.shape)
        else:
            alike[tensor.shape].append(place)
    for shape, places in alike.items():
        names = [held[place].table_name for place in places]
        arrays = [values for place in places if (values := held[place].values) is not None]
        made = tables(names, arrays, shape, plan.dtype)
        for place, text in zip(places, made, strict=True):
            texts[place] = text
    return texts
