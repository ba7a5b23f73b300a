"""Powers of both signs and of 0, by every kind of exponent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from applied_functions import captured_function, emitted, with_gradient
from onnx_files import generated, make_node, outputs, save, session

from hatch_irpytorch import IRPyTorchError, evaluate
from hatch_irpytorch.capture import from_onnx

SIGNED = torch.tensor([-2.0, -1.5, -0.5, 0.0, 0.25, 1.0, 1.25, 3.0])
EXPONENTS = [1.0, 2.0, 3.0, 5.0, 64.0, 65.0, 101.0, -1.0, -2.0, -3.0]


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_whole_powers_of_numbers_of_both_signs(exponent: float) -> None:
    model = captured_function(lambda x: x**exponent, SIGNED)
    module = emitted(model, dtype="float64")
    wanted, slope = with_gradient(lambda x: x**exponent, SIGNED.double())
    found, gradient = with_gradient(module, SIGNED.double())
    torch.testing.assert_close(found, wanted, rtol=1e-13, atol=0.0)
    known = torch.isfinite(slope)
    torch.testing.assert_close(gradient[known], slope[known], rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("exponent", [0.5, 1.5, 0.3, 0.75, 1.1, 2.7, 70.25, -0.3, -0.5, -1.7])
def test_other_powers_of_0_and_above(exponent: float) -> None:
    x = torch.tensor([0.0, 1e-20, 0.2, 1.0, 1.3, 2.0])
    model = captured_function(lambda x: x**exponent, x)
    wanted = x.double() ** exponent
    torch.testing.assert_close(emitted(model)(x).double(), wanted, rtol=3e-5, atol=1e-12)
    np.testing.assert_allclose(evaluate(model, x.double().numpy())[0], wanted, rtol=1e-7)
    inner = x[2:].double()
    _, slope = with_gradient(lambda x: x**exponent, inner)
    module = emitted(captured_function(lambda x: x**exponent, inner), dtype="float64")
    _, gradient = with_gradient(module, inner)
    torch.testing.assert_close(gradient, slope, rtol=1e-12, atol=0.0)


def test_other_powers_of_what_is_below_0_are_no_number() -> None:
    model = captured_function(lambda x: x**0.3, SIGNED)
    assert emitted(model)(SIGNED)[:3].isnan().all()
    with pytest.raises(IRPyTorchError, match="log"):
        evaluate(model, SIGNED.double().numpy())


ROWS = {
    "one to three": [1.0, 2.0, 3.0],
    "with others": [-1.0, 0.0, 2.5],
    "a column": [[2.0], [3.0]],
    "a table": [[1.0, 2.0, 3.0], [4.0, 0.5, -2.0]],
    "beyond 64": [100.0, 2.0, 101.0],
    "all alike": [3.0, 3.0, 3.0],
}


@pytest.mark.parametrize("name", ROWS)
def test_an_exponent_for_each_entry(tmp_path: Path, name: str) -> None:
    """Also of numbers whose other powers would not be finite."""
    exponents = np.array(ROWS[name], dtype=np.float32)
    node = make_node("Pow", ["x", "e"], ["y"])
    path = save(tmp_path / "m.onnx", [node], [2, 3], 15, {"e": exponents})
    model = from_onnx(path)
    for rows in ([[-2, -2, 2], [1.5, 0.5, 3]], [[-1e25, -3, 0.5], [-1.5, 4, -1]]):
        given = np.array(rows, dtype=np.float32)
        given = np.where((exponents % 1 != 0) & (given < 0), -given, given)
        (expected,) = session(path).run(None, {"x": given})
        expected = np.where(np.isnan(expected), 0.0, expected)
        (found,) = outputs(generated(model), given)
        np.testing.assert_allclose(found, expected, rtol=2e-5)
    x = torch.tensor([[-2.0, -2, 2], [1.5, 0.5, 3]]).abs()
    table = torch.from_numpy(exponents)
    captured = captured_function(lambda x: torch.pow(x, table), x)
    torch.testing.assert_close(emitted(captured)(x), x**table, rtol=2e-5, atol=0.0)


def test_powers_of_constants_and_of_values() -> None:
    x = torch.tensor([-1.5, 0.0, 0.5, 2.0])
    found = emitted(captured_function(lambda x: 2.5**x, x))(x)
    torch.testing.assert_close(found, 2.5**x)
    found = emitted(captured_function(lambda x: (x.abs() + 1) ** x, x))(x)
    torch.testing.assert_close(found, (x.abs() + 1) ** x)
    with pytest.raises(IRPyTorchError, match="a power of a number that is not positive"):
        captured_function(lambda x: (-2.0) ** x, x)


def test_too_many_different_exponents_some_of_them_whole() -> None:
    many = torch.arange(65.0)
    with pytest.raises(IRPyTorchError, match="65 different exponents, some of them whole"):
        captured_function(lambda x: torch.pow(x, many), torch.ones(65))
    x, others = many + 1, many / 65 + 0.001
    found = emitted(captured_function(lambda x: torch.pow(x, others), x))(x)
    torch.testing.assert_close(found, x**others, rtol=1e-5, atol=0.0)
