"""Consts looked at together are what they are one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatch_irpytorch.emit import consts
from hatch_irpytorch.emit.consts import read_const, read_consts
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import Const

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
