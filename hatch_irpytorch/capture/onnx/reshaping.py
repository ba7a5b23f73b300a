"""Whether a file that fixes its batch can be given another: reshapes must let it through."""

from __future__ import annotations

import onnx

from hatch_irpytorch.capture.onnx.validity import Types
from hatch_irpytorch.errors import Place, Problem, shown
from hatch_irpytorch.ir.shapes import Shape, shape_text


def fixed_reshapes(
    graph: onnx.GraphProto, batches: tuple[int, int], before: Types, after: Types, place: Place
) -> list[Problem]:
    """The reshapes that would put rows of a new batch into another axis than the first.

    `batches` are the declared extent and the new one; shapes are known for both.
    """
    found = []
    for position, node in enumerate(graph.node):
        name = next(iter(node.output), "")
        if node.op_type != "Reshape" or node.domain not in ("", "ai.onnx"):
            continue
        old, new = before.get(name, (0, None))[1], after.get(name, (0, None))[1]
        if old and new and not _keeps_rows(old, new, batches):
            where = Place(place.file, node=position, kind=node.op_type)
            what = f"{shown(node.name or name)}: `Reshape` makes {shape_text(new)} where "
            what += f"it made {shape_text(old)}: its shape is fixed for a batch of {batches[0]}"
            found.append(Problem("capture-failed", where, what))
    return found


def _keeps_rows(old: Shape, new: Shape, batches: tuple[int, int]) -> bool:
    return old == new or new[0] * batches[0] == old[0] * batches[1]
