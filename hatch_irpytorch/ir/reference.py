"""What a graph means, in NumPy float64: the numbers a generated module has to reproduce."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hatch_irpytorch.errors import Place, fail
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import DomainError, Input
from hatch_irpytorch.ir.ops.sources import RandUniform
from hatch_irpytorch.ir.shapes import numel, shape_text

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Reals = NDArray[np.floating[Any]]

MAX_ENTRIES = 2**31


def as_float64(array: Reals) -> Reals:
    """The same numbers in float64."""
    return np.asarray(array, dtype=np.float64)


class Numbers(NamedTuple):
    """The numbers that a graph is evaluated with: each of these gives an array the values, and the
    dtype, that it has there.

    `stored` is for payload, `drawn` for random draws, `computed` for the input and every node.
    """

    stored: Callable[[Reals], Reals] = as_float64
    drawn: Callable[[Reals], Reals] = as_float64
    computed: Callable[[Reals], Reals] = as_float64


EXACT = Numbers()


def evaluate(model: Model, x: ArrayLike, numbers: Numbers = EXACT) -> tuple[Array, ...]:
    """The outputs of the graph for one input of its declared shape, in output order.

    Nodes that no output depends on are not evaluated. Outputs are float64, whatever the `numbers`
    are that the graph is evaluated with.
    Raises `IRPyTorchError`: `shape-mismatch` for another input shape, `domain` where a node is
    undefined (torchlean.ir.v1: N3) or an input of whole numbers holds others, `too-large` for a
    tensor that no memory holds.
    """
    graph = model.graph
    value = np.asarray(x, dtype=np.float64)
    _require_input(graph, value)
    live = graph.live_ids()
    values: dict[int, Reals] = {}
    with np.errstate(all="ignore"):
        entry = numbers.computed(value)
        for node in graph.nodes:
            if node.id in live:
                values[node.id] = _evaluate_node(model, node, values, entry, numbers)
    return tuple(np.asarray(values[output], np.float64) for output in graph.output_ids)


def _require_input(graph: Graph, value: Array) -> None:
    if value.shape != graph.input_shape:
        expected, found = shape_text(graph.input_shape), shape_text(value.shape)
        message = f"the input must be {expected}, found {found}"
        raise fail("shape-mismatch", Place(graph.file), message)
    below = graph.integers
    if (
        below is not None
        and not ((value >= 0) & (value < below) & (value == np.floor(value))).all()
    ):
        message = f"the input must hold whole numbers from 0 to {below - 1}"
        raise fail("domain", Place(graph.file), message)


def _evaluate_node(
    model: Model, node: Node, values: dict[int, Reals], x: Reals, numbers: Numbers
) -> Reals:
    graph = model.graph
    if isinstance(node.op, Input):
        return x
    if numel(node.shape) > MAX_ENTRIES:
        message = f"a tensor of {shape_text(node.shape)} has more than {MAX_ENTRIES} entries"
        raise fail("too-large", graph.place(node), message)
    slots = graph.slots(node)
    keys = [(node.id, slot.field) for slot in slots]
    payload = {key[1]: numbers.stored(model.params[key]) for key in keys if key in model.params}
    try:
        result = node.op.reference(*(values[parent] for parent in node.parents), **payload)
    except DomainError as error:
        message = (
            f"the entry at {error.index} is {error.value}, the op is defined for {node.op.domain}"
        )
        raise fail("domain", graph.place(node), message) from None
    if node.op.gives_positive_zero:
        result = result + 0.0
    return numbers.computed(numbers.drawn(result) if isinstance(node.op, RandUniform) else result)
