"""A model as files for the Lean side: a graph with its payload inside, or a ParamStore."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import structs

from hatch_irpytorch.build.model import input_path, load_model
from hatch_irpytorch.build.ownership import mark_of_weights
from hatch_irpytorch.emit.marks import EXPORTED, marked_graph
from hatch_irpytorch.emit.weights import TensorFile, store_file
from hatch_irpytorch.errors import Place, Problem, Problems, fail, shown
from hatch_irpytorch.ir.digest import graph_digest
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import Const, LayerNorm
from hatch_irpytorch.ir.ops.convolution import Conv, LegacyConv2d
from hatch_irpytorch.ir.ops.normalization import DEFAULT_EPS
from hatch_irpytorch.ir.read import read_graph, read_model
from hatch_irpytorch.ir.write import document_text

if TYPE_CHECKING:
    from hatch_irpytorch.manifest import Manifest
    from hatch_irpytorch.project import Project

JSON_ENDING = ".json"
STORE_ENDING = ".safetensors"


def load_trained(
    project: Project, manifest: Manifest, state: Path | None, *, other_graph: bool = False
) -> Model:
    """The checked model of a manifest, with its own parameters or those of a state dict.

    A state dict has the attribute names of the generated module, which are positions in the graph:
    one that names another graph is refused without `other_graph`, one that names none is noted.
    Raises `IRPyTorchError`.
    """
    if state is None:
        return load_model(project, manifest)[0]
    graph, name = input_path(project, manifest, manifest.ir, manifest.ir_place)
    outputs = manifest.output_ids
    notes = _belonging_notes(read_graph(graph, name, outputs), state, other_graph=other_graph)
    own = load_model(project, manifest)[0].params
    model = read_model(graph, state, graph_name=name, output_ids=outputs, base=own)
    return replace(model, notes=(*model.notes, *notes))


def _belonging_notes(graph: Graph, state: Path, *, other_graph: bool) -> list[Problem]:
    """What cannot be known of whose parameters these are. Raises `other-graph`."""
    place = Place(state.as_posix())
    mark = mark_of_weights(state) or ""
    named = marked_graph(mark)
    alike = _interchangeable(graph)
    notes = []
    if named and named != graph_digest(graph):
        message = f"the parameters are those of another graph than {shown(graph.file)}"
        if not other_graph:
            hint = "train the module of this graph, or take them by name with `--other-graph`"
            raise fail("other-graph", place, message, hint)
        notes.append(Problem("other-graph", place, f"{message}: taken by name"))
    if not named:
        message = "the file does not say which graph its parameters belong to: taken by name"
        hint = "`save_weights` of the generated module says it"
        notes.append(Problem("other-graph", place, message, hint))
    if alike:
        message = (
            f"nodes {alike[0].id} and {alike[1].id} are alike and no origin tells them apart: "
            "if they changed places since, nothing tells"
        )
        notes.append(Problem("other-graph", place, message))
    return notes


def _interchangeable(graph: Graph) -> tuple[Node, ...]:
    """The first two nodes with payload of one shape that no origin tells apart, if any."""
    seen: dict[tuple[str, str, object], Node] = {}
    for node in graph.nodes:
        slots = tuple((slot.field, slot.shape) for slot in graph.slots(node))
        if slots:
            other = seen.setdefault((node.op.tag, node.origin, slots), node)
            if other is not node:
                return other, node
    return ()


def exported_json(model: Model) -> bytes:
    """The graph in the v1 dialect with every field that the Lean reader demands.

    Tuple values and reductions over several axes are written as the tensor nodes they stand for,
    so ids are tensor ids; kernels and consts are dense. Raises `IRPyTorchError`:
    `missing-payload` for an unused node without its payload, `not-finite` for a value that JSON
    cannot carry. torchlean.ir.v1: 1, 2.
    """
    whole = _with_default_norms(model)
    problems = Problems()
    problems.extend(_unwritable(whole))
    problems.raise_if_any()
    return document_text(whole.graph, whole.params).encode("ascii")


def exported_store(model: Model) -> TensorFile:
    """The ParamStore: every entry of its full shape, in the narrowest dtype that holds it.

    Its names are those of the graph that `exported_json` gives; it belongs to the model's own too.
    """
    return store_file(_in_v1(model), EXPORTED, packed=False, graph=graph_digest(model.graph))


def _in_v1(model: Model) -> Model:
    """The model whose legacy convolutions are those of the v1 dialect."""
    nodes = [
        structs.replace(node, op=Conv(**vars(node.op))) if type(node.op) is LegacyConv2d else node
        for node in model.graph.nodes
    ]
    return replace(model, graph=replace(model.graph, nodes=tuple(nodes)))


def _with_default_norms(model: Model) -> Model:
    """Layer norms without payload given the one they mean. torchlean.ir.v1: 6.35."""
    params = dict(model.params)
    nodes: list[Node] = []
    for node in model.graph.nodes:
        if isinstance(node.op, LayerNorm) and (node.id, "gamma") not in params:
            for slot in model.graph.slots(node):
                fill = 1.0 if slot.field == "gamma" else 0.0
                params[node.id, slot.field] = np.full(slot.shape, fill)
            eps = DEFAULT_EPS if node.op.eps is None else node.op.eps
            node = structs.replace(node, op=replace(node.op, eps=eps))
        nodes.append(node)
    return Model(replace(model.graph, nodes=tuple(nodes)), params, model.notes)


def _unwritable(model: Model) -> Iterator[Problem]:
    for node in model.graph.nodes:
        place = model.graph.place(node)
        for slot in model.graph.slots(node):
            array = model.params.get((node.id, slot.field))
            if array is None:
                if not isinstance(node.op, Const):
                    message = f"`{slot.field}` is missing, and the Lean reader wants it"
                    hint = "the node is unused; give it a payload or take it out of the graph"
                    yield Problem("missing-payload", place, message, hint, slot.field)
            elif not np.isfinite(array).all():
                message = f"`{slot.field}` holds NaN or an infinity, which JSON cannot carry"
                yield Problem("not-finite", place, message, "", slot.field)
