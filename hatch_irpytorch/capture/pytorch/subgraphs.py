"""Branches and loops of torch with a predicate or a number of trips that capture knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from hatch_irpytorch.capture.builder import InexpressibleError
from hatch_irpytorch.capture.pytorch.tensors import Complex, Parameter

MAX_UNROLLED = 1 << 14
"""No loop is unrolled to more nodes of its body than this."""

Inline = Callable[[fx.GraphModule, Sequence[Any], bool], Sequence[Any]]
"""Converts the nodes of a subgraph for operands, and gives its results.

The flag says that it is converted once, so its uses of a parameter are all that the op makes."""


def chosen_branch(
    inline: Inline,
    predicate: Any,
    true_graph: fx.GraphModule,
    false_graph: fx.GraphModule,
    operands: Sequence[Any] = (),
) -> Sequence[Any]:
    """The results of the branch that a known predicate takes.

    Behind another predicate both are looked at, so that what has no form in them is told at once.
    """
    if not _is_known(predicate):
        for graph in (true_graph, false_graph):
            inline(graph, operands, True)
    return inline(true_graph if _known(predicate) else false_graph, operands, True)


def unrolled_loop(
    inline: Inline,
    condition: fx.GraphModule,
    body: fx.GraphModule,
    carried: Sequence[Any],
    others: Sequence[Any] = (),
) -> Sequence[Any]:
    """What a loop carries after its last trip, where each condition is known."""
    trips = 0
    while _known(inline(condition, (*carried, *others), False)):
        trips += 1
        _require_trips(trips, body, condition)
        carried = inline(body, (*carried, *others), False)
    return carried


def unrolled_scan(
    inline: Inline,
    body: fx.GraphModule,
    carried: Sequence[Any],
    scanned: Sequence[Any],
    others: Sequence[Any] = (),
) -> Sequence[Any]:
    """What a scan carries after its last trip, then what each trip gives, side by side.

    A trip takes one position of the first axis of all that is scanned.
    """
    trips = _extent(scanned[0])
    if not trips:
        raise InexpressibleError("a scan of an empty axis")
    _require_trips(trips, body)
    given = []
    for trip in range(trips):
        parts = [part for tensor in scanned for part in inline(_AT, (tensor, trip), False)]
        found = inline(body, (*carried, *parts, *others), False)
        carried = found[: len(carried)]
        given.append(found[len(carried) :])
    columns = zip(*given, strict=True)
    stacked = [made for column in columns for made in inline(_STACKED, (column,), False)]
    return [*carried, *stacked]


def unrolled_map(
    inline: Inline, body: fx.GraphModule, scanned: Sequence[Any], others: Sequence[Any] = ()
) -> Sequence[Any]:
    """What a function gives for each position of the first axis, side by side."""
    return unrolled_scan(inline, body, (), scanned, others)


_AT = fx.symbolic_trace(lambda x, index: (torch.ops.aten.select.int(x, 0, index),))
_STACKED = fx.symbolic_trace(lambda column: (torch.ops.aten.stack.default(column),))


def _extent(scanned: Any) -> int:
    """How many positions the first axis has."""
    tensor = scanned.tensor if isinstance(scanned, Parameter) else scanned
    tensor = tensor.real if isinstance(tensor, Complex) else tensor
    return int(tensor.shape[0])


def _require_trips(trips: int, *graphs: fx.GraphModule) -> None:
    if trips * sum(len(graph.graph.nodes) for graph in graphs) > MAX_UNROLLED:
        raise InexpressibleError(f"a loop of more than {MAX_UNROLLED} nodes when unrolled")


def _is_known(predicate: Any) -> bool:
    return isinstance(predicate, bool | torch.Tensor)


def _known(predicate: Any) -> bool:
    if isinstance(predicate, list | tuple):
        (predicate,) = predicate
    if not _is_known(predicate):
        raise InexpressibleError("its predicate depends on the input or on a parameter")
    return bool(predicate)


SUBGRAPH_OPS: dict[Any, Callable[..., Sequence[Any]]] = {
    torch.ops.higher_order.cond: chosen_branch,
    torch.ops.higher_order.map_impl: unrolled_map,
    torch.ops.higher_order.scan: unrolled_scan,
    torch.ops.higher_order.while_loop: unrolled_loop,
}
"""Every op with subgraphs that has a form, by its target."""
