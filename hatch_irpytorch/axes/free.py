"""Which extents of a model are free under its options, or why none is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from hatch_irpytorch.axes.added import with_batch
from hatch_irpytorch.axes.inference import NodeShapes, RefusedError, infer_shapes
from hatch_irpytorch.axes.repeats import without_repeats
from hatch_irpytorch.errors import IRPyTorchError, Place, fail
from hatch_irpytorch.ir.graph import Graph, Model
from hatch_irpytorch.ir.ops.base import Tile
from hatch_irpytorch.ir.symbolic import Product, Symbol, SymbolicShape, batch_axis

Batch = Literal["auto", "fixed", "free", "added"]

BATCH = "N"
"""What a batch of any size is called."""

_MIXES_ROWS = "the captured module gives other rows in a larger batch"


@dataclass(frozen=True)
class FreeModel:
    """A model whose values may have other extents than declared.

    Without any `shapes` is None, and `reason` says what stands against a free batch, if that was
    looked for.
    """

    model: Model
    shapes: NodeShapes | None = None
    tiles: Mapping[int, tuple[Tile, ...]] = field(default_factory=dict)
    """By node, the parents that it repeats."""
    reason: str = ""

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

    With `auto` a batch that cannot be free stays as declared. Else, and for further axes, what
    cannot be free raises `not-free`, which names the node, where it comes from and what it does.
    """
    reason = ""
    if batch == "auto":
        if model.mixes_rows and axis == 0:
            reason = _MIXES_ROWS
        else:
            try:
                return _free(model, "free", axis, further)
            except RefusedError as refused:
                reason = f"v{refused.node.id} {refused.reason}"
        batch = "fixed"
    elif batch == "free" and model.mixes_rows and axis == 0:
        raise fail("not-free", Place(model.graph.file), _MIXES_ROWS, _hint(batch))
    try:
        return replace(_free(model, batch, axis, further), reason=reason)
    except RefusedError as refused:
        raise _not_free(model.graph, refused, batch) from None


def _free(model: Model, batch: Batch, axis: int, further: tuple[int, ...]) -> FreeModel:
    """The model with its free extents. Raises `RefusedError`."""
    if batch == "added":
        model = with_batch(model)
    names = {number: f"S{number}" for number in further}
    if batch != "fixed":
        names[axis] = BATCH
    if not names:
        return FreeModel(model)
    graph = model.graph
    entry = _entry(graph, names)
    shapes = infer_shapes(graph, entry)
    for output in graph.output_ids:
        if batch_axis(entry) is not None and batch_axis(shapes[output]) is None:
            raise RefusedError(graph.nodes[output], "does not depend on the input")
    once = without_repeats(model, shapes)
    return FreeModel(once.model, once.shapes, once.tiles)


def _entry(graph: Graph, names: Mapping[int, str]) -> SymbolicShape:
    """The shape of the input, with symbols of these names on some axes."""
    node = graph.nodes[graph.input_id]
    for axis in names:
        if axis >= len(node.shape):
            raise RefusedError(node, f"has no axis {axis}")
        if node.shape[axis] == 0:
            raise RefusedError(node, f"is empty along axis {axis}")
    return tuple(
        Product((Symbol(names[axis], extent, names[axis] == BATCH),)) if axis in names else extent
        for axis, extent in enumerate(node.shape)
    )


def _not_free(graph: Graph, refused: RefusedError, batch: Batch) -> IRPyTorchError:
    node = graph.nodes[refused.node.id]
    origin = f" (from `{node.origin}`)" if node.origin else ""
    what = "the axes of `free`" if batch == "fixed" else "the batch"
    message = f"{refused.reason}{origin}, so {what} cannot be free"
    return fail("not-free", graph.place(node), message, _hint(batch))


def _hint(batch: Batch) -> str:
    if batch == "fixed":
        return "leave out what the graph needs to know"
    if batch == "added":
        return "use `batch: fixed` and `torch.func.vmap` at run time"
    return (
        "use `batch: auto` or `fixed`, `batch_axis` for a batch elsewhere, or `batch: added` "
        "where the graph is of one sample"
    )
