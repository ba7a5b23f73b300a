"""From a checked model to the plan of its module: every decision, no layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.emit.consts import bind_const, layer_norm_affine
from hatch_irpytorch.emit.fusion.ops import FusedLinears, Part
from hatch_irpytorch.emit.fusion.rules import fuse
from hatch_irpytorch.emit.literals import rounded_under_errstate
from hatch_irpytorch.emit.liveness import Variables, assign_variables
from hatch_irpytorch.emit.options import EmitOptions
from hatch_irpytorch.emit.plan import Binding, ModulePlan, Skeleton, Step
from hatch_irpytorch.errors import Place, fail
from hatch_irpytorch.ir.code import Code, Function
from hatch_irpytorch.ir.graph import Graph, Model, Node, numel
from hatch_irpytorch.ir.ops import Const, Site, attribute_name
from hatch_irpytorch.ir.ops.convolution import Conv, pack_kernel
from hatch_irpytorch.names import dotted_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


_NONE: Mapping[str, Any] = MappingProxyType({})


def plan_module(model: Model, options: EmitOptions) -> ModulePlan:
    """The plan of a checked model's module; `torchlean.ir.v1`: 5, with the cures of section 6."""
    live = model.graph.live_ids()
    count = len(live)
    if options.fuse:
        model = fuse(model, options.dtype)
        live = model.graph.live_ids()
    graph = model.graph
    nodes = [node for node in graph.nodes if node.id in live]
    affine = layer_norm_affine(graph, live)
    before_inverse = _ancestors_of_inverse(graph, live)
    variables = assign_variables(graph, nodes)
    bindings: list[Binding] = []
    steps: list[Step] = []
    code: Code | list[Code]
    with np.errstate(over="ignore"):
        for node in nodes:
            if isinstance(node.op, Part):
                continue
            site = _site(model, node, variables, options.dtype, node.id in before_inverse)
            if isinstance(node.op, Const):
                binding, code = bind_const(model, node, node.id in affine, options)
                bindings.append(binding)
            else:
                if site.payload:
                    bindings += _bind_payload(graph, node, site, options)
                if node.op.has_buffers:
                    bindings += _bind_buffers(node, site)
                code = node.op.torch(site)
            steps.append(_step(node, site, variables, code))
    _refuse_too_many(graph, bindings, options)
    codes = [expression for step in steps for expression in step.expressions]
    codes += [binding.code for binding in bindings if binding.code is not None]
    return ModulePlan(
        class_name=options.class_name,
        dtype=options.dtype,
        node_count=count,
        input_shape=graph.input_shape,
        output_shapes=graph.output_shapes,
        bindings=tuple(bindings),
        steps=tuple(steps),
        returns=tuple(variables.of[output] for output in graph.output_ids),
        functions=_functions(codes),
        skeleton=_skeleton(graph, bindings, steps) if options.training_skeleton else None,
        weights_in_file=options.weights == "safetensors",
    )


def _refuse_too_many(graph: Graph, bindings: list[Binding], options: EmitOptions) -> None:
    """Numbers by the million belong into a file."""
    count = sum(numel(binding.shape) for binding in bindings if binding.values is not None)
    if options.weights == "inline" and count > options.inline_limit:
        message = (
            f"the module would hold {count} numbers in its source, "
            f"more than `inline_limit`, which is {options.inline_limit}"
        )
        raise fail("too-large", Place(graph.file), message, "set `weights: safetensors`")


def _site(
    model: Model, node: Node, variables: Variables, dtype: str, zero_sign_matters: bool
) -> Site:
    names, params, node_id = variables.of, model.params, node.id
    payload: Mapping[str, Array] = _NONE
    if node.op.has_payload:
        fields = [slot.field for slot in model.graph.slots(node)]
        payload = {name: params[node_id, name] for name in fields if (node_id, name) in params}
    return Site(
        node_id,
        names[node_id],
        tuple([names[parent] for parent in node.parents]),
        model.graph.parent_shapes(node),
        node.shape,
        node.op.prefix,
        payload,
        dtype,
        zero_sign_matters,
    )


def _step(node: Node, site: Site, variables: Variables, code: Code | list[Code]) -> Step:
    target = site.name
    if isinstance(node.op, FusedLinears):
        target = ", ".join(variables.of[child] for child in node.op.children)
    return Step(
        node.id,
        target,
        tuple(code) if isinstance(code, list) else (code,),
        node.shape,
        f"defined for {site.x} {node.op.domain}" if node.op.domain else "",
        dotted_name(node.origin) if node.origin else "",
        variables.deleted.get(node.id, ()),
        node.covers,
    )


def _ancestors_of_inverse(graph: Graph, live: frozenset[int]) -> frozenset[int]:
    """Nodes whose zeros an `inv` may see: there +0 and -0 differ. torchlean.ir.v1: 6.6."""
    found: set[int] = set()
    for node in reversed(graph.nodes):
        if node.id in live and (node.op.tag == "inv" or node.id in found):
            found.update(node.parents)
    return frozenset(found)


def _bind_payload(graph: Graph, node: Node, site: Site, options: EmitOptions) -> Iterable[Binding]:
    for slot in graph.slots(node):
        array = site.payload.get(slot.field)
        if array is not None:
            if slot.packed is not None:
                assert isinstance(node.op, Conv)
                array = pack_kernel(array, node.op.groups)
            name = attribute_name(node.op.prefix, node.id, slot.name)
            values = rounded_under_errstate(array, options.dtype)
            yield Binding(node.id, name, array.shape, slot.learned, values=values)


def _bind_buffers(node: Node, site: Site) -> Iterable[Binding]:
    for buffer in node.op.buffers(site):
        name = attribute_name(node.op.prefix, node.id, buffer.name)
        shape = node.shape if buffer.table is None else buffer.table.shape
        yield Binding(node.id, name, shape, False, False, code=buffer.code, mask=buffer.table)


def _functions(codes: list[Code]) -> tuple[Function, ...]:
    """The functions that the code calls, each after those it needs, in order of first use."""
    found: dict[str, Function] = {}

    def add(function: Function) -> None:
        for needed in function.needs:
            add(needed)
        found.setdefault(function.name, function)

    def look_at(code: Code) -> None:
        if isinstance(code, str):
            return
        if isinstance(code.function, Function):
            add(code.function)
        for argument in code.arguments:
            if not isinstance(argument, str):
                look_at(argument)
        for _, value in code.keywords:
            look_at(value)

    for code in codes:
        look_at(code)
    return tuple(found.values())


def _skeleton(graph: Graph, bindings: list[Binding], steps: list[Step]) -> Skeleton:
    single = len(graph.output_ids) == 1
    last = graph.nodes[graph.output_ids[0]]
    learned = {binding.node_id for binding in bindings if binding.learned}
    reached: set[int] = set()
    for node in graph.nodes:
        parents = not reached.isdisjoint(node.parents)
        passed = parents and node.op.passes_gradient(*graph.parent_shapes(node))
        if node.id in learned or passed:
            reached.add(node.id)
    has_gradient = any(output in reached for output in graph.output_ids)
    positive_input = any(step.domain for step in steps)
    return Skeleton(single and last.op.tag == "mse_loss", has_gradient, positive_input)
