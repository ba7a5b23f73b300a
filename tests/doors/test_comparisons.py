"""Signs, comparisons, choices and logic: exact beside torch and ONNX Runtime."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from applied_functions import Function, captured_function, emitted, with_gradient
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_files import check, make_node, outputs, save, session
from onnx_files import generated as generated_onnx
from torch import nn
from torch.nn import functional

from hatch_irpytorch import Model, evaluate
from hatch_irpytorch.capture import from_onnx

COMPARISONS: dict[str, Function] = {
    "eq": lambda x: x[0] == x[1],
    "ne": lambda x: x[0] != x[1],
    "lt": lambda x: x[0] < x[1],
    "le": lambda x: x[0] <= x[1],
    "gt": lambda x: x[0] > x[1],
    "ge": lambda x: x[0] >= x[1],
    "sign": lambda x: torch.sign(x),
    "gt number": lambda x: x > 1.5,
    "below zero": lambda x: x < 0.0,
    "le number": lambda x: x <= -1.5,
}
SPECIAL = [0.0, -0.0, 5e-324, -5e-324, 1e-45, -1e-45, 2.0**-149, 1.5, -1.5, 1e300, 3e38, -3e38]
WIDTH = 8
TYPES: dict[str, Any] = {"float32": np.float32, "float64": np.float64}
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(SPECIAL)


@cache
def module_of(name: str, dtype: str) -> tuple[Model, nn.Module]:
    x = torch.zeros(2, WIDTH, dtype=getattr(torch, dtype))
    model = captured_function(COMPARISONS[name], x)
    return model, emitted(model, dtype=dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", COMPARISONS)
@settings(max_examples=40, deadline=None)
@given(
    x=st.lists(NUMBERS, min_size=WIDTH, max_size=WIDTH),
    beside=st.lists(NUMBERS | st.sampled_from([-1, 0, 1]), min_size=WIDTH, max_size=WIDTH),
)
def test_comparisons_of_any_two_numbers_are_exact(
    name: str, dtype: str, x: list[float], beside: list[float]
) -> None:
    """Of numbers far apart, equal, or next to each other: integers in `beside` are steps."""
    limits = np.finfo(TYPES[dtype])
    left = np.clip(x, limits.min, limits.max).astype(TYPES[dtype])
    steps = np.array([y if isinstance(y, int) else 0 for y in beside])
    with np.errstate(over="ignore"):
        next_to = np.nextafter(left, left + np.sign(steps) * np.float64(limits.max))
    right = np.where([isinstance(y, int) for y in beside], next_to, beside)
    both = np.stack([left, np.clip(right, limits.min, limits.max).astype(TYPES[dtype])])
    given_pair = torch.from_numpy(both)
    model, module = module_of(name, dtype)
    wanted = COMPARISONS[name](given_pair).double().numpy()
    np.testing.assert_array_equal(module(given_pair).double().numpy(), wanted)
    np.testing.assert_array_equal(evaluate(model, both.astype(float))[0], wanted)


def test_the_smallest_and_the_largest_numbers() -> None:
    for dtype, kind in TYPES.items():
        x, y = (part.reshape(-1, WIDTH) for part in np.meshgrid(SPECIAL, SPECIAL))
        with np.errstate(over="ignore"):
            pairs = np.nan_to_num(np.stack([x, y], axis=1).astype(kind))
        for name, function in COMPARISONS.items():
            _, module = module_of(name, dtype)
            for one in torch.from_numpy(pairs):
                np.testing.assert_array_equal(module(one), function(one).to(one.dtype), name)


def test_infinities_and_nan() -> None:
    """An infinity is compared with other numbers; with itself, and NaN, it gives NaN."""
    x = torch.tensor([math.inf, -math.inf, math.nan])
    nan = math.nan
    for function, expected in (
        (lambda x: x > 1.5, [1.0, 0.0, nan]),
        (lambda x: x <= 1.5, [0.0, 1.0, nan]),
        (lambda x: x >= -x, [1.0, 0.0, nan]),
        (lambda x: x == 2 * x, [nan, nan, nan]),
        (torch.sign, [1.0, -1.0, nan]),
    ):
        np.testing.assert_array_equal(emitted(captured_function(function, x))(x), expected)


NUMBER = torch.tensor(0.25)
STEPS = torch.arange(30).reshape(5, 6) / 64
"""Added to halves, so that none are equal: of those that are, torch gives any."""
FUNCTIONS: dict[str, Function] = {
    "where": lambda x: torch.where(x < 0, x * 3, x - 2),
    "where of a number": lambda x: torch.where(x > 1, 7.0, x),
    "where else zero": lambda x: torch.where(x.abs() > 1, x, 0.0),
    "masked fill": lambda x: x.masked_fill(x >= 1, -4.0),
    "put where flagged": lambda x: x.index_put((x >= 1,), NUMBER),
    "put in flagged rows": lambda x: x.index_put((x[:, 0] > 0,), NUMBER * torch.arange(x.shape[1])),
    "put in flagged columns": lambda x: torch.ops.aten.index_put(x, [None, x[0] > 0], NUMBER),
    "masked softmax": lambda x: x.masked_fill(x > 1.5, -math.inf).softmax(-1),
    "and": lambda x: ((x > -1) & (x < 1)) * x,
    "or": lambda x: ((x > 1) | (x < -1)) * x,
    "xor": lambda x: ((x > -1) ^ (x > 1)) * x,
    "not": lambda x: (~(x > 0)) * x,
    "logical": lambda x: torch.logical_xor(x, torch.logical_and(x > 1, x)) * x,
    "sum of flags": lambda x: ((x > -1) + (x > 1)) * x,
    "count": lambda x: (x > 0).sum(-1, keepdim=True) * x,
    "any": lambda x: (x > 1.9).any(-1, keepdim=True) * x,
    "all": lambda x: torch.all(x > -1.9, dim=0) * x,
    "any of reals": lambda x: x.relu().any(dim=1, keepdim=True) * x,
    "topk": lambda x: torch.topk(x + STEPS, 3)[0],
    "topk of the smallest": lambda x: torch.topk(x + STEPS, 2, 0, largest=False)[0],
    "places of topk": lambda x: torch.topk(x + STEPS, 2)[1] * x[:, :2],
    "heaviside": lambda x: torch.heaviside(x, NUMBER),
    "threshold": lambda x: functional.threshold(x, 0.4, -9.0),
    "softplus with a corner": lambda x: functional.softplus(x, 2.0, 1.0),
    "softplus written out": lambda x: torch.where(
        8 * x > 20, 8 * x, torch.log(1 + torch.exp(8 * x))
    ),
    "log1p of exp": lambda x: torch.log1p((x * 8).exp()),
    "hardshrink": lambda x: functional.hardshrink(x, 0.8),
    "times its size": lambda x: x.sign() * x.square(),
    "clamp by tensors": lambda x: torch.clamp(x, min=NUMBER, max=x.square() + 0.3),
    "max of two": lambda x: torch.max(x, x.flip(0)) + torch.min(x, NUMBER),
    "argmax": lambda x: x.argmax(-1),
    "argmin of all": lambda x: x.argmin(),
    "positions": lambda x: x.max(1, keepdim=True).indices * x,
    "one hot": lambda x: (x.argmax(1, keepdim=True) == torch.arange(6)) * x,
}
X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)).mul(4).round().div(2)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_compare(name: str) -> None:
    """On halves, so that ties and zeros are among them."""
    function = FUNCTIONS[name]
    model = captured_function(function, X)
    module = emitted(model)
    wanted = function(X).float()
    torch.testing.assert_close(module(X), wanted, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(evaluate(model, X.numpy())[0], wanted, rtol=1e-6, atol=1e-6)


SMOOTH = X + 0.1 * torch.rand(5, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - {"argmax", "argmin of all", "heaviside"}))
def test_gradients_pass_as_in_torch(name: str) -> None:
    function = FUNCTIONS[name]
    module = emitted(captured_function(function, SMOOTH))
    wanted, slope = with_gradient(function, SMOOTH)
    found, gradient = with_gradient(module, SMOOTH)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, slope, rtol=1e-5, atol=1e-5)


def test_what_is_compared_gets_no_gradient() -> None:
    model = captured_function(lambda x: (x > 0) * 1.0, X)
    assert not emitted(model)(X.clone().requires_grad_()).requires_grad


def test_notes_tell_what_is_not_finite_and_what_is_real() -> None:
    notes = captured_function(lambda x: torch.where(x > 0, x, x.exp()).argmax(), X).notes
    assert sorted(note.code for note in notes) == ["as-reals", "finite-only", "finite-only"]


FLAG = TensorProto.BOOL
NODES: dict[str, tuple[list[Any], int]] = {
    "Greater": ([make_node("Greater", ["x", "c"], ["f"])], 13),
    "Less": ([make_node("Less", ["x", "c"], ["f"])], 13),
    "GreaterOrEqual": ([make_node("GreaterOrEqual", ["x", "c"], ["f"])], 16),
    "LessOrEqual": ([make_node("LessOrEqual", ["x", "c"], ["f"])], 16),
    "Equal": ([make_node("Equal", ["x", "c"], ["f"])], 13),
}
LOGIC = ["And", "Or", "Xor", "Not"]
C = np.array([0.5, -0.5, 0.0, 1.0], dtype=np.float32)


def halves(path: Path, shape: list[int]) -> None:
    """The file equals ONNX Runtime on halves, bit by bit."""
    x = np.random.default_rng(3).integers(-3, 4, shape).astype(np.float32) / 2
    model = from_onnx(path)
    for expected, found in zip(
        session(path).run(None, {"x": x}), outputs(generated_onnx(model), x), strict=True
    ):
        np.testing.assert_array_equal(found, expected.astype(np.float32))


@pytest.mark.parametrize("op", NODES)
def test_onnx_comparisons(tmp_path: Path, op: str) -> None:
    nodes, opset = NODES[op]
    chosen = make_node("Where", ["f", "x", "n"], ["y"])
    constants = {"c": C, "n": np.array([9.0], dtype=np.float32)}
    halves(save(tmp_path / "m.onnx", [*nodes, chosen], [3, 4], opset, constants), [3, 4])


@pytest.mark.parametrize("op", LOGIC)
def test_onnx_logic(tmp_path: Path, op: str) -> None:
    parts = [make_node("Greater", ["x", "c"], ["p"]), make_node("Less", ["x", "z"], ["q"])]
    logic = make_node(op, ["p", "q"] if op != "Not" else ["p"], ["f"])
    nodes = [*parts, logic, make_node("Cast", ["f"], ["y"], to=TensorProto.FLOAT)]
    constants = {"c": C, "z": np.zeros((), dtype=np.float32)}
    halves(save(tmp_path / "m.onnx", nodes, [3, 4], 13, constants), [3, 4])


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("Sign", {}),
        ("ThresholdedRelu", {}),
        ("ThresholdedRelu", {"alpha": 0.5}),
        ("Shrink", {}),
        ("Shrink", {"lambd": 1.0, "bias": 0.25}),
        ("Shrink", {"lambd": 0.0, "bias": -1.0}),
    ],
)
def test_onnx_functions_of_one_number(tmp_path: Path, op: str, attributes: dict[str, Any]) -> None:
    path = save(tmp_path / "m.onnx", [make_node(op, ["x"], ["y"], **attributes)], [3, 4], 13)
    halves(path, [3, 4])


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("attributes", [{}, {"axis": -1, "keepdims": 0}, {"select_last_index": 1}])
def test_onnx_positions(tmp_path: Path, op: str, attributes: dict[str, Any]) -> None:
    found = make_node(op, ["x"], ["p"], **attributes)
    nodes = [found, make_node("Cast", ["p"], ["y"], to=TensorProto.FLOAT)]
    halves(save(tmp_path / "m.onnx", nodes, [4, 5], 13), [4, 5])


@pytest.mark.parametrize("attributes", [{}, {"axis": 0, "largest": 0, "sorted": 1}])
def test_onnx_largest_entries(tmp_path: Path, attributes: dict[str, Any]) -> None:
    nodes = [
        make_node("TopK", ["x", "k"], ["v", "p"], **attributes),
        make_node("Cast", ["p"], ["places"], to=TensorProto.FLOAT),
        make_node("Mul", ["v", "places"], ["y"]),
    ]
    check(save(tmp_path / "m.onnx", nodes, [4, 5], 13, {"k": np.array([3])}), [4, 5])


def test_an_onnx_output_of_flags_is_given_as_reals(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    y = helper.make_tensor_value_info("y", FLAG, [4])
    graph = helper.make_graph([make_node("Greater", ["x", "x"], ["y"])], "graph", [x], [y])
    path = tmp_path / "m.onnx"
    path.write_bytes(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8
        ).SerializeToString()
    )
    halves(path, [4])
    assert "as-reals" in [note.code for note in from_onnx(path).notes]


def test_clip_by_tensors(tmp_path: Path) -> None:
    nodes = [
        make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        make_node("Sub", ["top", "one"], ["hi"]),
        make_node("Clip", ["x", "lo", "hi"], ["y"]),
    ]
    numbers = {"lo": -0.5, "one": 1.0}
    stored = {name: np.array(number, dtype=np.float32) for name, number in numbers.items()}
    check(save(tmp_path / "m.onnx", nodes, [3, 4], 13, stored), [3, 4])
