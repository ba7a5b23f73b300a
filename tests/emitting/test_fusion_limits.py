"""Where `fuse: true` would give other numbers or gradients, it leaves the nodes alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from documents import CONV, Document, const, document, module, op, read, source
from hypothesis import given, settings
from hypothesis import strategies as st

from hatch_irpytorch import EmitOptions, emit_module
from hatch_irpytorch.ir.params import StoreFile
from hatch_irpytorch.ir.stores import Entry

X = [2, 3]
TIED = st.sampled_from([-1.0, -0.0, 0.0, 1.0, 2.0])


def both(value: Document, store: StoreFile | None = None, **options: Any) -> list[torch.nn.Module]:
    """The plain and the fused module."""
    model = read(value, store)
    texts = [emit_module(model, EmitOptions(fuse=f, **options)).source for f in (False, True)]
    return [module(text) for text in texts]


def gradient(network: torch.nn.Module, x: list[float]) -> torch.Tensor:
    inputs = torch.tensor(x, dtype=torch.float32).reshape(X).requires_grad_()
    network(inputs).sum().backward()
    assert inputs.grad is not None
    return inputs.grad


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["max_elem", "min_elem"]), TIED, st.booleans()), max_size=3),
    st.lists(TIED, min_size=6, max_size=6),
)
def test_gradients_at_ties_are_those_of_the_graph(
    steps: list[tuple[str, float, bool]], x: list[float]
) -> None:
    nodes: list[Document] = [op("add", [0, 0], X)]
    for kind, bound, first in steps:
        last = len(nodes)
        parents = [last + 1, last] if first else [last, last + 1]
        nodes += [const(X, bound), op(kind, parents, X)]
    plain, fused = both(document(X, *nodes))
    assert torch.equal(gradient(plain, x), gradient(fused, x))


def test_half_of_the_gradient_passes_at_a_bound() -> None:
    nodes = [const(X, 0.0), op("max_elem", [0, 1], X), const(X, 6.0), op("min_elem", [2, 3], X)]
    value = document(X, *nodes)
    assert "v4 = clamp(v0, low=0.0, high=6.0)" in source(value, fuse=True)
    for network in both(value):
        found = gradient(network, [-1.0, 0.0, 1.0, 6.0, 7.0, float("inf")])
        assert found.reshape(-1).tolist() == [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]


def normalised_conv(gamma: float, beta: float = 0.5) -> Document:
    payload = {"weight": [[[2.0, 0.5], [0.0, 0.0]], [[1.0, 1.0], [0.0, 3.0]]], "bias": [1.0, 0.0]}
    norm = {"gamma": [gamma, 1.0], "beta": [beta, 0.5], "mean": [0.0, 0.25], "var": [1.0, 1.0]}
    geometry = {**CONV, "channel_axis": 1}
    return document(
        [1, 2, 3],
        op("conv", [0], [1, 2, 2], **geometry, **payload),
        op("batch_norm_eval", [1], [1, 2, 2], channel_axis=1, channels=2, eps=1e-5, **norm),
    )


@pytest.mark.parametrize(
    ("gamma", "beta", "dtype", "folded"),
    [
        (3e38, 0.5, "float32", False),
        (3e38, 0.5, "float64", True),
        (6e4, 0.5, "float16", False),
        (3e4, 4e4, "float16", False),
        (2.0, 0.5, "float16", True),
    ],
)
def test_a_product_beyond_the_dtype_is_not_folded(
    gamma: float, beta: float, dtype: str, folded: bool
) -> None:
    text = source(normalised_conv(gamma, beta), fuse=True, dtype=dtype)
    assert ("batchnorm" not in text) is folded


def test_a_convolution_of_small_inputs_is_finite_where_the_folded_kernel_is_not() -> None:
    x = torch.full((1, 2, 3), 1e-3)
    plain, fused = both(normalised_conv(3e38))
    assert torch.isfinite(plain(x)).all()
    assert torch.equal(plain(x), fused(x))


@pytest.mark.parametrize(
    ("conv", "norm", "expected"),
    [
        ({"bias": False}, {}, {"conv_2_kernel", "conv_2_bias"}),
        ({"bias": False}, {"beta": False}, {"conv_2_kernel"}),
        (
            {"weight": False, "bias": False},
            {"gamma": False, "beta": False},
            set(),
        ),
        (
            {"weight": False},
            {},
            {"conv_1_bias", "batchnorm_2_gamma", "batchnorm_2_beta"},
        ),
    ],
)
def test_a_folded_batch_norm_learns_what_its_parts_do(
    conv: dict[str, bool], norm: dict[str, bool], expected: set[str]
) -> None:
    value = normalised_conv(2.0)
    value["nodes"][1]["learnable"], value["nodes"][2]["learnable"] = conv, norm
    fused = both(value)[1]
    assert {name for name, _ in fused.named_parameters()} == expected


@pytest.mark.parametrize("learnable", [None, True, False])
def test_a_layer_norm_learns_what_its_consts_do(learnable: bool | None) -> None:
    mark = {} if learnable is None else {"learnable": learnable}
    nodes = [
        op("layernorm", [0], X, axis=1),
        const([3], [1.0, 2.0, 3.0]) | mark,
        op("broadcast_to", [2], X, from_shape=[3], to_shape=X),
        op("mul_elem", [1, 3], X),
        const(X, [4.0, 5.0, 6.0]),
        op("add", [4, 5], X),
    ]
    beta = {"layernorm_6_beta"}
    expected = beta if learnable is False else {*beta, "layernorm_6_gamma"}
    fused = both(document(X, *nodes))[1]
    assert {name for name, _ in fused.named_parameters()} == expected
    fused = both(document(X, *nodes), learnable_consts=False)[1]
    assert not [*fused.named_parameters()]


def attention(bias: np.ndarray[Any, Any]) -> tuple[Document, StoreFile]:
    shape, scores = [1, 3, 4], [1, 3, 3]
    nodes = [
        op("transpose", [0], [1, 4, 3], axis1=1, axis2=2),
        op("matmul", [0, 1], scores),
        op("const", [], scores),
        op("add", [2, 3], scores),
        op("softmax", [4], scores, axis=2),
        op("matmul", [5, 0], shape),
    ]
    entry = Entry(bias.shape, "float64", lambda: bias)
    return document(shape, *nodes), StoreFile("p.npz", {"const_3": entry})


@pytest.mark.parametrize("blocked", [-np.inf])
def test_a_row_that_a_bias_masks_whole_is_no_attention(blocked: float) -> None:
    """PyTorch's attention gives 0 for it, softmax NaN."""
    bias = np.zeros((1, 3, 3))
    bias[0, 0, 1:] = blocked
    plain, fused = both(*attention(bias))
    x = torch.linspace(-1.0, 1.0, 12).reshape(1, 3, 4)
    torch.testing.assert_close(plain(x), fused(x))
    assert "attention" in source_of(bias)
    bias[0, 0] = blocked
    plain, fused = both(*attention(bias))
    assert plain(x)[0, 0].isnan().all()
    torch.testing.assert_close(plain(x), fused(x), equal_nan=True)
    assert "attention" not in source_of(bias)


def source_of(bias: np.ndarray[Any, Any]) -> str:
    return emit_module(read(*attention(bias)), EmitOptions(fuse=True)).source
