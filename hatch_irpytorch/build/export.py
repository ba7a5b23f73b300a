"""A model as files for the Lean side: a graph with its payload inside, or a ParamStore."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hatch_irpytorch.build.model import input_path, load_model
from hatch_irpytorch.emit.marks import EXPORTED
from hatch_irpytorch.emit.weights import store_bytes
from hatch_irpytorch.errors import Problem, Problems
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import Const, LayerNorm
from hatch_irpytorch.ir.ops.normalization import DEFAULT_EPS
from hatch_irpytorch.ir.read import read_model
from hatch_irpytorch.ir.wire import document_text

if TYPE_CHECKING:
    from hatch_irpytorch.manifest import Manifest
    from hatch_irpytorch.project import Project

JSON_ENDING = ".json"
STORE_ENDING = ".safetensors"


def load_trained(project: Project, manifest: Manifest, state: Path | None) -> Model:
    """The checked model of a manifest, with its own parameters or those of a state dict.

    A state dict has the attribute names of the generated module. Raises `IRPyTorchError`.
    """
    if state is None:
        return load_model(project, manifest)[0]
    graph, name = input_path(project, manifest, manifest.ir, manifest.ir_place)
    return read_model(graph, state, graph_name=name)


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


def exported_store(model: Model) -> bytes:
    """The ParamStore: every entry of its full shape, in the narrowest dtype that holds it."""
    return store_bytes(model, EXPORTED, packed=False)


def unreadable_notes(graph: Graph) -> tuple[Problem, ...]:
    """Nodes whose JSON form is an extension of this project. torchlean.ir.v1: 2.6."""
    message = "TorchLean's own reader has no JSON form of `hard_masked_softmax` and refuses it"
    return tuple(
        Problem("unsupported", graph.place(node), message)
        for node in graph.nodes
        if node.op.tag == "hard_masked_softmax"
    )


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
            node = node._replace(op=replace(node.op, eps=eps))
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
