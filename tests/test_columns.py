"""Nodes looked at field by field are what they are one by one; so are graphs of plain nodes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import RandomGraph, random_graphs

from hatch_irpytorch.errors import Problems
from hatch_irpytorch.ir.columns import read_columns
from hatch_irpytorch.ir.lower import _Lowering
from hatch_irpytorch.ir.plain import lower_plain
from hatch_irpytorch.ir.wire import RawNode, _read_node, read_document
from hatch_irpytorch.source.json_text import parse_json

EXTENTS = (2**63 - 1, 2**63, 2**80, -1, 1.0, True, "0", None, [0])
LISTS = ([], [1] * 32, [1] * 33, *([value] for value in EXTENTS))
ODD = st.sampled_from([0, 1, "x", {}, *EXTENTS, *LISTS])


@st.composite
def items(draw: st.DrawFn) -> list[Any]:
    nodes: list[Any] = []
    for position in range(draw(st.integers(1, 4))):
        parents = draw(st.lists(st.integers(0, max(0, position - 1)), max_size=2 * position))
        node: dict[str, Any] = {"id": position, "kind": "relu", "parents": parents, "shape": [2]}
        if draw(st.booleans()):
            node["value_kind"] = "tensor"
        nodes.append(node)
    if draw(st.booleans()):
        node = draw(st.sampled_from(nodes))
        field = draw(st.sampled_from(["id", "kind", "parents", "shape", "value_kind"]))
        if draw(st.booleans()):
            node[field] = draw(ODD)
        else:
            node.pop(field, None)
    if draw(st.integers(0, 9)) == 0:
        nodes[-1] = draw(ODD)
    return nodes


@settings(max_examples=500)
@given(items())
def test_columns_are_the_nodes_that_have_no_problem(nodes: list[Any]) -> None:
    problems = Problems()
    told = [_read_node(node, i, "graph.json", problems) for i, node in enumerate(nodes)]
    cut = len(nodes) // 2
    columns = read_columns([part for part in (nodes[:cut], nodes[cut:]) if part])
    if len(problems) or any(raw.is_tuple for raw in told):
        assert columns is None
        return
    assert columns is not None
    rows = enumerate(zip(*columns, strict=True))
    # Of a node without anything else the object is not kept.
    bare = [raw._replace(fields={}) if len(raw.fields) == 4 else raw for raw in told]
    assert bare == [RawNode(i, kind, up, size, None, node) for i, (kind, up, size, node) in rows]


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_plain_graphs_are_what_they_are_node_by_node(case: RandomGraph) -> None:
    data = json.dumps(case.document).encode()
    document = read_document(parse_json(data, "g", long_arrays=True), "g", Problems())
    assert document is not None
    plain, full = lower_plain(document), _Lowering(document, Problems()).run()
    kinds = {node["kind"] for node in case.document["nodes"]}
    if not kinds & {"reduce_sum", "reduce_mean", "multihead_attention", "tuple_getitem"}:
        assert plain is not None
        assert plain.graph == full.graph
        assert plain.inline == full.inline
