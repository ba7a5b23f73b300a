"""Every op of the table has a text, a numeric and an error case; section 8's windows are errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from documents import Document, const, document, op, plan, problems
from op_cases import CASES

from hatch_irpytorch.emit.layout import flat
from hatch_irpytorch.emit.plan import ClassPlan
from hatch_irpytorch.ir.ops import OPS

CONV: dict[str, Any] = {
    "spatial_rank": 2,
    "kernel": [3, 3],
    "stride": [2, 2],
    "padding": [1, 1],
    "padding_after": [1, 1],
    "dilation": [1, 1],
    "groups": 1,
    "channel_axis": 1,
    "in_channels": 2,
    "out_channels": 4,
    "bias": [0.0] * 4,
    "weight": np.zeros((4, 2, 3, 3)).tolist(),
}
POOL = {"spatial_rank": 2, "kernel": [3, 3], "stride": [2, 2], "padding": [1, 1]}
MASK = {"shape": [2, 3], "allowed": [True] * 5 + [False]}
NORM = {name: [1.0, 2.0, 3.0] for name in ("gamma", "beta", "mean", "var")}

UNARY = {
    "detach": "v0.detach()",
    "abs": "torch.abs(v0)",
    "sqrt": "torch.sqrt(torch.clamp(v0, min=0))",
    "inv": "torch.reciprocal(v0)",
    "exp": "torch.exp(v0)",
    "sin": "torch.sin(v0)",
    "cos": "torch.cos(v0)",
    "tanh": "torch.tanh(v0)",
    "log": "torch.log(v0)",
    "relu": "torch.relu(v0)",
    "sigmoid": "torch.sigmoid(v0)",
    "softplus": "softplus(v0)",
}
BINARY = {
    "add": "v0 + v0",
    "sub": "v0 - v0",
    "mul_elem": "v0 * v0",
    "max_elem": "torch.maximum(v0, v0)",
    "min_elem": "torch.minimum(v0, v0)",
}

Entry = tuple[dict[str, Any], list[str]]
TEXTS: dict[str, Entry] = {
    "input": (op("relu", [0], [2, 3]), ["torch.relu(v0)"]),
    "const": (const([2, 3], 1.0), ["self.const_1"]),
    "rand_uniform": (op("rand_uniform", [], [4], seed=1), ["self.rand_uniform_1_u"]),
    "softmax": (op("softmax", [0], [2, 3], axis=1), ["torch.softmax(v0, dim=1)"]),
    "hard_masked_softmax": (
        op("hard_masked_softmax", [0], [2, 3], mask=MASK),
        ["hard_masked_softmax(v0, self.hard_masked_softmax_1_mask)"],
    ),
    "layernorm": (op("layernorm", [0], [2, 3], axis=1), ["F.layer_norm(v0, (3,))"]),
    "linear": (
        op("linear", [0], [2, 1], weight=[[1, 2, 3]], bias=[0]),
        ["F.linear(v0, self.linear_1_W, self.linear_1_b)"],
    ),
    "matmul": (op("matmul", [0, 0], [3, 3]), ["torch.matmul(v0, v0)"]),
    "sum": (op("sum", [0], []), ["torch.sum(v0)"]),
    "reduce_sum": (
        op("reduce_sum", [0], [3], axes=[0], keepdim=False),
        ["torch.sum(v0, dim=0)"],
    ),
    "reduce_mean": (
        op("reduce_mean", [0], [2], axes=[1], keepdim=False),
        ["torch.mean(v0, dim=1)"],
    ),
    "broadcast_to": (
        op("broadcast_to", [0], [4, 2, 3], from_shape=[2, 3], to_shape=[4, 2, 3]),
        ["torch.broadcast_to(v0, (4, 2, 3))"],
    ),
    "reshape": (
        op("reshape", [0], [3, 2], in_shape=[2, 3], out_shape=[3, 2]),
        ["v0.reshape(3, 2)"],
    ),
    "flatten": (op("flatten", [0], [6], value_shape=[2, 3]), ["v0.reshape(6)"]),
    "permute": (op("permute", [0], [3, 2], perm=[1, 0]), ["v0.permute(1, 0)"]),
    "transpose": (op("transpose", [0], [3, 2], axis1=0, axis2=1), ["v0.transpose(0, 1)"]),
    "concat": (op("concat", [0, 0], [4, 3], axis=0), ["torch.cat((v0, v0))"]),
    "mse_loss": (op("mse_loss", [0, 0], []), ["F.mse_loss(v0, v0)"]),
    "batch_norm_eval": (
        op("batch_norm_eval", [0], [2, 3], channel_axis=1, channels=3, eps=0.5, **NORM),
        [
            "F.batch_norm(v0, self.batchnorm_1_mean, self.batchnorm_1_var, "
            "self.batchnorm_1_gamma, self.batchnorm_1_beta, eps=0.5)"
        ],
    ),
    "conv": (
        op("conv", [0], [1, 4, 2, 2], **CONV),
        ["F.conv2d(v0, self.conv_1_kernel, self.conv_1_bias, stride=2, padding=1)"],
    ),
    "max_pool": (
        op("max_pool", [0], [1, 2, 2, 2], **POOL),
        ["F.max_pool2d(v0, kernel_size=3, stride=2, padding=1)"],
    ),
    "avg_pool": (
        op("avg_pool", [0], [1, 2, 2, 2], **POOL),
        ["F.avg_pool2d(v0, kernel_size=3, stride=2, padding=1)"],
    ),
    **{tag: (op(tag, [0], [2, 3]), [text]) for tag, text in UNARY.items()},
    **{tag: (op(tag, [0, 0], [2, 3]), [text]) for tag, text in BINARY.items()},
}
SCALAR_TEXTS = {
    "bernoulli_mask": (
        op("bernoulli_mask", [0], [4], seed=1),
        ["keep(v0, self.bernoulli_mask_1_draw)"],
    ),
    "safe_log": (op("safe_log", [0, 0], []), ["softplus(v0)", "torch.log(v1 + v0)"]),
}
SHAPES = {"conv": [1, 2, 4, 4], "max_pool": [1, 2, 4, 4], "avg_pool": [1, 2, 4, 4]}


def texts(value: Document) -> list[str]:
    part = plan(value, batch="fixed").body
    assert isinstance(part, ClassPlan)
    last = part.statements[-1]
    names = part.variables.names(last.node)
    return [flat(expression) for expression in last.template.filled(names)]


@pytest.mark.parametrize("tag", TEXTS)
def test_text(tag: str) -> None:
    node, expected = TEXTS[tag]
    shape = [2, 2] if tag == "matmul" else SHAPES.get(tag, [2, 3])
    node = {**node, "shape": [2, 2]} if tag == "matmul" else node
    assert texts(document(shape, node)) == expected


@pytest.mark.parametrize("tag", SCALAR_TEXTS)
def test_scalar_text(tag: str) -> None:
    node, expected = SCALAR_TEXTS[tag]
    assert texts(document([], node)) == expected


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "input": (op("input", [], [2, 3]), "exactly one `input` node, found nodes 0, 1"),
    "const": (
        {**const([2, 3], 1.0), "value_shape": [3, 2]},
        "`shape` must be (3, 2), as the parents give it, found (2, 3)",
    ),
    "rand_uniform": (op("rand_uniform", [], [2], seed=-1), "`seed` must be a natural number"),
    "bernoulli_mask": (op("bernoulli_mask", [0], [2], seed=1), "`parents` must be ()"),
    "safe_log": (op("safe_log", [0, 0], [2, 3]), "`parents[1]` must be ()"),
    "softmax": (op("softmax", [0], [2, 3], axis=2), "smaller than the rank 2"),
    "hard_masked_softmax": (
        op("hard_masked_softmax", [0], [2, 3], mask={**MASK, "allowed": [True]}),
        "`mask.allowed` must be 6 booleans",
    ),
    "layernorm": (op("layernorm", [0], [2, 3], axis=2), "smaller than the rank 2"),
    "batch_norm_eval": (
        op("batch_norm_eval", [0], [2, 3], channel_axis=0, channels=3, eps=1.0, **NORM),
        "`channels` must be 2",
    ),
    "linear": (
        op("linear", [0], [2, 1], in_dim=2, weight=[[1, 2, 3]], bias=[0]),
        "`in_dim` must be 3",
    ),
    "conv": (
        op("conv", [0], [1, 4, 2, 2], **{**CONV, "groups": 3}),
        "`in_channels` must be divisible by 3",
    ),
    "max_pool": (
        op("max_pool", [0], [1, 2, 2, 2], **{**POOL, "stride": [0, 1]}),
        "`stride` must be",
    ),
    "avg_pool": (
        op("avg_pool", [0], [1, 2, 2, 2], **{**POOL, "kernel": [3]}),
        "`kernel` must be",
    ),
    "matmul": (op("matmul", [0, 0], [2, 2]), "equal inner extents"),
    "sum": (op("sum", [0], [1]), "`shape` must be ()"),
    "reduce_sum": (op("reduce_sum", [0], [2], axes=[0, 0], keepdim=False), "different axes"),
    "reduce_mean": (op("reduce_mean", [0], [2], axes=[1], keepdim=0), "`true` or `false`"),
    "broadcast_to": (
        op("broadcast_to", [0], [3, 2], from_shape=[2, 3], to_shape=[3, 2]),
        "`to_shape` must be",
    ),
    "reshape": (
        op("reshape", [0], [5], in_shape=[2, 3], out_shape=[5]),
        "`out_shape` must be",
    ),
    "flatten": (op("flatten", [0], [6], value_shape=[3, 2]), "`value_shape` must be (2, 3)"),
    "permute": (op("permute", [0], [2, 3], perm=[0, 0]), "`perm` must be"),
    "transpose": (op("transpose", [0], [3, 2], axis1=0, axis2=2), "`axis2` must be"),
    "concat": (op("concat", [0], [2, 3], axis=0), "two node ids or more"),
    "mse_loss": (op("mse_loss", [0, 0], [1]), "`shape` must be ()"),
    **{tag: (op(tag, [0], [3, 2]), "`shape` must be (2, 3)") for tag in UNARY},
    **{tag: (op(tag, [0], [2, 3]), "`parents` must be 2 node ids") for tag in BINARY},
}


@pytest.mark.parametrize("tag", WRONG)
def test_error(tag: str) -> None:
    node, expected = WRONG[tag]
    found = problems(document(SHAPES.get(tag, [2, 3]), node))
    assert len(found) >= 1 and expected in found[0].message, found


def test_every_op_has_all_its_cases() -> None:
    known = {op.tag for op in OPS}
    assert {*TEXTS, *SCALAR_TEXTS} == known
    assert set(WRONG) == known
    assert {case.tag for case in CASES} == known
    assert len(known) == 41


@pytest.mark.parametrize(
    ("extent", "kernel", "stride", "dilation", "before", "after", "out"),
    [(7, 3, 2, 2, 1, 0, 2), (0, 2, 1, 1, 2, 2, 3), (2, 3, 1, 1, 0, 0, None)],
)
def test_convolution_windows(
    extent: int, kernel: int, stride: int, dilation: int, before: int, after: int, out: int | None
) -> None:
    """torchlean.ir.v1: 8.2."""
    fields = {
        "spatial_rank": 1,
        "kernel": [kernel],
        "stride": [stride],
        "padding": [before],
        "padding_after": [after],
        "dilation": [dilation],
        "groups": 1,
        "channel_axis": 0,
        "in_channels": 1,
        "out_channels": 1,
        "bias": [0.0],
        "weight": [[[0.0] * kernel]],
    }
    found = problems(document([1, extent], op("conv", [0], [1, out or 0], **fields)))
    assert [p.code for p in found] == ([] if out else ["shape-mismatch"])
