"""What stands against a free batch, op by op."""

from __future__ import annotations

import pytest
import torch
from batch_documents import IMAGE_CONV, batch_norm, reason, refusal, reshape
from documents import POOL, Document, const, document, module, op, source

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
