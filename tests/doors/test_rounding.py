"""Rounding, division that rounds, and quantizing: beside torch and ONNX Runtime."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from applied_functions import Function, captured_function, emitted, with_gradient
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx_files import generated as generated_onnx
from onnx_files import make_node, outputs, save, session
from torch import nn

from hatch_irpytorch import Model, evaluate
from hatch_irpytorch.capture import from_onnx, from_torch
from hatch_irpytorch.errors import IRPyTorchError


def cut(x: torch.Tensor, low: float = -40.0, high: float = 40.0) -> torch.Tensor:
    return x.clamp(low, high)


DIVISORS = torch.tensor([0.25, -3.0, 7.0, -0.5] * 4)
FUNCTIONS: dict[str, Function] = {
    "floor": lambda x: torch.floor(cut(x)),
    "floor of few": lambda x: torch.floor(cut(x, -0.5, 0.25)),
    "ceil": lambda x: torch.ceil(cut(x)),
    "round": lambda x: torch.round(cut(x)),
    "round from odd": lambda x: torch.round(cut(x, -7.0, 13.0)),
    "round of many": lambda x: torch.round(cut(x * 32.0, -1500.0, 1501.0)),
    "round to tens": lambda x: torch.round(cut(x), decimals=-1),
    "trunc": lambda x: torch.trunc(cut(x)),
    "fix": lambda x: torch.fix(cut(x, -33.5, 2.0)),
    "frac": lambda x: torch.frac(cut(x)),
    "floor divide": lambda x: torch.floor_divide(cut(x), 3.0),
    "floor divide by negative": lambda x: torch.floor_divide(cut(x), -2.5),
    "div floor": lambda x: torch.div(cut(x), 0.75, rounding_mode="floor"),
    "div trunc": lambda x: torch.div(cut(x), -3.0, rounding_mode="trunc"),
    "remainder": lambda x: torch.remainder(cut(x), 3.0),
    "remainder of negative": lambda x: torch.remainder(cut(x), -1.5),
    "fmod": lambda x: torch.fmod(cut(x), 3.0),
    "floor divide by several": lambda x: torch.floor_divide(cut(x), DIVISORS),
    "div trunc by several": lambda x: torch.div(cut(x), DIVISORS, rounding_mode="trunc"),
    "remainder of several": lambda x: torch.remainder(cut(x), DIVISORS),
    "fmod of several": lambda x: torch.fmod(cut(x), DIVISORS),
    "to integers": lambda x: cut(x).long().float(),
    "integers divided": lambda x: (cut(x).int() // 3).float(),
    "fake quantize": lambda x: torch.fake_quantize_per_tensor_affine(x, 0.25, 3, 0, 255),
}
WIDTH = 16
HALVES = st.integers(-90, 90).map(lambda n: n / 2.0)
NUMBERS = HALVES | st.floats(-50.0, 50.0, width=32) | st.sampled_from([-0.0, 1e-45, -1e-45, 3e38])
STEPS = st.sampled_from([-1, 0, 0, 1])


@cache
def module_of(name: str) -> tuple[Model, nn.Module]:
    model = captured_function(FUNCTIONS[name], torch.zeros(WIDTH))
    return model, emitted(model)


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=30, deadline=None)
@given(
    numbers=st.lists(NUMBERS, min_size=WIDTH, max_size=WIDTH),
    steps=st.lists(STEPS, min_size=WIDTH, max_size=WIDTH),
)
def test_rounding_is_exact_at_ties_and_next_to_them(
    name: str, numbers: list[float], steps: list[int]
) -> None:
    x, far = np.array(numbers, np.float32), np.float32(3.4e38)
    x = np.where(np.array(steps) == 0, x, np.nextafter(x, np.where(np.array(steps) > 0, far, -far)))
    model, module = module_of(name)
    wanted = FUNCTIONS[name](torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(module(torch.from_numpy(x)).numpy(), wanted)
    np.testing.assert_allclose(evaluate(model, x.astype(float))[0], wanted, atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_gradient_is_that_of_torch(name: str) -> None:
    x = torch.linspace(-30.3, 31.7, WIDTH)
    try:
        wanted = with_gradient(FUNCTIONS[name], x)[1]
    except RuntimeError:
        wanted = torch.zeros(WIDTH)
    _, module = module_of(name)
    given_x = x.clone().requires_grad_()
    y = module(given_x)
    found = torch.zeros(WIDTH)
    if y.requires_grad:
        (gradient,) = torch.autograd.grad(y.sum(), given_x, allow_unused=True)
        found = found if gradient is None else gradient
    torch.testing.assert_close(found, wanted)


BOUNDED: dict[str, Function] = {
    "sigmoid": lambda x: torch.round(torch.sigmoid(x) * 7.0),
    "tanh": lambda x: torch.floor(torch.tanh(x) * 9.0 + 0.3),
    "softmax": lambda x: torch.ceil(torch.softmax(x, 0) * 20.0),
    "waves": lambda x: torch.round(5.0 * torch.sin(x) - 3.0 * torch.cos(x)),
    "relu6": lambda x: torch.floor(nn.functional.relu6(x)),
    "square": lambda x: torch.floor(torch.clamp(x, -3, 3) ** 2),
    "sum": lambda x: torch.floor(torch.sigmoid(x).sum() * 4.0),
    "product": lambda x: torch.floor(torch.tanh(x) @ torch.arange(16.0)),
    "mean": lambda x: torch.floor(torch.tanh(x).mean() * 50.0),
    "divided": lambda x: torch.floor(3.0 / (torch.sigmoid(x) + 0.2)),
    "exp": lambda x: torch.floor(torch.exp(torch.tanh(x)) * 3.0),
    "pool": lambda x: torch.floor(
        nn.functional.avg_pool1d(x.clamp(1.0, 30.0).reshape(1, 1, -1), 3, 2, 1)
    ),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_intervals_of_real_values_hold(name: str) -> None:
    module = emitted(captured_function(BOUNDED[name], torch.zeros(WIDTH)))
    generator = torch.Generator().manual_seed(0)
    for scale in (0.1, 1.0, 10.0, 1000.0):
        x = torch.randn(WIDTH, generator=generator) * scale
        torch.testing.assert_close(module(x), BOUNDED[name](x), rtol=0.0, atol=0.0)


REFUSED: dict[str, tuple[Function, str]] = {
    "unbounded": (torch.floor, "from -inf to inf: clamp them before"),
    "half bounded": (lambda x: torch.trunc(x.relu()), "from 0 to inf"),
    "too many": (lambda x: torch.round(x.clamp(0, 1e9)), "to at most 4,194,304 steps"),
    "rounded steps": (lambda x: torch.remainder(x.clamp(0, 9), 0.1), "which are rounded"),
    "by zero": (lambda x: torch.fmod(x.clamp(0, 9), 0.0), "a division by 0"),
    "by one of several zeros": (
        lambda x: torch.fmod(x.clamp(0, 9), torch.arange(16.0)),
        "a division by 0",
    ),
    "by the input": (lambda x: torch.fmod(x.clamp(0, 9), x), "a divisor that depends on"),
    "infinite": (lambda x: torch.isinf(x.exp()).float(), "nothing bounds"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_is_refused_with_its_range(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(IRPyTorchError, match=message):
        captured_function(function, torch.zeros(WIDTH))


def test_bounded_values_are_no_nan() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(x)
        kept = torch.where(torch.isnan(y), torch.zeros(()), y)
        return torch.where(torch.isinf(y), torch.ones(()), kept)

    module = emitted(captured_function(function, torch.zeros(4)))
    x = torch.linspace(-3, 3, 4)
    torch.testing.assert_close(module(x), function(x))


def test_channels_of_their_own_scales() -> None:
    scales, zeros = torch.tensor([0.5, 0.25, 2.0]), torch.tensor([0, 3, -7], dtype=torch.int32)

    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.fake_quantize_per_channel_affine(x, scales, zeros, 1, -8, 7)

    module = emitted(captured_function(function, torch.zeros(2, 3, 40)))
    x = torch.linspace(-30.1, 30.3, 240).reshape(40, 2, 3).permute(1, 2, 0)
    wanted, gradient = with_gradient(function, x)
    found, own = with_gradient(module, x)
    torch.testing.assert_close(found, wanted, rtol=0.0, atol=0.0)
    torch.testing.assert_close(own, gradient)


def test_weights_that_are_quantized_in_training() -> None:
    class Quantized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.linear = nn.Linear(6, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            quantize = torch.fake_quantize_per_tensor_affine
            weight = quantize(self.linear.weight, 0.0625, 0, -8, 7)
            return nn.functional.linear(quantize(x, 0.5, 8, 0, 15), weight, self.linear.bias)

    module, x = Quantized(), torch.linspace(-5.3, 5.1, 18).reshape(3, 6)
    model = from_torch(module, x)
    made = emitted(model)
    torch.testing.assert_close(made(x), module(x), rtol=0.0, atol=1e-6)
    made(x).sum().backward()
    module(x).sum().backward()
    gradients = {tuple(p.shape): p.grad for p in made.parameters()}
    wanted = module.linear.weight.grad
    assert wanted is not None
    found = gradients.get((4, 6))
    torch.testing.assert_close(found, wanted)


CLIP = [make_node("Clip", ["x", "low", "high"], ["cut"])]
NODES: dict[str, list[onnx.NodeProto]] = {
    "Floor": [*CLIP, make_node("Floor", ["cut"], ["y"])],
    "Ceil": [*CLIP, make_node("Ceil", ["cut"], ["y"])],
    "Round": [*CLIP, make_node("Round", ["cut"], ["y"])],
    "Mod": [*CLIP, make_node("Mod", ["cut", "three"], ["y"], fmod=1)],
    "Mod by columns": [*CLIP, make_node("Mod", ["cut", "columns"], ["y"], fmod=1)],
    "Cast": [
        *CLIP,
        make_node("Cast", ["cut"], ["whole"], to=TensorProto.INT64),
        make_node("Mod", ["whole", "seven"], ["left"]),
        make_node("Cast", ["left"], ["y"], to=TensorProto.FLOAT),
    ],
    "Quantize": [
        make_node("QuantizeLinear", ["x", "scale", "zero"], ["few"]),
        make_node("DequantizeLinear", ["few", "scale", "zero"], ["y"]),
    ],
    "Quantize channels": [
        make_node("QuantizeLinear", ["x", "scales", "zeros"], ["few"], axis=1),
        make_node("DequantizeLinear", ["few", "scales", "zeros"], ["y"], axis=1),
    ],
    "IsInf": [
        *CLIP,
        make_node("IsInf", ["cut"], ["flags"]),
        make_node("Where", ["flags", "three", "cut"], ["y"]),
    ],
}
NUMBERS_OF_FILES = {
    "low": np.float32(-20.0),
    "high": np.float32(21.5),
    "three": np.float32(3.0),
    "seven": np.int64(7),
    "columns": np.array([[3.0], [-0.75], [5.0], [-2.0]], np.float32),
    "scale": np.float32(0.25),
    "zero": np.uint8(100),
    "scales": np.array([0.5, 0.125, 2.0, 1.0], np.float32),
    "zeros": np.array([0, -5, 7, 1], np.int8),
}


@pytest.mark.parametrize("name", NODES)
def test_onnx_nodes_are_those_of_onnx_runtime(name: str, tmp_path: Path) -> None:
    read = {given_name for node in NODES[name] for given_name in node.input}
    path = save(
        tmp_path / "file.onnx",
        NODES[name],
        [4, 4, 40],
        21,
        {key: np.asarray(value) for key, value in NUMBERS_OF_FILES.items() if key in read},
    )
    x = np.arange(-320, 320, dtype=np.float32).reshape(4, 40, 4).transpose(0, 2, 1) / 8.0
    x = np.ascontiguousarray(x)
    model = from_onnx(path)
    (wanted,) = session(path).run(None, {"x": x})
    np.testing.assert_array_equal(outputs(generated_onnx(model), x)[0], wanted)
    np.testing.assert_array_equal(evaluate(model, x.astype(float))[0], wanted)


@pytest.mark.parametrize("divisors", [2.5, -3.0, [[3.0], [-0.75]]], ids=str)
def test_remainders_of_real_numbers_in_onnx(divisors: Any, tmp_path: Path) -> None:
    """NumPy stands for ONNX Runtime, which has no opset 28 yet."""
    nodes = [*CLIP, make_node("Mod", ["cut", "by"], ["y"])]
    constants = {"low": np.float32(-20.0), "high": np.float32(21.5), "by": np.float32(divisors)}
    path = tmp_path / "file.onnx"
    save(path, nodes, [2, 40], 28, {key: np.asarray(value) for key, value in constants.items()})
    x = (np.arange(-80, 80, 2, dtype=np.float32) / 4.0).reshape(2, 40)
    (found,) = outputs(generated_onnx(from_onnx(path)), x)
    np.testing.assert_array_equal(found, np.mod(x, np.float32(divisors)))
    save(path, nodes, [2, 40], 21, {key: np.asarray(value) for key, value in constants.items()})
    with pytest.raises(IRPyTorchError, match="numbers that are not integers"):
        from_onnx(path)
