"""asinh, acosh and atanh: as near to the true numbers as torch, near 0 and far away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from applied_functions import Function, captured_function, emitted, with_gradient
from onnx_files import check, make_node, save

TINY = np.concatenate([np.logspace(-30, -0.2, 400), np.linspace(0.5, 0.999, 400)])
FUNCTIONS: dict[str, tuple[Function, np.ndarray]] = {
    "asinh": (torch.asinh, np.concatenate([TINY, np.logspace(-0.1, 37, 400), [1.0, 0.0]])),
    "acosh": (torch.acosh, np.concatenate([1.0 + np.logspace(-6, 0, 400), np.logspace(0.3, 37)])),
    "atanh": (torch.atanh, np.concatenate([TINY, 1.0 - np.logspace(-6, -1, 200), [0.0]])),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relative_error_of_values_and_gradients(name: str, dtype: str) -> None:
    function, numbers = FUNCTIONS[name]
    both = numbers if name == "acosh" else np.concatenate([numbers, -numbers])
    x = torch.from_numpy(both).to(getattr(torch, dtype))
    module = emitted(captured_function(function, x), dtype=dtype)
    error = 1e-6 if dtype == "float32" else 1e-10  # torch cancels in gradients near 1
    for found, wanted in zip(
        with_gradient(module, x), with_gradient(function, x.double()), strict=True
    ):
        torch.testing.assert_close(found.double(), wanted, rtol=error, atol=1e-40)


@pytest.mark.parametrize("op", ["Asinh", "Acosh", "Atanh"])
def test_onnx(op: str, tmp_path: Path) -> None:
    nodes = [make_node("Sigmoid", ["x"], ["inner"]), make_node(op, ["inner"], ["y"])]
    if op == "Acosh":
        nodes = [make_node("Exp", ["x"], ["above"]), make_node(op, ["above"], ["y"])]
    check(save(tmp_path / "m.onnx", nodes, [40], 13), [40], positive=True)
