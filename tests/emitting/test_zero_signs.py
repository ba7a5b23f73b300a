"""The sign of a zero, where an `inv` makes an infinity of it. torchlean.ir.v1: 6.6."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from documents import CONV, POOL, Document, const, document, module, op, read, source
from hypothesis import given, settings
from hypothesis import strategies as st

from hatch_irpytorch import EmitOptions, emit_module, evaluate

X = [2, 3]
ZEROS = st.sampled_from([-0.0, 0.0, -0.0, 0.0, 1.0, -1.0])
NUMBERS = st.lists(ZEROS, min_size=6, max_size=6)
UNARY = ("relu", "sqrt", "abs", "sin", "tanh", "detach", "inv", "exp")
BINARY = ("add", "sub", "mul_elem", "max_elem", "min_elem")
SUMS = ("linear", "conv", "matmul", "max_pool", "avg_pool", "reduce_sum", "reduce_mean", "sum")


def summed(kind: str, x: int, numbers: list[float]) -> list[Document]:
    """Nodes of shape X that add up, or choose, among the entries of node `x` of that shape."""
    first = x + 1
    if kind == "linear":
        weight = np.reshape([*numbers, *numbers[:3]], (3, 3)).tolist()
        return [op("linear", [x], X, weight=weight, bias=[-0.0, 0.0, -0.0])]
    if kind == "conv":
        attributes = {**CONV, "padding": [1]}
        weight = np.reshape([*numbers, *numbers[:2]], (2, 2, 2)).tolist()
        return [op("conv", [x], X, **attributes, weight=weight, bias=[-0.0, 0.0])]
    if kind == "matmul":
        matrix = const([3, 3], np.reshape([*numbers, *numbers[:3]], (3, 3)))
        return [matrix, op("matmul", [x, first], X)]
    if kind in ("max_pool", "avg_pool"):
        pool = {**POOL, "kernel": [3], "padding": [1]}
        return [op(kind, [x], X, **pool)]
    if kind == "sum":
        return [op("sum", [x], []), op("broadcast_to", [first], X, from_shape=[], to_shape=X)]
    reduced = op(kind, [x], [3], axes=[0], keepdim=False)
    return [reduced, op("broadcast_to", [first], X, from_shape=[3], to_shape=X)]


@st.composite
def documents(draw: Any) -> Document:
    """Some ops one after the other, each with numbers that are mostly zeros; then `inv`."""
    nodes: list[Document] = []
    for _ in range(draw(st.integers(1, 3))):
        last = len(nodes)
        kind = draw(st.sampled_from([*UNARY, *BINARY, *SUMS]))
        if kind in UNARY:
            nodes.append(op(kind, [last], X))
        elif kind in BINARY:
            other = draw(st.sampled_from([0, last]))
            if draw(st.booleans()):
                nodes.append(const(X, np.reshape(draw(NUMBERS), X)))
                other = len(nodes)
            operands = [last, other] if draw(st.booleans()) else [other, last]
            nodes.append(op(kind, operands, X))
        else:
            nodes += summed(kind, last, draw(NUMBERS))
    return document(X, *nodes, op("inv", [len(nodes)], X))


@settings(max_examples=300, deadline=None)
@given(documents(), NUMBERS, st.booleans())
def test_infinities_have_the_sign_of_the_reference(
    value: Document, numbers: list[float], fuse: bool
) -> None:
    model = read(value)
    x = np.reshape(numbers, X)
    (expected,) = evaluate(model, x)
    options = EmitOptions(dtype="float64", fuse=fuse, training_skeleton=False)
    text = emit_module(model, options).source
    found = module(text)(torch.tensor(x)).detach().numpy()
    infinite = np.isinf(expected)
    np.testing.assert_array_equal(found[infinite], expected[infinite], err_msg=text)


@pytest.mark.parametrize(
    ("kind", "first", "second", "expected"),
    [
        ("max_elem", -0.0, 0.0, np.inf),
        ("max_elem", 0.0, -0.0, np.inf),
        ("max_elem", -0.0, -0.0, -np.inf),
        ("min_elem", -0.0, 0.0, -np.inf),
        ("min_elem", 0.0, -0.0, -np.inf),
        ("min_elem", 0.0, 0.0, np.inf),
    ],
)
def test_of_two_zeros_the_larger_and_the_smaller(
    kind: str, first: float, second: float, expected: float
) -> None:
    value = document([1], const([1], second), op(kind, [0, 1], [1]), op("inv", [2], [1]))
    assert evaluate(read(value), np.array([first]))[0].tolist() == [expected]
    network = module(source(value))
    x = torch.tensor([first], requires_grad=True)
    assert network(x).tolist() == [expected]
    # The gradient of a tie is split, as without `inv`.
    value["output_ids"] = [2, 3]
    network = module(source(value))
    network(x)[0].sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0.5]


@pytest.mark.parametrize("kind", ["relu", "sqrt"])
@pytest.mark.parametrize("x", [-0.0, 0.0, -1.0])
def test_what_is_cut_off_at_zero_is_positive(kind: str, x: float) -> None:
    value = document([1], op(kind, [0], [1]), op("inv", [1], [1]))
    assert evaluate(read(value), np.array([x]))[0].tolist() == [np.inf]
    assert module(source(value))(torch.tensor([x])).tolist() == [np.inf]


def test_only_zeros_that_an_inverse_sees_are_looked_at() -> None:
    square = [op("mul_elem", [0, 0], X), const(X, 1e-5), op("add", [1, 2], X)]
    value = document(X, *square, op("sqrt", [3], X), op("inv", [4], X))
    assert "+ 0.0" not in source(value)
    linear = op("linear", [0], X, weight=np.eye(3).tolist(), bias=[0.0] * 3)
    seen = document(X, linear, op("permute", [1], X, perm=[0, 1]), op("inv", [2], X))
    assert source(seen).count("v1 = v1 + 0.0") == 1
    hidden = document(X, linear, op("exp", [1], X), op("inv", [2], X))
    assert "+ 0.0" not in source(hidden)
    beside = document(X, linear, op("relu", [1], X))
    assert "+ 0.0" not in source(beside)
