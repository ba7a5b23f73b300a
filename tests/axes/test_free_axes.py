"""A batch that is added, and further axes that are free."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from batch_documents import IMAGE_CONV, batch_norm, refusal, reshape
from documents import POOL, Document, const, document, module, op, read, source
from stacked_runs import assert_any_batch

from hatch_irpytorch.ir.symbolic import symbolic_text

ADDED: list[tuple[str, Document]] = [
    ("a scalar", document([], op("tanh", [0], []))),
    ("sum", document([2, 3], op("sum", [0], []))),
    ("sum of a scalar", document([], op("sum", [0], []))),
    ("mse_loss", document([2, 3], const([2, 3], 0.5), op("mse_loss", [1, 0], []))),
    ("mse_loss of nothing", document([0, 3], op("mse_loss", [0, 0], []))),
    ("flatten", document([2, 3], op("flatten", [0], [6], value_shape=[2, 3]))),
    (
        "broadcast_to",
        document([2, 1], op("broadcast_to", [0], [4, 2, 3], from_shape=[2, 1], to_shape=[4, 2, 3])),
    ),
    ("vector by vector", document([3], op("matmul", [0, 0], []))),
    ("vector by matrix", document([3], const([3, 4], 0.5), op("matmul", [0, 1], [4]))),
    ("matrix by vector", document([3], const([4, 3], 0.5), op("matmul", [1, 0], [4]))),
    ("vector by matrices", document([3], const([2, 3, 4], 0.5), op("matmul", [0, 1], [2, 4]))),
    (
        "matrices by matrix",
        document([3, 4], const([2, 5, 3], 0.5), op("matmul", [1, 0], [2, 5, 4])),
    ),
    (
        "matrices of other ranks",
        document(
            [2, 3, 3],
            op("reduce_sum", [0], [3, 3], axes=[0], keepdim=False),
            op("matmul", [1, 0], [2, 3, 3]),
            op("matmul", [0, 1], [2, 3, 3]),
            op("add", [2, 3], [2, 3, 3]),
        ),
    ),
    (
        "axes",
        document(
            [2, 6],
            op("softmax", [0], [2, 6], axis=0),
            op("layernorm", [1], [2, 6], axis=0),
            op("batch_norm_eval", [2], [2, 6], **batch_norm(2, 0)),
            op("permute", [3], [6, 2], perm=[1, 0]),
            op("concat", [4, 4], [12, 2], axis=0),
            op("reduce_mean", [5], [2], axes=[0], keepdim=False),
        ),
    ),
    (
        "windows",
        document(
            [2, 5],
            op("conv", [0], [2, 4], **{**IMAGE_CONV, "channel_axis": 0, "input_spatial": [5]}),
            op("max_pool", [1], [2, 3], **POOL),
            op("avg_pool", [2], [2, 2], **POOL),
        ),
    ),
]


@pytest.mark.parametrize("value", [case[1] for case in ADDED], ids=[case[0] for case in ADDED])
@pytest.mark.parametrize("fuse", [False, True])
def test_a_graph_of_one_sample_gets_a_batch(value: Document, fuse: bool) -> None:
    model = read(value)
    free = assert_any_batch(model, {"batch": "added", "fuse": fuse})
    assert all(symbolic_text(shape).startswith("(N") for shape in free.output_shapes)


def test_an_added_batch_is_refused_with_its_reason() -> None:
    uniform = document(
        [], op("bernoulli_mask", [0], [3], seed=1), op("sum", [1], []), op("add", [0, 2], [])
    )
    assert "draws for another probability in each sample" in refusal(uniform, batch="added")
    assert "does not depend on the input" in refusal(document([2], const([2], 1.0)), batch="added")


def test_random_numbers_that_do_not_hold_the_batch_stay() -> None:
    """Every sample gets the draws that one sample gets."""
    value = document([3], op("rand_uniform", [], [3], seed=1), op("add", [0, 1], [3]))
    assert_any_batch(read(value), {"batch": "added"})


def test_pixels_may_be_free_where_every_op_allows_it() -> None:
    square = {**IMAGE_CONV, "spatial_rank": 2, "kernel": [3, 3], "stride": [2, 2]}
    square |= {"padding": [1, 1], "padding_after": [1, 1], "dilation": [1, 1]}
    square |= {"weight": np.ones((2, 2, 3, 3)).tolist(), "input_spatial": [8, 8]}
    value = document(
        [1, 2, 8, 8],
        op("conv", [0], [1, 2, 4, 4], **square),
        reshape(1, [1, 2, 4, 4], [1, 2, 16]),
        op("reduce_mean", [2], [1, 2], axes=[2], keepdim=False),
    )
    text = source(value, free=(2, 3), training_skeleton=False)
    assert "# (N, 2, (S2 - 1) // 2 + 1, (S3 - 1) // 2 + 1)" in text
    net = module(text)
    x = torch.rand(3, 2, 12, 7)
    kernel, bias = net.get_parameter("conv_1_kernel"), net.get_parameter("conv_1_bias")
    expected = torch.nn.functional.conv2d(x, kernel, bias, 2, 1)
    torch.testing.assert_close(net(x), expected.flatten(2).mean(2))
    with pytest.raises(ValueError, match=r"expected x of \(N, 2, S2, S3\), found \(3, 1, 8, 8\)"):
        net(torch.rand(3, 1, 8, 8))


def test_further_axes_are_refused_where_an_op_needs_their_extent() -> None:
    value = document(
        [1, 4], op("linear", [0], [1, 2], weight=np.ones((2, 4)).tolist(), bias=[0.0, 0.0])
    )
    told = refusal(value, batch="auto", free=(1,))
    assert "maps axis 1 to another, so the axes of `free` cannot be free" in told
    value = document([1, 2], const([1, 2], [1.0, 2.0]), op("add", [0, 1], [1, 2]))
    assert "holds other numbers along axis 1" in refusal(value, free=(1,))
    assert "has no axis 2" in refusal(value, free=(2,))


def test_further_axes_are_free_although_the_batch_is_not() -> None:
    value = document([2, 3, 4], op("softmax", [0], [2, 3, 4], axis=0))
    text = source(value, free=(1,), training_skeleton=False)
    assert "ExportedIRModel: (2, S1, 4) -> (2, S1, 4);" in text
    assert "The batch is fixed: v1 takes a softmax along axis 0." in text
    x = torch.rand(2, 7, 4)
    torch.testing.assert_close(module(text)(x), torch.softmax(x, 0))


def test_a_mean_may_be_taken_from_a_free_sequence() -> None:
    value = document(
        [2, 3, 4],
        op("reduce_mean", [0], [2, 1, 4], axes=[1], keepdim=True),
        op("broadcast_to", [1], [2, 3, 4], from_shape=[2, 1, 4], to_shape=[2, 3, 4]),
        op("sub", [0, 2], [2, 3, 4]),
        op("transpose", [3], [2, 4, 3], axis1=1, axis2=2),
        op("matmul", [3, 4], [2, 3, 3]),
        op("softmax", [5], [2, 3, 3], axis=2),
        op("matmul", [6, 3], [2, 3, 4]),
    )
    net = module(source(value, free=(1,), training_skeleton=False))
    x = torch.rand(5, 7, 4)
    y = x - x.mean(1, keepdim=True)
    torch.testing.assert_close(net(x), torch.softmax(y @ y.transpose(1, 2), 2) @ y)


def test_further_axes_of_an_added_batch_are_carried_or_refused() -> None:
    broad = op("broadcast_to", [0], [4, 2, 3], from_shape=[2, 3], to_shape=[4, 2, 3])
    net = module(source(document([2, 3], broad), batch="added", free=(2,)))
    x = torch.rand(5, 2, 7)
    torch.testing.assert_close(net(x), x[:, None].expand(5, 4, 2, 7))
    value = document([3, 2], const([2, 4, 3], 0.5), op("matmul", [1, 0], [2, 4, 2]))
    told = refusal(value, batch="added", free=(2,))
    assert "lines up axes whose extents it has to know" in told


def test_a_block_on_an_axis_of_two_symbols_is_not_repeated() -> None:
    value = document(
        [1, 3, 1],
        reshape(0, [1, 3, 1], [3]),
        const([3], [1.0, 2.0, 3.0]),
        op("mul_elem", [1, 2], [3]),
    )
    assert "holds other numbers along axis 0" in refusal(value, batch_axis=2, free=(0,))
    tiled = np.tile(np.arange(8.0).reshape(2, 4), (6, 1))
    value = document(
        [2, 3, 2, 4],
        reshape(0, [2, 3, 2, 4], [12, 4]),
        const([12, 4], tiled),
        op("add", [1, 2], [12, 4]),
    )
    assert "holds other numbers along axis 0" in refusal(value, free=(1,))


def test_several_free_axes_before_a_window_are_not_folded() -> None:
    """The last step would read a shape whose name a large value may have taken over."""
    window = {**POOL, "spatial_rank": 2, "kernel": [3, 3], "stride": [1, 1], "padding": [1, 1]}
    value = document([2, 3, 2, 4, 4], op("max_pool", [0], [2, 3, 2, 4, 4], **window))
    assert "folds several free axes into one" in refusal(value, free=(1,))
    assert_any_batch(read(value), {"batch": "free", "batch_axis": 1})


def test_an_empty_window_beside_a_free_one_is_refused() -> None:
    window = {**POOL, "spatial_rank": 2, "kernel": [1, 2], "stride": [1, 1], "padding": [1, 0]}
    value = document([1, 2, 3], op("max_pool", [0], [1, 0, 2], **window))
    assert "slides a window that does not fit" in refusal(value, batch="fixed", free=(2,))


def test_extents_of_a_sample_that_are_averaged_over_are_no_free_axes() -> None:
    value = document([3], const([3], [1.0, 2.0, 3.0]), op("mse_loss", [0, 1], []))
    told = refusal(value, batch="added", free=(1,))
    assert "averages over extents that it has to know" in told
