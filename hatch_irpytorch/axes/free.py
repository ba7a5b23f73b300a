"""Which extents of a model are free under its options, or why none is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hatch_irpytorch.axes.added import with_batch
from hatch_irpytorch.axes.inference import NodeShapes, RefusedError, infer_shapes
from hatch_irpytorch.axes.repeats import without_repeats
from hatch_irpytorch.errors import IRPyTorchError, Place, fail
from hatch_irpytorch.ir.graph import Graph, Model
from hatch_irpytorch.ir.ops.base import Tile
from hatch_irpytorch.ir.shapes import shape_text
from hatch_irpytorch.ir.symbolic import (
    Product,
    Symbol,
    SymbolicShape,
    batch_axis,
)

Batch = Literal["auto", "fixed", "free", "added"]

BATCH = "N"
"""What a batch of any size is called."""


@dataclass(frozen=True)
class FreeModel:
    """A model whose values may have other extents than declared.

    Without any `shapes` is None, and `reason` says what stands against a free batch, if that was
    looked for.
    """

    model: Model
    shapes: NodeShapes | None = None
    reason: str = ""
    tiles: Mapping[int, tuple[Tile, ...]] = field(default_factory=dict)
    """By node, the parents that it repeats."""

    def shape(self, node_id: int) -> SymbolicShape:
        if self.shapes is None or self.shapes.numbers[node_id] < 0:
            return self.model.graph.nodes[node_id].shape
        return self.shapes[node_id]

    @property
    def input_shape(self) -> SymbolicShape:
        return self.shape(self.model.graph.input_id)

    @property
    def output_shapes(self) -> tuple[SymbolicShape, ...]:
        return tuple(map(self.shape, self.model.graph.output_ids))


def free_model(
    model: Model, batch: Batch, axis: int = 0, further: tuple[int, ...] = ()
) -> FreeModel:
    """The model with the batch on an axis of its input free, and `further` axes.

    With `auto` one without a free batch stays as it is; else it raises `not-free`, which names the
    node, where it comes from and what it does.
    """
    graph = model.graph
    try:
        if batch == "added":
            model = with_batch(model)
        elif model.fixed_batch and batch != "fixed" and axis == 0:
            raise fail("not-free", Place(graph.file), model.fixed_batch, _hint(batch))
        entry = _entry(model.graph, batch, axis, further)
        if entry == model.graph.input_shape:
            return FreeModel(model)
        shapes = infer_shapes(model.graph, entry)
        _require_outputs(model.graph, entry, shapes)
        once = without_repeats(model, shapes)
        return FreeModel(once.model, once.shapes, "", once.tiles)
    except RefusedError as refused:
        if batch == "auto" and not further:
            return FreeModel(model, None, _reason(refused))
        raise _not_free(graph, refused, batch) from None
    except IRPyTorchError as error:
        if batch == "auto" and not further:
            return FreeModel(model, None, error.problems[0].message)
        raise


def _entry(graph: Graph, batch: Batch, axis: int, further: tuple[int, ...]) -> SymbolicShape:
    """The shape of the input, its free extents as symbols."""
    shape = graph.input_shape
    names = {number: f"S{number}" for number in further}
    if batch != "fixed":
        names[axis] = BATCH
    for number in names:
        if number >= len(shape):
            message = f"the input {shape_text(shape)} has no axis {number}"
            raise fail("not-free", Place(graph.file), message, _hint(batch))
        if shape[number] == 0:
            message = f"the input {shape_text(shape)} is empty along axis {number}"
            raise fail("not-free", Place(graph.file), message, _hint(batch))
    return tuple(
        Product((Symbol(names[number], extent, names[number] == BATCH),))
        if number in names
        else extent
        for number, extent in enumerate(shape)
    )


def _require_outputs(graph: Graph, entry: SymbolicShape, shapes: NodeShapes) -> None:
    """Raise where an output has no batch, since it does not depend on the input."""
    if batch_axis(entry) is None:
        return
    for output in graph.output_ids:
        if batch_axis(shapes[output]) is None:
            raise RefusedError(graph.nodes[output], "does not depend on the input")


def _reason(refused: RefusedError) -> str:
    return f"v{refused.node.id} {refused.reason}"


def _not_free(graph: Graph, refused: RefusedError, batch: Batch) -> IRPyTorchError:
    node = graph.nodes[refused.node.id]
    origin = f" (from `{node.origin}`)" if node.origin else ""
    message = f"{refused.reason}{origin}, so the batch cannot be free"
    return fail("not-free", graph.place(node), message, _hint(batch))


def _hint(batch: Batch) -> str:
    if batch == "added":
        return "use `batch: fixed` and `torch.func.vmap` at run time"
    return (
        "use `batch: auto` or `fixed`, `batch_axis` for a batch elsewhere, or `batch: added` "
        "where the graph is of one sample"
    )
