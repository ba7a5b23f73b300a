"""asin, acos and atan: how near to torch, where they begin and end, by both doors."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from applied_functions import Function, captured_function, emitted, with_gradient
from onnx_files import check, make_node, save

from hatch_irpytorch import evaluate

WITHIN = torch.linspace(-0.999, 0.999, 20_001)
ANYWHERE = torch.cat([torch.linspace(-50, 50, 20_001), torch.logspace(-30, 18, 400)])
FUNCTIONS: dict[str, tuple[Function, torch.Tensor]] = {
    "asin": (torch.asin, WITHIN),
    "acos": (torch.acos, WITHIN),
    "atan": (torch.atan, ANYWHERE),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_float32_module_is_as_near_as_torch_is(name: str) -> None:
    function, x = FUNCTIONS[name]
    found, gradient = with_gradient(emitted(captured_function(function, x)), x)
    wanted, slopes = with_gradient(function, x.double())
    torch.testing.assert_close(found.double(), wanted, rtol=3e-7, atol=3e-7)
    torch.testing.assert_close(gradient.double(), slopes, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_in_float64_the_polynomial_itself_is_what_differs(name: str) -> None:
    function, x = FUNCTIONS[name][0], FUNCTIONS[name][1].double()
    model = captured_function(function, x)
    found, gradient = with_gradient(emitted(model, dtype="float64"), x)
    wanted, slopes = with_gradient(function, x)
    torch.testing.assert_close(found, wanted, rtol=2e-13, atol=4e-13 if name == "acos" else 0.0)
    torch.testing.assert_close(gradient, slopes, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(evaluate(model, x.numpy())[0], found.numpy(), rtol=1e-14)


def test_digits_are_kept_where_results_are_small() -> None:
    x = torch.logspace(-37, 0, 400)
    for function in (torch.asin, torch.atan):
        found = emitted(captured_function(function, x))(x).double()
        torch.testing.assert_close(found, function(x.double()), rtol=4e-7, atol=0.0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_ends(name: str) -> None:
    x = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64)
    function = FUNCTIONS[name][0]
    found = emitted(captured_function(function, x), dtype="float64")(x)
    torch.testing.assert_close(found, function(x), rtol=0.0, atol=1e-12)


def test_atan_of_what_is_huge_or_infinite() -> None:
    x = torch.tensor([3e38, -3e38, math.inf, -math.inf])
    found = emitted(captured_function(torch.atan, x))(x)
    torch.testing.assert_close(found, torch.atan(x), rtol=1e-7, atol=0.0)


def test_what_is_approximated_is_noted() -> None:
    model = captured_function(torch.acos, WITHIN)
    assert [note.code for note in model.notes] == ["approximated"]


@pytest.mark.parametrize("op", ["Asin", "Acos", "Atan"])
def test_an_onnx_node(op: str, tmp_path: Path) -> None:
    nodes = [make_node("Tanh", ["x"], ["t"]), make_node(op, ["t"], ["y"])]
    check(save(tmp_path / "arc.onnx", nodes, [5, 8], 13), [5, 8])
