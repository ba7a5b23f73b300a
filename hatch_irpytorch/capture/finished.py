"""A finished graph is read back: what a door gives is what a file of it would give."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.layers.masks import note_masked_rows
from hatch_irpytorch.errors import Place, Problem
from hatch_irpytorch.ir.graph import Model
from hatch_irpytorch.ir.ops import attribute_name
from hatch_irpytorch.ir.params import StoreFile
from hatch_irpytorch.ir.read import build_model
from hatch_irpytorch.ir.stores import Entry
from hatch_irpytorch.ir.write import document_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


def checked(builder: Builder, outputs: Sequence[Value]) -> Model:
    """The model of a builder's graph, as the reader gives it, with the notes of both.

    Raises `IRPyTorchError` where the reader refuses the graph or its numbers.
    """
    note_masked_rows(builder, builder.live(outputs))
    made = builder.finish(outputs)
    entries = {}
    for node in made.graph.nodes:
        for slot in made.graph.slots(node):
            array = made.params.get((node.id, slot.field))
            if array is not None:
                name = attribute_name(node.op.prefix, node.id, slot.name)
                entries[name] = Entry(array.shape, array.dtype.name, partial(_same, array))
    text = document_text(made.graph, None).encode("ascii")
    model = build_model(text, builder.file, StoreFile(builder.file, entries))
    place = Place(builder.file)
    notes = tuple(Problem(code, place, message) for code, message in builder.notes)
    return Model(model.graph, model.params, (*notes, *model.notes))


def _same(array: Array) -> Array:
    return array
