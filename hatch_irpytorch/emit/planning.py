"""From a checked model to the plan of its module: every decision, no layout."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from operator import attrgetter

from hatch_irpytorch.emit.consts import bind_const, layer_norm_affine, read_consts
from hatch_irpytorch.emit.forms import Forms
from hatch_irpytorch.emit.fusion.ops import FusedLinears, Part
from hatch_irpytorch.emit.fusion.rules import fuse
from hatch_irpytorch.emit.liveness import assign_variables
from hatch_irpytorch.emit.options import EmitOptions
from hatch_irpytorch.emit.plan import (
    Binding,
    Form,
    ModulePlan,
    Skeleton,
    Variables,
    alike,
    blocks,
)
from hatch_irpytorch.errors import Place, fail
from hatch_irpytorch.ir.code import Code, Function
from hatch_irpytorch.ir.digest import graph_digest
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import Const
from hatch_irpytorch.ir.shapes import numel


def plan_module(model: Model, options: EmitOptions) -> ModulePlan:
    """The plan of a checked model's module; `torchlean.ir.v1`: 5, with the cures of section 6."""
    original = model.graph
    live = original.live_ids()
    count = len(live)
    if options.fuse:
        model = fuse(model, options.dtype)
        live = model.graph.live_ids()
    graph = model.graph
    nodes: Sequence[Node] = graph.nodes
    if len(live) < len(nodes):
        nodes = [node for node in nodes if node.id in live]
    variables = assign_variables(graph, nodes)
    forms = Forms(model, options.dtype)
    said_by, said, bindings = _say(model, nodes, forms, variables, options)
    _refuse_too_many(graph, bindings, options)
    made = tuple(forms.made.values())
    codes = [code for form in made for code in form.expressions]
    codes += [binding.code for binding in bindings if binding.code is not None]
    return ModulePlan(
        class_name=options.class_name,
        dtype=options.dtype,
        node_count=count,
        input_shape=graph.input_shape,
        output_shapes=graph.output_shapes,
        bindings=tuple(bindings),
        forms=made,
        nodes=said_by,
        said=said,
        variables=variables,
        returns=tuple(variables.of[output] for output in graph.output_ids),
        functions=_functions(codes),
        skeleton=_skeleton(graph, bindings, made, original) if options.training_skeleton else None,
        weights_in_file=options.weights == "safetensors",
    )


def _say(
    model: Model,
    nodes: Sequence[Node],
    forms: Forms,
    variables: Variables,
    options: EmitOptions,
) -> tuple[Sequence[Node], list[Form], list[Binding]]:
    """The nodes that have a line, what each of them says, and what they hold, in order."""
    graph = model.graph
    affine = layer_norm_affine(graph, nodes)
    before_inverse = _ancestors_of_inverse(graph, nodes)
    usual, signatures, renamed = forms.usual, graph.signatures, variables.renamed
    bindings: list[Binding] = []
    said: list[Form] = []
    parts: set[int] = set()
    for some in blocks(nodes):
        consts = read_consts(model, some) if graph.has_op(Const.tag) else {}
        for node in some:
            known = usual.get(signatures[node.id])
            bound: list[Binding] | None = None
            if known is not None and node.id not in before_inverse:
                form = known.form
                bound = known.bind(node.id) if known.has_payload else []
            if bound is None:
                if isinstance(node.op, Part):
                    parts.add(node.id)
                    continue
                if isinstance(node.op, FusedLinears):
                    form, bound = _fused_linears(node, node.op, forms, variables)
                elif node.id in consts:
                    form, bound = bind_const(node, consts[node.id], node.id in affine, options)
                    form = forms.add(form)
                else:
                    form, bound = forms.of(node, node.id in before_inverse)
            bindings += bound
            if node.id in renamed and not node.covers:
                form = forms.with_id(form)
            said.append(form)
    said_by = [node for node in nodes if node.id not in parts] if parts else nodes
    return said_by, said, bindings


def _refuse_too_many(graph: Graph, bindings: list[Binding], options: EmitOptions) -> None:
    """Numbers by the million belong into a file."""
    if options.weights != "inline":
        return
    at_most = sum(numel(a.shape) * len(indexes) for a, indexes in alike(bindings))
    if at_most <= options.inline_limit:
        return
    count = sum(binding.values.size for binding in bindings if binding.values is not None)
    if count > options.inline_limit:
        message = (
            f"the module would hold {count} numbers in its source, "
            f"more than `inline_limit`, which is {options.inline_limit}"
        )
        raise fail("too-large", Place(graph.file), message, "set `weights: safetensors`")


def _fused_linears(
    node: Node, op: FusedLinears, forms: Forms, variables: Variables
) -> tuple[Form, list[Binding]]:
    form, bound = forms.of(node, False)
    return form._replace(target=", ".join([variables.of[child] for child in op.children])), bound


def _ancestors_of_inverse(graph: Graph, nodes: Sequence[Node]) -> frozenset[int]:
    """The nodes whose zeros an `inv` may see: there +0 and -0 differ. torchlean.ir.v1: 6.6."""
    if not graph.has_op("inv"):
        return frozenset()
    tags = graph.tags
    found: set[int] = set()
    for node in reversed(nodes):
        if tags[node.id] == "inv" or node.id in found:
            found.update(node.parents)
    return frozenset(found)


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
    graph: Graph, bindings: list[Binding], forms: Iterable[Form], original: Graph
) -> Skeleton:
    single = len(graph.output_ids) == 1
    last = graph.nodes[graph.output_ids[0]]
    return Skeleton(
        output_is_loss=single and last.op.tag == "mse_loss",
        has_gradient=_has_gradient(graph, bindings),
        positive_input=any(form.domain for form in forms),
        graph_digest=graph_digest(original),
    )


def _has_gradient(graph: Graph, bindings: list[Binding]) -> bool:
    """Whether the gradient of an output reaches anything that is learned."""
    if not any(binding.attribute.learned for binding in bindings):
        return False
    waiting = list(graph.output_ids)
    seen: set[int] = set()
    while waiting:
        node = graph.nodes[waiting.pop()]
        if _is_learned(node.id, bindings):
            return True
        if node.id not in seen and node.op.passes_gradient(*graph.parent_shapes(node)):
            waiting += node.parents
        seen.add(node.id)
    return False


def _is_learned(node_id: int, bindings: list[Binding]) -> bool:
    """Whether a node holds anything that is learned. Bindings are in the order of their nodes."""
    index = bisect_left(bindings, node_id, key=_node_id)
    while index < len(bindings) and bindings[index].node_id == node_id:
        if bindings[index].attribute.learned:
            return True
        index += 1
    return False


_node_id = attrgetter("node_id")
