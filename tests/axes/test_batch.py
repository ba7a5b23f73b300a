"""Where the batch is free: what is written then, and what stands against it elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from documents import CONV, POOL, Document, const, document, module, op, plan, read, source
from hypothesis import given, settings
from hypothesis import strategies as st
from stacked_runs import assert_any_batch

from hatch_irpytorch import EmitOptions, IRPyTorchError, emit_module
from hatch_irpytorch.axes.free import free_model
from hatch_irpytorch.ir.params import StoreFile
from hatch_irpytorch.ir.stores import Entry
from hatch_irpytorch.ir.symbolic import symbolic_text


def forward(value: Document, **options: Any) -> list[str]:
    """The statements of `forward` between the check and the return."""
    lines = source(value, training_skeleton=False, **options).split("require_shape(x)\n", 2)[1]
    return [line.strip() for line in lines.split("        return ")[0].splitlines()]


def reason(value: Document, **options: Any) -> str:
    return plan(value, **options).fixed_reason


def refusal(value: Document, **options: Any) -> str:
    with pytest.raises(IRPyTorchError) as raised:
        source(value, **{"batch": "free", **options})
    (problem,) = raised.value.problems
    assert problem.code == "not-free"
    return str(problem)


def reshape(parent: int, old: list[int], new: list[int]) -> dict[str, Any]:
    return op("reshape", [parent], new, in_shape=old, out_shape=new)


def batch_norm(channels: int, axis: int) -> dict[str, Any]:
    numbers = {name: [1.0] * channels for name in ("gamma", "beta", "mean", "var")}
    return {"channel_axis": axis, "channels": channels, "eps": 1e-5, **numbers}


IMAGE_CONV = {**CONV, "channel_axis": 1, "weight": np.ones((2, 2, 2)).tolist(), "bias": [0.0, 0.0]}

REFUSED: list[tuple[str, Document, str]] = [
    (
        "softmax",
        document([2, 3], op("softmax", [0], [2, 3], axis=0)),
        "takes a softmax along axis 0",
    ),
    (
        "hard_masked_softmax",
        document(
            [2], op("hard_masked_softmax", [0], [2], mask={"shape": [2], "allowed": [True] * 2})
        ),
        "takes a softmax along its last axis",
    ),
    (
        "a mask of its own for each sample",
        document(
            [2, 2],
            op(
                "hard_masked_softmax",
                [0],
                [2, 2],
                mask={"shape": [2, 2], "allowed": [True, False, True, True]},
            ),
        ),
        "masks each sample in another way",
    ),
    (
        "layernorm",
        document([2, 3], op("layernorm", [0], [2, 3], axis=0)),
        "normalises over the axes from 0 on",
    ),
    (
        "batch_norm_eval",
        document([2, 3], op("batch_norm_eval", [0], [2, 3], **batch_norm(2, 0))),
        "has its channels on axis 0",
    ),
    (
        "linear",
        document([2], op("linear", [0], [1], weight=[[1.0, 2.0]], bias=[0.0])),
        "maps axis 0 to another",
    ),
    (
        "conv of its channels",
        document(
            [2, 5],
            op("conv", [0], [2, 4], **{**IMAGE_CONV, "channel_axis": 0, "input_spatial": [5]}),
        ),
        "has its channels on axis 0",
    ),
    (
        "max_pool",
        document([4], op("max_pool", [0], [3], **POOL)),
        "slides a window over N entries",
    ),
    (
        "matmul",
        document([2, 3], const([4, 2], 1.0), op("matmul", [1, 0], [4, 3])),
        "multiplies over the axis that holds the batch",
    ),
    (
        "a product of rows with rows",
        document(
            [2, 3],
            op("transpose", [0], [3, 2], axis1=0, axis2=1),
            op("matmul", [0, 1], [2, 2]),
        ),
        "joins values whose batch lies along different axes",
    ),
    ("sum", document([2, 3], op("sum", [0], [])), "sums all entries"),
    (
        "reduce_mean",
        document([2, 3], op("reduce_mean", [0], [3], axes=[0], keepdim=False)),
        "reduces axis 0",
    ),
    ("mse_loss", document([2, 3], op("mse_loss", [0, 0], [])), "averages over all entries"),
    (
        "broadcast_to",
        document([1, 3], op("broadcast_to", [0], [4, 3], from_shape=[1, 3], to_shape=[4, 3])),
        "repeats axis 0 to 4 entries",
    ),
    (
        "reshape",
        document([4, 3], reshape(0, [4, 3], [6, 2])),
        "reshapes (N, 3) to (6, 2)",
    ),
    (
        "concat",
        document([2, 3], op("concat", [0, 0], [4, 3], axis=0)),
        "joins values along axis 0",
    ),
    (
        "values that lie otherwise",
        document(
            [2, 2],
            op("transpose", [0], [2, 2], axis1=0, axis2=1),
            op("add", [0, 1], [2, 2]),
        ),
        "joins values whose batch lies along different axes",
    ),
    (
        "a const with rows of its own",
        document([2, 2], const([2, 2], [[1.0, 2.0], [3.0, 4.0]]), op("add", [0, 1], [2, 2])),
        "holds other numbers along axis 0",
    ),
    (
        "a const whose zeros have other signs",
        document([2], const([2], [0.0, -0.0]), op("add", [0, 1], [2])),
        "holds other numbers along axis 0",
    ),
    (
        "numbers computed for each row",
        document(
            [2, 2],
            const([2, 2], [[1.0, 2.0], [3.0, 4.0]]),
            op("tanh", [1], [2, 2]),
            op("add", [0, 2], [2, 2]),
        ),
        "holds other numbers along axis 0",
    ),
    (
        "random numbers",
        document([1, 2], op("rand_uniform", [], [1, 2], seed=3), op("add", [0, 1], [1, 2])),
        "draws other numbers for each sample",
    ),
    (
        "a random mask behind other nodes",
        document(
            [1, 2],
            const([], 0.5),
            op("bernoulli_mask", [1], [2, 1], seed=3),
            op("transpose", [2], [1, 2], axis1=0, axis2=1),
            op("abs", [3], [1, 2]),
            op("mul_elem", [0, 4], [1, 2]),
        ),
        "draws other numbers for each sample",
    ),
    (
        "an output of constants",
        document([2, 3], const([2, 3], 1.0), outputs=[0, 1]),
        "does not depend on the input",
    ),
    ("no axis", document([], op("tanh", [0], [])), "has no axis 0"),
    ("no samples", document([0, 3]), "is empty along axis 0"),
]


@pytest.mark.parametrize(
    ("value", "why"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_what_stands_against_a_free_batch(value: Document, why: str) -> None:
    assert reason(value).endswith(why), reason(value)
    assert why in refusal(value)
    shape = tuple(value["nodes"][0]["shape"])
    text = source(value, training_skeleton=False)
    assert f"The batch is fixed: {reason(value)}." in " ".join(text.split())
    assert f'"""Raise ValueError unless x is {shape}."""' in text
    module(text)(torch.rand(shape))


def test_an_error_names_node_and_origin_and_what_to_do() -> None:
    soft = op("softmax", [0], [2, 3], axis=0, debug_target="layers.0.attention")
    assert refusal(document([2, 3], soft)) == (
        "graph.json: node 1 (softmax): error[not-free]: takes a softmax along axis 0 "
        "(from `layers.0.attention`), so the batch cannot be free; use `batch: auto` or `fixed`, "
        "`batch_axis` for a batch elsewhere, or `batch: added` where the graph is of one sample"
    )


def test_what_no_output_depends_on_does_not_count() -> None:
    value = document([2, 3], op("softmax", [0], [2, 3], axis=0), op("tanh", [0], [2, 3]))
    assert not reason(value)


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


def test_an_output_has_its_batch_where_the_input_has_it() -> None:
    value = document(
        [1, 4],
        reshape(0, [1, 4], [1, 1, 4]),
        reshape(1, [1, 1, 4], [1, 4, 1]),
    )
    assert "(N, 4) -> (N, 4, 1);" in source(value)
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


def test_further_axes_of_an_added_batch_are_carried_or_refused() -> None:
    broad = op("broadcast_to", [0], [4, 2, 3], from_shape=[2, 3], to_shape=[4, 2, 3])
    net = module(source(document([2, 3], broad), batch="added", free=(2,)))
    x = torch.rand(5, 2, 7)
    torch.testing.assert_close(net(x), x[:, None].expand(5, 4, 2, 7))
    value = document([3, 2], const([2, 4, 3], 0.5), op("matmul", [1, 0], [2, 4, 2]))
    told = refusal(value, batch="added", free=(2,))
    assert "lines up axes whose extents it has to know" in told


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


def test_a_long_chain_of_constants_is_followed_once() -> None:
    count = 3_000
    chain = [op("tanh", [i + 1], [2, 2]) for i in range(count)]
    sums = [op("add", [0 if i == 0 else count + 1 + i, i + 1], [2, 2]) for i in range(count)]
    value = document([2, 2], const([2, 2], 1.0), *chain, *sums)
    assert free_model(read(value), "free").shapes is not None
