"""The class of `layout: graph` as lines, and its tables."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from hatch_irpytorch.emit.contract import REQUIRE_INTEGERS, REQUIRE_SHAPE
from hatch_irpytorch.emit.forward import body, returns
from hatch_irpytorch.emit.layout import LINE_WIDTH, statement
from hatch_irpytorch.emit.plan import ClassPlan, Declaration, LaidOut, ModulePlan, Tensor
from hatch_irpytorch.emit.tables import NUMBERS, NUMBERS_FLOAT64, flag_table, tables
from hatch_irpytorch.ir.ops.code import Code, call
from hatch_irpytorch.ir.shapes import Shape, numel

_DTYPE = re.compile(r"\bdtype\b(?!=)")


def graph_text(plan: ModulePlan, weights_file: str | None) -> LaidOut:
    """The class of a plan, which reads its tensors from tables or from a file."""
    assert isinstance(plan.body, ClassPlan)
    numbers = NUMBERS_FLOAT64 if plan.dtype == "float64" else NUMBERS
    functions = (numbers,) if plan.has_tables else ()
    lines = _class(plan, plan.body, weights_file)
    return LaidOut(functions, [lines], _tables(plan) if plan.has_tables else [])


def _class(plan: ModulePlan, part: ClassPlan, weights_file: str | None) -> list[str]:
    lines = [f"class {plan.name}(nn.Module):"]
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
    return call(NUMBERS, table_name(name), held.shape, kind)


def _tables(plan: ModulePlan) -> list[str]:
    """The tables of tensors, in order; those of one shape are laid out together."""
    held = [tensor for tensor in plan.tensors if plan.has_table(tensor)]
    texts = [""] * len(held)
    alike: dict[Shape, list[int]] = defaultdict(list)
    for place, tensor in enumerate(held):
        if tensor.mask is not None:
            texts[place] = flag_table(table_name(tensor.name), tensor.mask.allowed, tensor.shape)
        else:
            alike[tensor.shape].append(place)
    for shape, places in alike.items():
        names = [table_name(held[place].name) for place in places]
        arrays = [values for place in places if (values := held[place].values) is not None]
        made = tables(names, arrays, shape, plan.dtype)
        for place, text in zip(places, made, strict=True):
            texts[place] = text
    return texts


def table_name(name: str) -> str:
    """The constant of a generated module that holds the entries of a tensor."""
    return name.upper()
