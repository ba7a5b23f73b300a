"""What TorchLean's own reader makes of an exported graph: what it refuses, what it passes over."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hatch_irpytorch.errors import Place, Problem
from hatch_irpytorch.ir.graph import Model, Node, node_list
from hatch_irpytorch.ir.ops import Const, Input
from hatch_irpytorch.ir.ops.learned import LearnedArrays

REFUSED = "hard_masked_softmax"


def upstream_notes(model: Model) -> tuple[Problem, ...]:
    """Notes on every node or field that is an extension of this project. torchlean.ir.v1: 2.6, 7.9.

    Nodes that are refused are told one by one, what is passed over field by field.
    """
    return (*_refused(model), *_passed_over(model))


def _refused(model: Model) -> Iterator[Problem]:
    message = f"TorchLean's own reader has no JSON form of `{REFUSED}` and refuses it"
    for node in model.graph.nodes:
        if node.op.tag == REFUSED:
            yield Problem("unsupported", model.graph.place(node), message)


def _passed_over(model: Model) -> Iterator[Problem]:
    nodes = model.graph.nodes
    found = {
        "`learnable`": [node.id for node in nodes if _says_what_is_learned(node)],
        "`state_keys`": [node.id for node in nodes if node.keys],
        "`integers`": [
            node.id for node in nodes if isinstance(node.op, Input) and node.op.integers is not None
        ],
        "the sign of -0.0": sorted({key[0] for key, a in model.params.items() if _signs_zero(a)}),
    }
    for what, ids in found.items():
        if ids:
            message = f"TorchLean's own reader passes over {what} ({node_list(ids)})"
            yield Problem("unsupported", Place(model.graph.file), message)


def _says_what_is_learned(node: Node) -> bool:
    said = getattr(node.op, "learnable", None)
    if isinstance(said, LearnedArrays):
        return bool(said.frozen())
    return isinstance(node.op, Const) and said is not None


def _signs_zero(array: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> bool:
    return bool((np.signbit(array) & (array == 0.0)).any())
