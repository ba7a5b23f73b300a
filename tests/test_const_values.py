"""Consts looked at together are what they are one by one: their values, and what they scale."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatch_irpytorch.emit import consts
from hatch_irpytorch.emit.consts import layer_norm_affine, read_const, read_consts
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import BY_TAG, Const, Input, LayerNorm
from hatch_irpytorch.ir.ops.elementwise import Add, MulElem

SHAPES = ((), (1,), (3,), (2, 2), (1, 3), (3, 1), (2, 1, 2), (0,), (0, 2))
ENTRIES = st.sampled_from([0.0, -0.0, 1.0, 1.0, 1.0, 2.0, float("nan"), float("inf")])
DTYPES = st.sampled_from([np.float64, np.float32, np.float16])


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    shape = draw(st.sampled_from(SHAPES))
    size = int(np.prod(shape))
    kind = draw(st.sampled_from(["any", "filled", "rows", "broadcast"]))
    if kind == "broadcast":
        return np.broadcast_to(np.array(draw(ENTRIES)), shape)
    count = {"any": size, "filled": 1, "rows": shape[-1] if shape else 1}[kind]
    values = draw(st.lists(ENTRIES, min_size=count, max_size=count))
    repeated = np.resize(np.array(values, dtype=draw(DTYPES)), size)
    return repeated.reshape(shape)


@settings(max_examples=500)
@given(st.lists(arrays(), min_size=1, max_size=8), st.sampled_from([4, 8, 2**16]))
def test_consts_of_one_shape_are_looked_at_as_one(
    held: list[np.ndarray[Any, Any]], together: int
) -> None:
    nodes = tuple(Node(i, Const(a.shape), (), a.shape, i, "const") for i, a in enumerate(held))
    model = Model(Graph(nodes, 0, (0,)), {(i, "values"): a for i, a in enumerate(held)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consts, "_TOGETHER", together)
        found = read_consts(model, nodes)
    assert sorted((i, *value[1:]) for i, value in found.items()) == [
        (i, *read_const(array)[1:]) for i, array in enumerate(held)
    ]


X = (2, 3)
OPS = {
    "const": Const(X),
    "layernorm": LayerNorm(1),
    "mul_elem": MulElem(),
    "add": Add(),
    "relu": BY_TAG["relu"](),
}


@st.composite
def norms(draw: st.DrawFn) -> tuple[Node, ...]:
    """Nodes among which many scale and shift layer norms."""
    nodes = [Node(0, Input(X), (), X, 0, "input")]
    for i in range(1, draw(st.integers(2, 12))):
        kind = draw(st.sampled_from(list(OPS)))
        arity = {"const": 0, "mul_elem": 2, "add": 2}.get(kind, 1)
        parents = tuple(draw(st.integers(0, i - 1)) for _ in range(arity))
        nodes.append(Node(i, OPS[kind], parents, X, i, kind))
    return tuple(nodes)


def affine_one_by_one(nodes: Sequence[Node], live: Collection[int]) -> set[int]:
    """The rule of torchlean.ir.v1: 5.3, node by node."""
    tags = [node.op.tag for node in nodes]
    scaled, found = set(), set()
    for node in nodes:
        if node.id not in live or node.op.tag not in ("mul_elem", "add"):
            continue
        held = [parent for parent in node.parents if tags[parent] == "const"]
        if node.op.tag == "mul_elem" and "layernorm" in [tags[parent] for parent in node.parents]:
            found.update(held)
            if held:
                scaled.add(node.id)
        elif node.op.tag == "add" and scaled & set(node.parents):
            found.update(held)
    return found


@settings(max_examples=500)
@given(norms(), st.data())
def test_affine_consts_are_found_by_columns(nodes: tuple[Node, ...], data: st.DataObject) -> None:
    outputs = data.draw(st.lists(st.integers(0, len(nodes) - 1), min_size=1, max_size=2))
    graph = Graph(nodes, 0, tuple(outputs))
    live = graph.live_ids()
    found = layer_norm_affine(graph, [node for node in nodes if node.id in live])
    assert found == affine_one_by_one(nodes, live)
