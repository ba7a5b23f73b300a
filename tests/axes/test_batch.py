"""Where the batch is free: what is written then."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from batch_documents import forward, reason, reshape
from documents import POOL, const, document, module, op, read, source
from hypothesis import given, settings
from hypothesis import strategies as st
from stacked_runs import assert_any_batch

from hatch_irpytorch import EmitOptions, emit_module
from hatch_irpytorch.axes.free import free_model


def test_a_free_batch_is_written_as_n() -> None:
    value = document(
        [1, 4, 6],
        reshape(0, [1, 4, 6], [1, 24]),
        reshape(1, [1, 24], [4, 6]),
        op("softmax", [2], [4, 6], axis=1),
        reshape(3, [4, 6], [1, 2, 12]),
    )
    assert forward(value) == [
        "v0 = x  # (N, 4, 6)",
        "v1 = v0.reshape(-1, 24)  # (N, 24)",
        "v2 = v1.reshape(-1, 6)  # (4 * N, 6)",
        "v3 = torch.softmax(v2, dim=1)  # (4 * N, 6)",
        "v4 = v3.reshape(-1, 2, 12)  # (N, 2, 12)",
    ]
    assert '"""ExportedIRModel: (N, 4, 6) -> (N, 2, 12); 5 nodes, 0 parameters."""' in source(value)
    assert_any_batch(read(value), {})


def test_a_later_node_decides_where_a_reshape_carries_one_sample() -> None:
    """As in attention over (sequence, batch, features): the heads are joined with the batch."""
    value = document(
        [3, 1, 8],
        reshape(0, [3, 1, 8], [3, 2, 4]),
        op("transpose", [1], [2, 3, 4], axis1=0, axis2=1),
        op("transpose", [2], [2, 4, 3], axis1=1, axis2=2),
        op("matmul", [2, 3], [2, 3, 3]),
        op("softmax", [4], [2, 3, 3], axis=2),
        op("matmul", [5, 2], [2, 3, 4]),
        op("transpose", [6], [3, 2, 4], axis1=0, axis2=1),
        reshape(7, [3, 2, 4], [3, 1, 8]),
    )
    assert forward(value, batch="free", batch_axis=1)[1] == (
        "v1 = v0.reshape(3, -1, 4)  # (3, 2 * N, 4)"
    )
    assert_any_batch(read(value), {"batch": "free", "batch_axis": 1})
    assert reason(value) == "v4 joins values whose batch lies along different axes"


def test_an_extent_of_zero_leaves_minus_one_no_meaning() -> None:
    value = document([2, 0, 3], reshape(0, [2, 0, 3], [2, 3, 0]))
    assert forward(value)[1] == "v1 = v0.reshape(v0.shape[0], 3, 0)  # (N, 3, 0)"
    assert_any_batch(read(value), {})
    value = document([2, 3], op("max_pool", [0], [2, 0], **{**POOL, "kernel": [5]}))
    assert forward(value)[1] == "v1 = v0.new_empty((v0.shape[0], 0))  # (N, 0)"
    assert_any_batch(read(value), {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": "any"}, "batch must be one of auto, fixed, free, added"),
        ({"batch_axis": -1}, "batch_axis and free are numbers of axes"),
        ({"free": (True,)}, "batch_axis and free are numbers of axes"),
        ({"batch": "added", "batch_axis": 1}, "batch_axis says nothing with `batch: added`"),
        ({"free": (0,)}, "free names further axes, each once, and not that of the batch"),
        ({"free": (1, 1)}, "free names further axes, each once, and not that of the batch"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EmitOptions(**options)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([1, 1, 1, 2]), min_size=1, max_size=12), st.integers(1, 60))
def test_many_places_for_one_sample_are_chosen_from_in_time(ones: list[int], count: int) -> None:
    """Chains of reshapes of one entry, where every axis could be the batch."""
    shapes = [ones, [*ones, 1], [1, *ones]]
    nodes = [reshape(i, [1, *shapes[i % 3]], [1, *shapes[(i + 1) % 3]]) for i in range(count)]
    value = document([1, *shapes[0]], *nodes)
    found = free_model(read(value), "free")
    assert found.shapes is not None
    module(source(value, training_skeleton=False))(torch.rand(5, *ones))


def test_the_model_is_not_changed() -> None:
    value = document([3, 2], const([3, 2], 0.5), op("add", [0, 1], [3, 2]))
    model = read(value)
    before = source(value, batch="fixed")
    emit_module(model, EmitOptions())
    assert emit_module(model, EmitOptions(batch="fixed")).source == before


def test_an_output_has_its_batch_where_the_input_has_it() -> None:
    value = document(
        [1, 4],
        reshape(0, [1, 4], [1, 1, 4]),
        reshape(1, [1, 1, 4], [1, 4, 1]),
    )
    assert "(N, 4) -> (N, 4, 1);" in source(value)
    assert_any_batch(read(value), {"batch": "free"})
