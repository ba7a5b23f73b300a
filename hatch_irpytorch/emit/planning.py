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
from hatch_irpytorch.emit.plan import Binding, Form, ModulePlan, Skeleton, Step
from hatch_irpytorch.errors import Place, fail
from hatch_irpytorch.ir.code import Code, Function
from hatch_irpytorch.ir.graph import Graph, Model, Node, numel
from hatch_irpytorch.ir.ops import Const, Site, Slot, attribute_name
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
    forms = _Forms(model, options.dtype)
    with np.errstate(over="ignore"):
        for node in nodes:
            if isinstance(node.op, Part):
                continue
            if isinstance(node.op, Const):
                binding, code = bind_const(model, node, node.id in affine, options)
                bindings.append(binding)
                form: Form = (code,)
            else:
                payload: Mapping[str, Array] = _NONE
                if node.op.has_payload:
                    slots = graph.slots(node)
                    payload = _payload(model, node.id, slots)
                    bindings += _bind_payload(node, slots, payload, options)
                form = forms.of(node, payload, node.id in before_inverse)
                if node.op.has_buffers:
                    bindings += _bind_buffers(node, forms.site(node, payload))
            steps.append(_step(node, form, variables))
    _refuse_too_many(graph, bindings, options)
    codes = [
        code for form in {id(step.form): step.form for step in steps}.values() for code in form
    ]
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


class _Forms:
    """The code of nodes, made once for those that are alike."""

    def __init__(self, model: Model, dtype: str) -> None:
        self.graph = model.graph
        self.dtype = dtype
        self.known: dict[tuple[object, ...], Form] = {}

    def of(self, node: Node, payload: Mapping[str, Array], zero_sign_matters: bool) -> Form:
        op = node.op
        if op.code_reads_payload:
            return self._made(node, payload, zero_sign_matters)
        # Ops of the same attributes are one object, and the graph keeps it alive.
        shapes = self.graph.parent_shapes(node)
        alike = (id(op), shapes, node.shape, tuple(payload), zero_sign_matters)
        found = self.known.get(alike)
        if found is None:
            found = self.known[alike] = self._made(node, payload, zero_sign_matters)
        return found

    def _made(self, node: Node, payload: Mapping[str, Array], zero_sign_matters: bool) -> Form:
        code = node.op.torch(self.site(node, payload, zero_sign_matters))
        return tuple(code) if isinstance(code, list) else (code,)

    def site(
        self, node: Node, payload: Mapping[str, Array], zero_sign_matters: bool = False
    ) -> Site:
        """A site with places instead of names."""
        return Site(
            "{0}",
            tuple([f"{{{place}}}" for place in range(2, len(node.parents) + 2)]),
            self.graph.parent_shapes(node),
            node.shape,
            f"{node.op.prefix}_{{1}}",
            payload,
            self.dtype,
            zero_sign_matters,
        )


def _payload(model: Model, node_id: int, slots: tuple[Slot, ...]) -> Mapping[str, Array]:
    """The stored arrays of a node by field."""
    params = model.params
    keys = [(node_id, slot.field) for slot in slots]
    return {key[1]: params[key] for key in keys if key in params}


def _step(node: Node, form: Form, variables: Variables) -> Step:
    names = variables.of
    target = names[node.id]
    if isinstance(node.op, FusedLinears):
        target = ", ".join(names[child] for child in node.op.children)
    parents = tuple([names[parent] for parent in node.parents])
    return Step(
        node.id,
        target,
        form,
        parents,
        node.shape,
        f"defined for {parents[0]} {node.op.domain}" if node.op.domain else "",
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


def _bind_payload(
    node: Node, slots: tuple[Slot, ...], payload: Mapping[str, Array], options: EmitOptions
) -> Iterable[Binding]:
    for slot in slots:
        array = payload.get(slot.field)
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
