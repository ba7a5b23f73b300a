"""Nodes looked at field by field are what they are one by one; so are graphs of plain nodes."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import RandomGraph, random_graphs

from hatch_irpytorch.errors import Place, Problems
from hatch_irpytorch.ir.attributes import tensor
from hatch_irpytorch.ir.columns import read_columns
from hatch_irpytorch.ir.decoded import DecodedOps
from hatch_irpytorch.ir.graph import FieldArrays, Graph, Node, arrays_by_field
from hatch_irpytorch.ir.lower import lower
from hatch_irpytorch.ir.ops import BY_TAG, Input
from hatch_irpytorch.ir.packing import ABSENT
from hatch_irpytorch.ir.structure import Structure
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
    assert told == [RawNode(i, kind, up, size, None, node) for i, (kind, up, size, node) in rows]


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_plain_graphs_are_what_they_are_node_by_node(case: RandomGraph) -> None:
    value = parse_json(json.dumps(case.document).encode(), "g", long_arrays=True)
    assert isinstance(value, dict)
    document = read_document(value, "g", Problems())
    assert document is not None
    kinds = {node["kind"] for node in case.document["nodes"]}
    if kinds & {"reduce_sum", "reduce_mean", "multihead_attention", "tuple_getitem"}:
        assert document.plain is None
        return
    plain = lower(document, Problems())
    by_columns = replace(document, plain=None, columns=read_columns([value["nodes"]]))
    full = lower(by_columns, Problems())
    assert plain.packed is not None and full.packed is None
    assert plain.graph == full.graph
    assert plain.graph.signatures == full.graph.signatures
    assert plain.graph.signature_nodes == full.graph.signature_nodes
    for noted, found in zip(plain.graph.uses, full.graph.uses, strict=True):
        np.testing.assert_array_equal(noted, found)
    for node in plain.graph.nodes:
        for slot in plain.graph.slots(node):
            values = [lowered.value(node.id, slot.field) for lowered in (plain, full)]
            if values[1] is ABSENT:
                assert values[0] is values[1]
            else:
                flat = node.op.tag == "const"
                packed, told = (tensor(value, slot.shape, flat) for value in values)
                assert packed.tobytes() == told.tobytes()


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["weight", "bias", "values"]))))
def test_arrays_by_field_are_those_by_node_and_field(keys: list[tuple[int, str]]) -> None:
    params = {key: np.full(2, float(place)) for place, key in enumerate(keys)}
    kept = FieldArrays()
    for (node_id, field), array in params.items():
        kept.by_field[field][node_id] = array
    assert dict(kept) == params and len(kept) == len(params)
    assert arrays_by_field(params) == kept.by_field
    for key in product(range(10), ["weight", "gamma"]):
        assert kept.get(key) is params.get(key)
        assert (key in kept) == (key in params)
    assert set(kept.by_field) == {field for _, field in params}


def test_a_graph_with_other_nodes_has_a_structure_of_its_own() -> None:
    """What was noted of a graph is not true of one with other nodes."""
    relu, exp = BY_TAG["relu"](), BY_TAG["exp"]()
    first = Node(0, Input((2,)), (), (2,), 0, "input")
    chain = (first, Node(1, relu, (0,), (2,), 1, "relu"), Node(2, relu, (1,), (2,), 2, "relu"))
    structure = Structure()
    structure.add(chain)
    graph = Graph.noted(chain, 0, (2,), "g", structure)
    assert graph.signatures == (0, 1, 1)
    other = replace(graph, nodes=(*chain[:2], Node(2, exp, (0,), (2,), 2, "exp")))
    assert other.signatures == (0, 1, 2)
    assert [ids.tolist() for ids in other.uses] == [[1, 2], [0, 0]]


def test_nodes_of_other_shapes_share_an_op_where_the_shape_is_no_part_of_it() -> None:
    place, problems = Place("g"), Problems()
    known = DecodedOps()
    joined = known.decode("concat", (2, 3), {"axis": 1}, 1, place, problems)
    assert joined is not None and joined is known.like("concat", (2, 4), {"axis": 1})
    assert known.like("concat", (2, 3), {"axis": 0}) is None
    entered = known.decode("input", (2, 3), {}, 0, place, problems)
    assert entered == Input((2, 3)) and entered is known.like("input", (2, 3), {})
    assert known.like("input", (2, 4), {}) is None
    assert not len(problems)
