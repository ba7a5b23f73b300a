"""Constants beside a free batch: held once, repeated by block, or the reason that it is fixed."""

from __future__ import annotations

import numpy as np
import pytest
from batch_documents import forward, reason, reshape
from documents import Document, const, document, op, read, source
from stacked_runs import assert_any_batch

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.axes.free import free_model
from hatch_irpytorch.ir.params import StoreFile
from hatch_irpytorch.ir.stores import Entry


def test_a_const_of_equal_rows_is_held_once() -> None:
    row = [[[1.0, 2.0], [3.0, 4.0]]]
    value = document(
        [3, 2, 2],
        const([3, 2, 2], row),
        op("mul_elem", [0, 1], [3, 2, 2]),
        op("transpose", [1], [2, 3, 2], axis1=0, axis2=1),
        op("transpose", [2], [2, 3, 2], axis1=0, axis2=1),
        op("add", [3, 4], [2, 3, 2]),
    )
    assert "self.const_1 = nn.Parameter(numbers(CONST_1, (1, 2, 2), dtype))" in source(value)
    assert forward(value)[3:5] == [
        "v3 = v1.transpose(0, 1)  # (2, 1, 2)",
        "v4 = v2.transpose(0, 1)  # (2, N, 2)",
    ]
    assert_any_batch(read(value), {})


def test_what_is_held_once_is_read_back_for_every_row() -> None:
    row = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    value = document([3, 2, 2], const([3, 2, 2], row), op("mul_elem", [0, 1], [3, 2, 2]))
    del value["nodes"][1]["values"]
    once = StoreFile("net.npz", {"const_1": Entry((1, 2, 2), "float64", lambda: row)})
    model = read(value, once)
    np.testing.assert_array_equal(model.params[1, "values"], np.repeat(row, 3, axis=0))
    other = StoreFile("net.npz", {"const_1": Entry((2, 2), "float64", lambda: row[0])})
    with pytest.raises(IRPyTorchError, match=r"`const_1` must be \(3, 2, 2\)"):
        read(value, other)


def test_a_value_for_each_row_and_as_a_whole_is_no_free_batch() -> None:
    value = document(
        [2, 2],
        const([2, 2], 0.5),
        op("add", [0, 1], [2, 2]),
        op("matmul", [2, 1], [2, 2]),
    )
    assert reason(value) == "v1 is used for each sample and as a whole"


def test_constants_join_every_sample() -> None:
    value = document(
        [1, 2, 3], const([1, 1, 3], [1.0, 2.0, 3.0]), op("concat", [1, 0], [1, 3, 3], axis=1)
    )
    assert forward(value)[2] == (
        "v2 = torch.cat((v1.expand((v0.shape[0], -1, -1)), v0), dim=1)  # (N, 3, 3)"
    )
    assert_any_batch(read(value), {})
    assert_any_batch(read({**value, "output_ids": [2]}), {"batch": "added"})


def test_values_computed_from_constants_are_followed() -> None:
    """As the initial state of a recurrent network, which is mapped before it meets the input."""
    value = document(
        [2, 3],
        const([2, 2], 0.25),
        op("linear", [1], [2, 3], weight=np.ones((3, 2)).tolist(), bias=[0.0, 1.0, 2.0]),
        op("tanh", [2], [2, 3]),
        op("add", [0, 3], [2, 3]),
    )
    assert forward(value)[1:4] == [
        "v1 = self.const_1  # (1, 2)",
        "v2 = F.linear(v1, self.linear_2_W, self.linear_2_b)  # (1, 3)",
        "v3 = torch.tanh(v2)  # (1, 3)",
    ]
    assert_any_batch(read(value), {})


def heads(declared: int) -> Document:
    """Two heads in the axis of the batch, and a const for each head."""
    rows = np.tile([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]], (declared, 1, 1))
    return document(
        [declared, 2, 3, 4],
        reshape(0, [declared, 2, 3, 4], [2 * declared, 3, 4]),
        op("transpose", [1], [2 * declared, 4, 3], axis1=1, axis2=2),
        op("matmul", [1, 2], [2 * declared, 3, 3]),
        const([2 * declared, 1, 3], rows),
        op(
            "broadcast_to",
            [4],
            [2 * declared, 3, 3],
            from_shape=[2 * declared, 1, 3],
            to_shape=[2 * declared, 3, 3],
        ),
        op("add", [3, 5], [2 * declared, 3, 3]),
        op("softmax", [6], [2 * declared, 3, 3], axis=2),
    )


@pytest.mark.parametrize("declared", [1, 3])
@pytest.mark.parametrize("fuse", [False, True])
def test_a_const_for_each_head_is_repeated(declared: int, fuse: bool) -> None:
    value = heads(declared)
    assert "v6 = v3 + v5.repeat((v3.shape[0] // 2, 1, 1))  # (2 * N, 3, 3)" in forward(value)
    assert_any_batch(read(value), {"batch": "free", "fuse": fuse})


def test_a_const_for_each_row_outside_the_batch_is_repeated() -> None:
    """Where the batch is the inner part of its axis, or lies between two others."""
    value = document(
        [3, 1, 2],
        reshape(0, [3, 1, 2], [3, 2]),
        op("linear", [1], [3, 2], weight=[[1.0, 2.0], [0.0, 1.0]], bias=[0.0, 0.0]),
        const([3, 2], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        op("mul_elem", [3, 2], [3, 2]),
    )
    assert forward(value, batch_axis=1)[4].startswith(
        "v4 = v3.repeat_interleave(v2.shape[0] // 3, dim=0) * v2"
    )
    assert_any_batch(read(value), {"batch": "free", "batch_axis": 1})
    value = document(
        [3, 1, 2],
        reshape(0, [3, 1, 2], [6]),
        const([6], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        op("sub", [1, 2], [6]),
    )
    assert "torch.unflatten(v2, 0, (3, 2)).repeat_interleave(v1.shape[0] // 6, dim=0)" in (
        "".join(forward(value, batch_axis=1))
    )
    assert_any_batch(read(value), {"batch": "free", "batch_axis": 1})


def test_numbers_that_are_looked_up_for_every_sample_are_followed() -> None:
    """As positions whose table is read for all samples at once."""
    picked = np.tile([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], (2, 1))
    value = document(
        [2, 3, 4],
        const([6, 2], picked),
        const([2, 4], np.arange(8.0).reshape(2, 4)),
        op("matmul", [1, 2], [6, 4]),
        reshape(3, [6, 4], [2, 3, 4]),
        op("add", [0, 4], [2, 3, 4]),
    )
    assert forward(value)[1:5] == [
        "v1 = self.const_1  # (3, 2)",
        "v2 = self.const_2  # (2, 4)",
        "v3 = torch.matmul(v1, v2)  # (3, 4)",
        "v4 = v3.reshape(1, 3, 4)  # (1, 3, 4)",
    ]
    assert_any_batch(read(value), {"batch": "free"})


def test_a_mask_is_held_once_with_what_it_masks() -> None:
    mask = {"shape": [2, 3], "allowed": [True, False, True] * 2}
    value = document(
        [2, 3],
        const([2, 3], [2.0, 1.0, 0.5]),
        op("hard_masked_softmax", [1], [2, 3], mask=mask),
        op("min_elem", [0, 2], [2, 3]),
    )
    assert forward(value)[2].endswith("# (1, 3)")
    assert_any_batch(read(value), {"batch": "free"})


def test_a_product_of_a_value_with_itself_is_not_held_once() -> None:
    """Its rows would be held once and its columns not."""
    value = document(
        [2, 2],
        const([2, 2], 0.5),
        op("matmul", [1, 1], [2, 2]),
        op("add", [0, 2], [2, 2]),
    )
    assert reason(value) == "v2 holds other numbers along axis 0"
    value = document(
        [2, 2],
        const([2, 2], 0.5),
        op("mul_elem", [1, 1], [2, 2]),
        op("add", [0, 2], [2, 2]),
    )
    assert_any_batch(read(value), {"batch": "free"})


def test_a_const_that_is_held_on_another_axis_by_each_user_is_no_free_batch() -> None:
    """It would be cut on both axes for both of them."""
    value = document(
        [2, 2],
        const([2, 2], 1.0),
        op("transpose", [0], [2, 2], axis1=0, axis2=1),
        op("add", [2, 1], [2, 2]),
        op("transpose", [3], [2, 2], axis1=0, axis2=1),
        op("concat", [0, 1], [2, 4], axis=1),
        outputs=[4, 5],
    )
    assert reason(value) == "v1 is used for each sample and as a whole"
    value = document(
        [2, 2, 2, 2],
        const([2, 2, 2, 2], 1.0),
        op("max_elem", [1, 0], [2, 2, 2, 2]),
        op("reduce_mean", [2], [2, 2, 2], axes=[1], keepdim=False),
        op("matmul", [1, 3], [2, 2, 2, 2]),
    )
    assert reason(value) == "v1 is used for each sample and as a whole"


def test_a_long_chain_of_constants_is_followed_once() -> None:
    count = 3_000
    chain = [op("tanh", [i + 1], [2, 2]) for i in range(count)]
    sums = [op("add", [0 if i == 0 else count + 1 + i, i + 1], [2, 2]) for i in range(count)]
    value = document([2, 2], const([2, 2], 1.0), *chain, *sums)
    assert free_model(read(value), "free").shapes is not None
