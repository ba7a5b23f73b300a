"""Decisions about a module as plain data: names, bindings, statements. No text is laid out here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hatch_irpytorch.emit.consts import layer_norm_affine, read_const
from hatch_irpytorch.emit.literals import rounded
from hatch_irpytorch.emit.options import EmitOptions
from hatch_irpytorch.errors import Place, fail
from hatch_irpytorch.ir.code import Call, Code, Function, call
from hatch_irpytorch.ir.graph import Graph, Model, Node, Shape, numel
from hatch_irpytorch.ir.ops import Const, Mask, Site, Slot, attribute_name
from hatch_irpytorch.ir.ops.convolution import Conv, pack_kernel
from hatch_irpytorch.ir.params import compressed_name
from hatch_irpytorch.names import dotted_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Binding:
    """One tensor of `__init__`. Its value is `code`, `values` or the booleans of `mask`."""

    node_id: int
    name: str
    shape: Shape
    learned: bool
    saved: bool = True
    values: Array | None = None
    code: Code | None = None
    mask: Mask | None = None


class Step(NamedTuple):
    """One node of `forward`: its expressions, each bound to `name`, and its comments."""

    name: str
    expressions: tuple[Code, ...]
    shape: Shape
    domain: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Skeleton:
    """What the training part needs to know. torchlean.ir.v1: 5.4."""

    output_is_loss: bool
    has_gradient: bool
    positive_input: bool


@dataclass(frozen=True)
class ModulePlan:
    """Everything a generated module says."""

    class_name: str
    dtype: str
    node_count: int
    input_shape: Shape
    output_shapes: tuple[Shape, ...]
    bindings: tuple[Binding, ...]
    steps: tuple[Step, ...]
    returns: tuple[str, ...]
    functions: tuple[Function, ...]
    skeleton: Skeleton | None
    weights_in_file: bool

    @property
    def parameter_count(self) -> int:
        return sum(numel(binding.shape) for binding in self.bindings if binding.learned)

    @cached_property
    def tables(self) -> tuple[Binding, ...]:
        """The bindings whose entries stand in the source."""
        return tuple(
            binding
            for binding in self.bindings
            if numel(binding.shape)
            and (binding.mask or (binding.values is not None and not self.weights_in_file))
        )

    @property
    def stored(self) -> tuple[Binding, ...]:
        """The bindings whose numbers stand outside `__init__`: in tables or in a weight file."""
        return tuple(binding for binding in self.bindings if binding.values is not None)


def plan_module(model: Model, options: EmitOptions) -> ModulePlan:
    """The plan of a checked model's module; `torchlean.ir.v1`: 5, with the cures of section 6."""
    graph = model.graph
    live = graph.live_ids()
    nodes = [node for node in graph.nodes if node.id in live]
    affine = layer_norm_affine(graph, live)
    bindings: list[Binding] = []
    steps: list[Step] = []
    before_inverse = _ancestors_of_inverse(graph, live)
    code: Code | list[Code]
    for node in nodes:
        site = _site(model, node, options.dtype, node.id in before_inverse)
        if isinstance(node.op, Const):
            binding, code = _bind_const(model, node, node.id in affine, options)
            bindings.append(binding)
        else:
            bindings.extend(_bind_payload(model, node, options))
            bindings.extend(_bind_buffers(node, site))
            code = node.op.torch(site)
        expressions = tuple(code) if isinstance(code, list) else (code,)
        steps.append(
            Step(site.name, expressions, node.shape, _domain(node, site), dotted_name(node.origin))
        )
    _refuse_too_many(graph, bindings, options)
    codes = [expression for step in steps for expression in step.expressions]
    codes += [binding.code for binding in bindings if binding.code is not None]
    return ModulePlan(
        class_name=options.class_name,
        dtype=options.dtype,
        node_count=len(nodes),
        input_shape=graph.input_shape,
        output_shapes=graph.output_shapes,
        bindings=tuple(bindings),
        steps=tuple(steps),
        returns=tuple(f"v{output}" for output in graph.output_ids),
        functions=_functions(codes),
        skeleton=_skeleton(graph, bindings, steps) if options.training_skeleton else None,
        weights_in_file=options.weights == "safetensors",
    )


def _refuse_too_many(graph: Graph, bindings: list[Binding], options: EmitOptions) -> None:
    """Numbers by the million belong into a file: their source would take seconds to import."""
    count = sum(numel(binding.shape) for binding in bindings if binding.values is not None)
    if options.weights == "inline" and count > options.inline_limit:
        message = (
            f"the module would hold {count} numbers in its source, "
            f"more than `inline_limit`, which is {options.inline_limit}"
        )
        raise fail("too-large", Place(graph.file), message, "set `weights: safetensors`")


def _site(model: Model, node: Node, dtype: str, zero_sign_matters: bool) -> Site:
    shapes = model.graph.parent_shapes(node)
    slots = node.op.payload(*shapes)
    return Site(
        id=node.id,
        parents=tuple(f"v{parent}" for parent in node.parents),
        shapes=shapes,
        out=node.shape,
        prefix=node.op.prefix,
        payload={
            slot.field: model.params[node.id, slot.field]
            for slot in slots
            if (node.id, slot.field) in model.params
        },
        dtype=dtype,
        zero_sign_matters=zero_sign_matters,
    )


def _domain(node: Node, site: Site) -> str:
    return f"defined for {site.x} {node.op.domain}" if node.op.domain else ""


def _ancestors_of_inverse(graph: Graph, live: frozenset[int]) -> frozenset[int]:
    """Nodes whose zeros an `inv` may see: there +0 and -0 differ. torchlean.ir.v1: 6.6."""
    found: set[int] = set()
    for node in reversed(graph.nodes):
        if node.id in live and (node.op.tag == "inv" or node.id in found):
            found.update(node.parents)
    return frozenset(found)


def _bind_const(
    model: Model, node: Node, affine: bool, options: EmitOptions
) -> tuple[Binding, Code]:
    """The binding of a const and its expression in `forward`. torchlean.ir.v1: 5.3."""
    assert isinstance(node.op, Const)
    name = attribute_name(node.op.prefix, node.id, "")
    value = read_const(model, node)
    wanted = node.op.learnable
    learned = options.learnable_consts and (
        affine or not value.uniform if wanted is None else wanted
    )
    if learned:
        tied = options.compress_broadcast_params and wanted is None
        row = value.repeated_row() if tied else None
        if row is not None:
            vector = Binding(
                node.id, compressed_name(name), row.shape, True, values=rounded(row, options.dtype)
            )
            code = call(f"self.{vector.name}.unsqueeze(0).expand", node.shape[0], -1)
            return vector, code
        return Binding(
            node.id, name, node.shape, True, values=rounded(value.array, options.dtype)
        ), (f"self.{name}")
    if value.filled:
        fill = float(rounded(value.first, options.dtype))
        return Binding(
            node.id, name, node.shape, False, code=_filled(node.shape, fill)
        ), f"self.{name}"
    values = rounded(value.array, options.dtype)
    return Binding(node.id, name, node.shape, False, values=values), f"self.{name}"


def _filled(shape: Shape, value: float) -> Code:
    if numel(shape) == 0:
        return call("torch.zeros", shape, dtype="dtype")
    return call("torch.full", shape, value, dtype="dtype")


def _bind_payload(model: Model, node: Node, options: EmitOptions) -> Iterable[Binding]:
    for slot in node.op.payload(*model.graph.parent_shapes(node)):
        array = model.params.get((node.id, slot.field))
        if array is not None:
            array = _packed(node, slot, array)
            name = attribute_name(node.op.prefix, node.id, slot.name)
            values = rounded(array, options.dtype)
            yield Binding(node.id, name, array.shape, slot.learned, values=values)


def _packed(node: Node, slot: Slot, array: Array) -> Array:
    if slot.packed is None:
        return array
    assert isinstance(node.op, Conv)
    return pack_kernel(array, node.op.groups)


def _bind_buffers(node: Node, site: Site) -> Iterable[Binding]:
    for buffer in node.op.buffers(site):
        name = attribute_name(node.op.prefix, node.id, buffer.name)
        yield Binding(node.id, name, node.shape, False, False, code=buffer.code, mask=buffer.table)


def _functions(codes: list[Code]) -> tuple[Function, ...]:
    """The functions that the code calls, each after those it needs, in order of first use."""
    found: dict[str, Function] = {}

    def add(function: Function) -> None:
        for needed in function.needs:
            add(needed)
        found.setdefault(function.name, function)

    for code in codes:
        for function in _called(code):
            add(function)
    return tuple(found.values())


def _called(code: Code) -> Iterable[Function]:
    if isinstance(code, Call):
        if isinstance(code.function, Function):
            yield code.function
        for argument in code.arguments:
            yield from _called(argument)
        for _, value in code.keywords:
            yield from _called(value)


def _skeleton(graph: Graph, bindings: list[Binding], steps: list[Step]) -> Skeleton:
    single = len(graph.output_ids) == 1
    last = graph.nodes[graph.output_ids[0]]
    learned = {binding.node_id for binding in bindings if binding.learned}
    reached: set[int] = set()
    for node in graph.nodes:
        parents = any(parent in reached for parent in node.parents)
        passed = parents and node.op.passes_gradient(*graph.parent_shapes(node))
        if node.id in learned or passed:
            reached.add(node.id)
    has_gradient = any(output in reached for output in graph.output_ids)
    positive_input = any(step.domain for step in steps)
    return Skeleton(single and last.op.tag == "mse_loss", has_gradient, positive_input)
