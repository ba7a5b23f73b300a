"""A ModulePlan as the text of a file."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from itertools import chain

from hatch_irpytorch.emit.contract import require_integers, require_shape
from hatch_irpytorch.emit.graph_text import graph_text
from hatch_irpytorch.emit.layout import LINE_WIDTH, flat
from hatch_irpytorch.emit.modules.text import tree_text
from hatch_irpytorch.emit.plan import ClassTree, ModulePlan
from hatch_irpytorch.emit.skeleton import RUN_AS_PROGRAM, skeleton_text
from hatch_irpytorch.emit.weights import MAPPED_TENSORS
from hatch_irpytorch.ir.ops.code import Function
from hatch_irpytorch.ir.symbolic import symbolic_text

_FUNCTIONAL = re.compile(r"(?<![.\w])F\.")


def module_text(plan: ModulePlan, header: tuple[str, ...], weights_file: str | None) -> str:
    """The module of a plan, ending in one newline. `header` holds comment lines without `#`."""
    if plan.weights_in_file and weights_file is None:
        raise ValueError("weights in a file need the file's name")
    functions = [require_shape(plan.input_shape)]
    functions += [] if plan.integers is None else [require_integers(plan.integers)]
    functions += [MAPPED_TENSORS[plan.dtype]] if plan.in_file else []
    file = weights_file if plan.in_file else None
    laid_out = tree_text(plan, file) if isinstance(plan.body, ClassTree) else graph_text(plan, file)
    functions += [*laid_out.functions, *plan.functions]
    sources = [function.source for function in functions]
    training = [] if plan.skeleton is None else skeleton_text(plan, plan.skeleton)
    lines = [f"# {line}" for line in header]
    lines += [*_docstring(plan), ""]
    lines += _standard_imports(functions, laid_out.imports)
    lines += _imports(plan, _use_functional(plan, [*sources, *training]))
    parts = [[source.rstrip()] for source in sources]
    parts += laid_out.classes
    parts += [[text.rstrip()] for text in training]
    parts += [laid_out.tables] if laid_out.tables else []
    if plan.skeleton is not None:
        parts.append([RUN_AS_PROGRAM.rstrip()])
    for part in parts:
        lines += ["", "", *part]
    return "\n".join([*lines, ""])


def _use_functional(plan: ModulePlan, blocks: list[str]) -> bool:
    """Whether the statements of `forward` or other blocks of code call `F`.

    The text of `forward` is not asked: it holds remarks from the graph, which may say anything.
    """
    return any(_FUNCTIONAL.search(text) for text in chain(map(flat, plan.body.codes), blocks))


def _docstring(plan: ModulePlan) -> list[str]:
    """What the module computes, of which shape, and why that is fixed if it is."""
    if not plan.fixed_reason:
        return [f'"""{_summary(plan)}"""']
    told = textwrap.wrap(f"The batch is fixed: {plan.fixed_reason}.", LINE_WIDTH)
    return [f'"""{_summary(plan)}', "", *told, '"""']


def _summary(plan: ModulePlan) -> str:
    outputs = ", ".join(symbolic_text(shape) for shape in plan.output_shapes)
    counts = f"{_count(plan.node_count, 'node')}, {_count(plan.parameter_count, 'parameter')}"
    line = f"{plan.name}: {symbolic_text(plan.input_shape)} -> {outputs}; {counts}."
    if len(line) + 6 <= LINE_WIDTH:
        return line
    return f"{plan.name}: {_count(len(plan.output_shapes), 'output')}; {counts}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _standard_imports(functions: list[Function], further: Iterable[str]) -> list[str]:
    found = {*further, *(line for function in functions for line in function.imports)}
    lines = sorted(found, key=lambda line: (line.startswith("from"), line))
    return [*lines, ""] if lines else []


def _imports(plan: ModulePlan, uses_functional: bool) -> list[str]:
    lines = ["import numpy as np"] if plan.has_tables else []
    lines.append("import torch")
    if uses_functional:
        lines.append("import torch.nn.functional as F")
    lines.append("from torch import fx, nn")
    return lines
