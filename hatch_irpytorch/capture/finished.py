"""A finished graph is checked as one from a file would be."""

from __future__ import annotations

from collections.abc import Sequence

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.errors import Place, Problem, Problems
from hatch_irpytorch.ir.check import check_graph
from hatch_irpytorch.ir.graph import Model


def checked(builder: Builder, outputs: Sequence[Value]) -> Model:
    """The model of a builder's graph, with its notes. Raises `IRPyTorchError`."""
    model = builder.finish(outputs)
    problems = Problems()
    check_graph(model.graph, problems)
    problems.raise_if_any()
    place = Place(builder.file)
    notes = tuple(Problem(code, place, message) for code, message in builder.notes)
    return Model(model.graph, model.params, notes)
