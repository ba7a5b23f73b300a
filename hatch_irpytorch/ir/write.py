"""A graph as a `torchlean.ir.v1` document. torchlean.ir.v1: 1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields

from hatch_irpytorch.ir.document import FORMAT
from hatch_irpytorch.ir.graph import Graph, Node, ParamStore
from hatch_irpytorch.ir.ops import Mask
from hatch_irpytorch.ir.ops.convolution import Conv, unpack_kernel
from hatch_irpytorch.ir.ops.learned import LearnedArrays


def write_document(graph: Graph, params: ParamStore | None = None) -> dict[str, object]:
    """A v1 document of the lowered graph, with the payload of `params` inside when given.

    Every tensor node becomes one raw node, so that ids stay; a one-axis reduction is written
    with `axes` and without `keepdim`.
    """
    return {**_head(graph), "nodes": [_write_node(graph, node, params) for node in graph.nodes]}


def _head(graph: Graph) -> dict[str, object]:
    return {
        "format": FORMAT,
        "input_id": graph.input_id,
        "output_ids": list(graph.output_ids),
    }


def document_text(
    graph: Graph,
    params: ParamStore | None,
    extra: Mapping[str, str] | None = None,
) -> str:
    """`write_document` as JSON text, one node a line; `extra` are more fields of the root."""
    written = (_write_node(graph, node, params) for node in graph.nodes)
    lines = ",\n".join(f"    {json.dumps(node, allow_nan=False)}" for node in written)
    head = json.dumps(_head(graph) | dict(extra or {}))
    return f'{head[:-1]}, "nodes": [\n{lines}\n]}}\n'


def _write_node(graph: Graph, node: Node, params: ParamStore | None) -> dict[str, object]:
    op = node.op
    slots = graph.slots(node)
    written: dict[str, object] = {
        "id": node.id,
        "kind": op.tag,
        "parents": list(node.parents),
        "value_kind": "tensor",
        "shape": list(node.shape),
    }
    if node.origin:
        written["debug_target"] = node.origin
    if node.keys:
        written["state_keys"] = dict(node.keys)
    for field in fields(op):  # type: ignore[arg-type]
        value = getattr(op, field.name)
        left_out = field.default is not MISSING and value == field.default
        repeated = params is not None and field.name in op.repeated_fields
        if field.name not in op.from_node and not left_out and not repeated:
            written[field.name] = _json_value(value)
    if op.tag in ("reduce_sum", "reduce_mean"):
        written |= {"axes": [written.pop("axis")], "keepdim": False}
    for slot in slots:
        array = None if params is None else params.get((node.id, slot.field))
        if array is not None:
            if slot.packed is not None:
                assert isinstance(op, Conv)
                array = unpack_kernel(array, op.groups)
            flat = op.tag == "const"
            written[slot.field] = (array.reshape(-1) if flat else array).tolist()
    if params is not None:
        written |= _repeated_fields(graph, node)
    return written


def _repeated_fields(graph: Graph, node: Node) -> dict[str, object]:
    """What upstream's payload reader wants although shapes say it already."""
    if node.op.tag == "linear":
        return {"out_dim": node.shape[-1], "in_dim": graph.parent_shapes(node)[0][-1]}
    if node.op.tag == "conv":
        assert isinstance(node.op, Conv)
        extents = graph.parent_shapes(node)[0]
        return {"input_spatial": list(extents[node.op.channel_axis + 1 :])}
    return {}


def _json_value(value: object) -> object:
    if isinstance(value, LearnedArrays):
        return value.frozen()
    if isinstance(value, Mask):
        return {"shape": list(value.shape), "allowed": list(value.allowed)}
    return list(value) if isinstance(value, tuple) else value
