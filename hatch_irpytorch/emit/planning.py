"""From a checked model to the plan of its module: every decision, no layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hatch_irpytorch.axes.free import FreeModel, free_model
from hatch_irpytorch.emit.consts import bind_const, layer_norm_affine
from hatch_irpytorch.emit.fusion.ops import Part
from hatch_irpytorch.emit.fusion.rules import fuse
from hatch_irpytorch.emit.liveness import assign_variables
from hatch_irpytorch.emit.modules.planning import class_tree
from hatch_irpytorch.emit.options import EmitOptions
from hatch_irpytorch.emit.overflow import require_finite
from hatch_irpytorch.emit.plan import (
    ClassPlan,
    ClassTree,
    ModulePlan,
    Skeleton,
    Statement,
    Tensor,
)
from hatch_irpytorch.emit.templates import Templates
from hatch_irpytorch.emit.whole_numbers import require_whole_numbers
from hatch_irpytorch.emit.zero_signs import need_right_zeros
from hatch_irpytorch.errors import Place, fail
from hatch_irpytorch.ir.digest import graph_digest
from hatch_irpytorch.ir.freezing import with_learned
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import Const
from hatch_irpytorch.ir.ops.code import Code, Function


def plan_module(model: Model, options: EmitOptions) -> ModulePlan:
    """The plan of a checked model's module; `torchlean.ir.v1`: 5, with the cures of section 6."""
    original = model.graph
    require_whole_numbers(model, options.dtype)
    model = with_learned(model, options.freeze, options.learn)
    free = free_model(model, options.batch, options.batch_axis, options.free)
    model, shapes = free.model, free.shapes
    live = original.live_ids()
    count = len(live)
    require_finite(model, live, options.dtype)
    if options.rewrites:
        model = fuse(free, options)
        shapes = None if shapes is None else shapes.of(model.graph)
        live = model.graph.live_ids()
    graph = model.graph
    nodes: Sequence[Node] = graph.nodes
    if len(live) < len(nodes):
        nodes = [node for node in nodes if node.id in live]
    free = replace(free, model=model, shapes=shapes)
    body: ClassPlan | ClassTree
    if options.layout == "modules":
        body = class_tree(free, nodes, original, options)
    else:
        body = _class(free, nodes, options)
    _refuse_too_many(graph, body.tensors, options)
    codes = list(body.functions)
    skeleton = None
    if options.training_skeleton:
        skeleton = _skeleton(graph, nodes, body.tensors, original)
    return ModulePlan(
        name=options.class_name,
        dtype=options.dtype,
        node_count=count,
        input_shape=free.input_shape,
        integers=original.integers,
        output_shapes=free.output_shapes,
        fixed_reason=free.reason,
        body=body,
        functions=_functions(codes),
        skeleton=skeleton,
        weights_in_file=options.weights == "safetensors",
    )


def _class(free: FreeModel, nodes: Sequence[Node], options: EmitOptions) -> ClassPlan:
    model, graph = free.model, free.model.graph
    variables = assign_variables(graph, nodes, free.shapes)
    affine = layer_norm_affine(graph, nodes)
    signed = need_right_zeros(model, nodes, options.dtype)
    templates = Templates(free, options.dtype)
    tensors: list[Tensor] = []
    statements: list[Statement] = []
    for node in nodes:
        op = node.op
        if op.tag == Part.tag:
            continue
        if op.tag == Const.tag:
            array = model.params[node.id, "values"]
            template, held = bind_const(node, array, node.id in affine, options)
        else:
            held = templates.tensors(node) if op.payload_fields or op.has_buffers else []
            template = templates.of(node, len(held), node.id in signed)
        tensors += held
        statements.append(Statement(node, template))
    returns = tuple(variables.of[output] for output in graph.output_ids)
    return ClassPlan(tuple(tensors), tuple(statements), variables, returns)


def _refuse_too_many(graph: Graph, tensors: Sequence[Tensor], options: EmitOptions) -> None:
    """Numbers by the million belong into a file."""
    if options.weights != "inline":
        return
    count = sum(tensor.values.size for tensor in tensors if tensor.values is not None)
    if count > options.inline_limit:
        message = (
            f"the module would hold {count} numbers in its source, "
            f"more than `inline_limit`, which is {options.inline_limit}"
        )
        raise fail("too-large", Place(graph.file), message, "set `weights: safetensors`")


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


def _skeleton(
    graph: Graph, nodes: Sequence[Node], tensors: Sequence[Tensor], original: Graph
) -> Skeleton:
    single = len(graph.output_ids) == 1
    last = graph.nodes[graph.output_ids[0]]
    return Skeleton(
        output_is_loss=single and last.op.tag == "mse_loss",
        has_gradient=_has_gradient(graph, tensors),
        positive_input=any(node.op.domain for node in nodes),
        graph_digest=graph_digest(original),
    )


def _has_gradient(graph: Graph, tensors: Sequence[Tensor]) -> bool:
    """Whether the gradient of an output reaches anything that is learned."""
    learned = {tensor.node_id for tensor in tensors if tensor.learned}
    waiting = list(graph.output_ids)
    seen: set[int] = set()
    while waiting and learned:
        node = graph.nodes[waiting.pop()]
        if node.id in learned:
            return True
        if node.id not in seen and node.op.passes_gradient(*graph.parent_shapes(node)):
            waiting += node.parents
        seen.add(node.id)
    return False
