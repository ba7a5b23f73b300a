"""Parameters that `forward` keeps from gradients: those it uses under `no_grad`, or detached."""

from __future__ import annotations

from typing import Any

from torch import fx

_NO_GRAD = "wrap_with_set_grad_enabled"


def kept_from_gradients(exported: Any) -> frozenset[str]:
    """The parameters that no gradient reaches, by name, before the program is decomposed."""
    targets = exported.graph_signature.inputs_to_parameters
    return frozenset(
        targets[node.name]
        for node in exported.graph.nodes
        if node.name in targets and node.users and all(map(_stops, node.users))
    )


def _stops(user: fx.Node) -> bool:
    name = getattr(user.target, "__name__", "")
    return name.startswith("detach") or (name == _NO_GRAD and user.args[0] is False)
