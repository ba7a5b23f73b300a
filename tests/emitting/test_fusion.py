"""`fuse: true`: fewer lines, the same numbers to rounding; each line says what it stands for."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES
from captured_networks import captured
from documents import CONV, Document, const, document, module, op, read, source
from hypothesis import given, settings
from random_graphs import RandomGraph, random_graphs
from torch import nn

from hatch_irpytorch import EmitOptions, emit_module, evaluate
from hatch_irpytorch.capture import from_torch
from hatch_irpytorch.ir.read import build_model

X = [2, 3, 4]


def lines(text: str) -> list[str]:
    body = text.split("def forward")[1].split("\n\n")[0]
    return [line.strip() for line in body.splitlines()[1:]]


def assert_fused(value: Document, expected: str, **options: Any) -> str:
    """The fused module holds the line `expected` and computes what the reference does."""
    model = read(value)
    plain = {"training_skeleton": False, **options}
    text = emit_module(model, EmitOptions(dtype="float64", fuse=True, **plain)).source
    flat = re.sub(r"\(\s+", "(", re.sub(r",?\s+\)", ")", " ".join(lines(text))))
    assert expected in flat, flat
    shape = model.graph.input_shape
    x = np.random.default_rng(0).normal(size=shape)
    found = module(text)(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(found, evaluate(model, x)[0], rtol=1e-9, atol=1e-9)
    return text


def number(value: float, shape: list[int] = X) -> Document:
    return const(shape, value)


def attention(scale: float | None, *, bias: Any = None, heads: int = 2) -> Document:
    """Self-attention over (1, heads, 3, 4), q = k = v = the input."""
    shape, scores = [1, heads, 3, 4], [1, heads, 3, 3]
    nodes = [op("transpose", [0], [1, heads, 4, 3], axis1=2, axis2=3)]
    nodes.append(op("matmul", [0, 1], scores))
    last = 2
    if scale is not None:
        nodes += [number(scale, scores), op("mul_elem", [last, 3], scores)]
        last = 4
    if bias is not None:
        nodes += [const(scores, bias), op("add", [last, last + 1], scores)]
        last += 2
    nodes += [op("softmax", [last], scores, axis=3), op("matmul", [last + 1, 0], shape)]
    return document(shape, *nodes)


def test_attention() -> None:
    text = assert_fused(
        attention(0.5),
        "v6 = F.scaled_dot_product_attention(v0, v0, v0)  # (N, 2, 3, 4), nodes 1-6",
    )
    assert "const_3" not in text
    call = "v6 = F.scaled_dot_product_attention(v0, v0, v0, scale=0.25)"
    assert_fused(attention(0.25), call)
    assert_fused(attention(None), "scaled_dot_product_attention(v0, v0, v0, scale=1.0)")


@pytest.mark.parametrize(
    ("perm", "expected"),
    [
        ([0, 2, 3, 1], "(v0, v1.transpose(1, 2), v0"),
        ([2, 0, 3, 1], "(v0, v1.permute(2, 0, 1, 3), v0"),
    ],
)
def test_attention_whose_key_is_turned_further(perm: list[int], expected: str) -> None:
    kept = [op("sin", [0], [3] * 4), op("permute", [1], [3] * 4, perm=perm)]
    nodes = [*kept, op("matmul", [0, 2], [3] * 4), op("softmax", [3], [3] * 4, axis=3)]
    value = document([3] * 4, *nodes, op("matmul", [4, 0], [3] * 4))
    assert_fused(value, f"F.scaled_dot_product_attention{expected}, scale=1.0)")


def test_attention_with_a_bias() -> None:
    bias = np.random.default_rng(1).normal(size=(1, 2, 3, 3))
    assert_fused(attention(0.5, bias=bias), "attn_mask=v5)", learnable_consts=False)
    assert_fused(attention(None, bias=bias), "attn_mask=v3, scale=1.0)")


@pytest.mark.parametrize("causal", [True, False])
def test_attention_with_a_mask(causal: bool) -> None:
    rows = np.tril(np.ones((3, 3))) if causal else np.ones((3, 3)) - np.eye(3)
    allowed = np.broadcast_to(rows, (1, 2, 3, 3)).reshape(-1).astype(bool).tolist()
    value = attention(0.5)
    mask = {"shape": [1, 2, 3, 3], "allowed": allowed}
    del value["nodes"][5]["axis"]
    value["nodes"][5] |= {"kind": "hard_masked_softmax", "mask": mask}
    expected = "is_causal=True" if causal else "attn_mask=self.attention_6_mask"
    assert_fused(value, expected)


def test_a_row_without_an_allowed_entry_is_no_attention() -> None:
    value = attention(0.5)
    mask = {"shape": [1, 2, 3, 3], "allowed": [False] * 9 + [True] * 9}
    del value["nodes"][5]["axis"]
    value["nodes"][5] |= {"kind": "hard_masked_softmax", "mask": mask}
    assert_fused(value, "hard_masked_softmax(")


def test_scores_that_are_wanted_elsewhere_stay() -> None:
    value = attention(0.5)
    value["output_ids"] = [6, 5]
    text = source(value, fuse=True)
    assert "scaled_dot_product_attention" not in text
    value["output_ids"] = [6]
    value["nodes"].append(op("sum", [4], []) | {"id": 7})
    value["output_ids"] = [6, 7]
    assert "scaled_dot_product_attention" not in source(value, fuse=True)


def test_layer_norm_with_its_affine_consts() -> None:
    gamma, beta = np.arange(1.0, 5.0), np.arange(4.0)
    nodes = [
        op("layernorm", [0], X, axis=2),
        const([4], gamma),
        op("broadcast_to", [2], X, from_shape=[4], to_shape=X),
        op("mul_elem", [3, 1], X),
        const(X, beta),
        op("add", [4, 5], X),
    ]
    expected = (
        "v6 = F.layer_norm(v0, (4,), self.layernorm_6_gamma, self.layernorm_6_beta)"
        "  # (N, 3, 4), nodes 1-6"
    )
    assert_fused(document(X, *nodes), expected)
    nodes[4] = const(X, np.random.default_rng(0).normal(size=X))
    assert_fused(document(X, *nodes), "torch.addcmul(")


def test_conv_and_batch_norm_are_folded() -> None:
    rng = np.random.default_rng(0)
    payload = {"weight": rng.normal(size=(3, 2, 2)).tolist(), "bias": [0.1, 0.2, 0.3]}
    geometry = {**CONV, "channel_axis": 1, "out_channels": 3, "input_spatial": [5]}
    names = ("gamma", "beta", "mean", "var")
    norm = {name: (rng.random(3) + 0.5).tolist() for name in names}
    value = document(
        [2, 2, 5],
        op("conv", [0], [2, 3, 4], **geometry, **payload),
        op("batch_norm_eval", [1], [2, 3, 4], channel_axis=1, channels=3, eps=1e-5, **norm),
    )
    text = assert_fused(
        value, "v2 = F.conv1d(v0, self.conv_2_kernel, self.conv_2_bias)  # (N, 3, 4), nodes 1-2"
    )
    assert "batch_norm" not in text


def test_projections_of_one_value_are_one_product() -> None:
    rng = np.random.default_rng(0)

    def linear(parent: int, width: int) -> Document:
        payload = {"weight": rng.normal(size=(width, 4)).tolist(), "bias": [0.5] * width}
        return op("linear", [parent], [2, 3, width], **payload, in_dim=4, out_dim=width)

    value = document(
        X,
        linear(0, 4),
        op("relu", [1], X),
        linear(0, 4),
        linear(0, 2),
        op("mul_elem", [2, 3], X),
        op("concat", [5, 4], [2, 3, 6], axis=2),
    )
    expected = (
        "v1, v3, v4 = torch.split(F.linear(v0, self.linears_1_W, self.linears_1_b), "
        "[4, 4, 2], dim=-1)  # (N, 3, 4), nodes 1, 3-4"
    )
    assert_fused(value, expected)


def gelu(x: int, first: int) -> list[Document]:
    """The tanh form of GELU as nodes from id `first` on."""
    f = first
    return [
        op("mul_elem", [x, x], X),
        op("mul_elem", [x, f], X),
        number(0.044715),
        op("mul_elem", [f + 2, f + 1], X),
        op("add", [x, f + 3], X),
        number(math.sqrt(2 / math.pi)),
        op("mul_elem", [f + 4, f + 5], X),
        op("tanh", [f + 6], X),
        number(1.0),
        op("add", [f + 7, f + 8], X),
        number(0.5),
        op("mul_elem", [x, f + 10], X),
        op("mul_elem", [f + 9, f + 11], X),
    ]


def test_chains_that_pytorch_has_a_call_for() -> None:
    assert_fused(
        document(X, *gelu(0, 1)), 'v13 = F.gelu(v0, approximate="tanh")  # (N, 3, 4), nodes 1-13'
    )
    silu = [op("sigmoid", [0], X), op("mul_elem", [1, 0], X)]
    assert_fused(document(X, *silu), "v2 = F.silu(v0)  # (N, 3, 4), nodes 1-2")
    log = [op("softmax", [0], X, axis=1), op("log", [1], X)]
    assert_fused(document(X, *log), "v2 = F.log_softmax(v0, dim=1)")
    bounds = [number(-0.5), op("max_elem", [0, 1], X), number(0.75), op("min_elem", [3, 2], X)]
    assert_fused(document(X, *bounds), "v4 = clamp(v0, low=-0.5, high=0.75)")
    product = [op("sin", [0], X), op("mul_elem", [0, 1], X), op("add", [0, 2], X)]
    assert_fused(document(X, *product), "v3 = torch.addcmul(v0, v0, v1)")


@pytest.mark.parametrize(
    ("kind", "parents", "value", "expected"),
    [
        ("mul_elem", [0, 1], -0.5, "v0 * -0.5"),
        ("mul_elem", [1, 0], 0.1, "v0 * 0.1"),
        ("add", [1, 0], -0.5, "v0 - 0.5"),
        ("add", [0, 1], 0.5, "v0 + 0.5"),
        ("sub", [0, 1], 0.5, "v0 - 0.5"),
        ("sub", [1, 0], 0.5, "0.5 - v0"),
        ("sub", [0, 1], -0.5, "v0 - -0.5"),
        ("max_elem", [1, 0], 0.25, "clamp(v0, low=0.25)"),
        ("min_elem", [0, 1], 0.25, "clamp(v0, high=0.25)"),
    ],
)
def test_a_const_of_one_number_is_the_number(
    kind: str, parents: list[int], value: float, expected: str
) -> None:
    text = assert_fused(document(X, number(value), op(kind, parents, X)), f"v2 = {expected}")
    assert "const_1" not in text


def test_a_long_chain_of_broadcasts_is_followed() -> None:
    count = 3_000
    steps = [op("broadcast_to", [i], X, from_shape=X, to_shape=X) for i in range(1, count)]
    value = document(X, number(0.5), *steps, op("mul_elem", [0, count], X))
    assert f"v{count + 1} = v0 * 0.5" in source(value, fuse=True)


def test_what_stands_for_an_infinity_beyond_the_dtype_stays_a_const() -> None:
    value = document(X, number(2.0**127), op("mul_elem", [0, 1], X))
    assert "v2 = v0 * v1" in source(value, fuse=True, dtype="float16")
    assert "v2 = v0 * 1.7014118e+38" in source(value, fuse=True)


def test_a_learned_const_stays() -> None:
    value = document(X, number(0.5) | {"learnable": True}, op("mul_elem", [0, 1], X))
    assert_fused(value, "v2 = v0 * v1")


def test_off_by_default() -> None:
    assert "scaled_dot" not in source(attention(0.5))
    assert not EmitOptions().fuse


@settings(max_examples=200, deadline=None)
@given(random_graphs())
def test_random_graphs_compute_the_same(case: RandomGraph) -> None:
    """Where plain code is finite and not far from its reference, fused code is near it too."""
    model = build_model(json.dumps(case.document).encode(), "graph.json", case.store)
    options = EmitOptions(training_skeleton=False, dtype="float64")
    x = torch.tensor(case.x, dtype=torch.float64)
    plain = module(emit_module(model, options).source)(x)
    fused = module(emit_module(model, EmitOptions(**{**vars(options), "fuse": True})).source)(x)
    pairs = zip(plain, fused, strict=True) if isinstance(plain, tuple) else [(plain, fused)]
    for expected, found in pairs:
        assert found.shape == expected.shape and found.dtype == expected.dtype
        wide = expected.detach().abs().max() if expected.numel() else torch.tensor(0.0)
        if wide < 1e6:
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_compute_the_same(name: str) -> None:
    _, x, model = captured(name)
    options = EmitOptions(dtype="float64", inline_limit=10**7)
    fused = EmitOptions(**{**vars(options), "fuse": True})
    with torch.no_grad():
        expected = module(emit_module(model, options).source)(x.double())
        found = module(emit_module(model, fused).source)(x.double())
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)


def test_a_transformer_block_is_few_lines() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="relu", dropout=0.0)
    model = from_torch(layer.eval(), torch.zeros(1, 8, 16))
    text = emit_module(model, EmitOptions(fuse=True)).source
    assert text.count("F.scaled_dot_product_attention(") == 1
    assert text.count("F.layer_norm(") == 2
