"""`torch.cond` and `while_loop` with a predicate that capture knows: the branch, the trips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from hatch_irpytorch.capture.builder import InexpressibleError

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
    """The results of the branch that a known predicate takes."""
    return inline(true_graph if _known(predicate) else false_graph, operands, True)


def unrolled_loop(
    inline: Inline,
    condition: fx.GraphModule,
    body: fx.GraphModule,
    carried: Sequence[Any],
    others: Sequence[Any] = (),
) -> Sequence[Any]:
    """What a loop carries after its last trip, where each condition is known."""
    left = MAX_UNROLLED
    while _known(inline(condition, (*carried, *others), False)):
        left -= len(body.graph.nodes) + len(condition.graph.nodes)
        if left < 0:
            raise InexpressibleError(f"a loop of more than {MAX_UNROLLED} nodes when unrolled")
        carried = inline(body, (*carried, *others), False)
    return carried


def _known(predicate: Any) -> bool:
    if isinstance(predicate, list | tuple):
        (predicate,) = predicate
    if not isinstance(predicate, bool | torch.Tensor):
        raise InexpressibleError("its predicate depends on the input or on a parameter")
    return bool(predicate)


SUBGRAPH_OPS: dict[Any, Callable[..., Sequence[Any]]] = {
    torch.ops.higher_order.cond: chosen_branch,
    torch.ops.higher_order.while_loop: unrolled_loop,
}
"""Every op with subgraphs that has a form, by its target."""
