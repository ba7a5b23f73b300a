"""What the command and the build do for a graph, without torch."""

from __future__ import annotations

from hatch_irpytorch import EmitOptions, emit_module
from hatch_irpytorch.garbage import collection_paused
from hatch_irpytorch.ir.read import build_model


def source_of(data: bytes) -> str:
    """The module of a graph, made with the collector off, as the command and the build make it."""
    with collection_paused():
        model = build_model(data, "graph")
        return emit_module(model, EmitOptions(inline_limit=10**9)).source
