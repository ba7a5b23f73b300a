"""Changes of dtype: passed over where they change no number, refused where they round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from applied_functions import Function, captured_function, emitted
from onnx import TensorProto
from onnx_files import generated, make_node, outputs, save, session
from torch import Tensor, nn

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.capture import from_onnx, from_torch

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).mul(2)

PASSED: dict[str, Function] = {
    "wider and back": lambda x: x.double().exp().float(),
    "sum in float64": lambda x: x.sum(-1, dtype=torch.float64).float(),
    "flags in half precision": lambda x: (x > 0).half() * x,
    "flags in bfloat16": lambda x: (x > 0).bfloat16().float() * x,
    "flags as integers": lambda x: (x > 0).long().sum(-1, keepdim=True) * x,
    "positions in half precision": lambda x: x.argmax(-1, keepdim=True).half().float() * x,
    "to bool": lambda x: x.relu().bool() * x,
    "an integer fill": lambda x: torch.full_like(x, 2.7, dtype=torch.int64) * x,
    "one hot": lambda x: nn.functional.one_hot(x.argmax(-1), 5) * x,
    "exact constants": lambda x: torch.tensor([0.5, 2.0, 1.0, 0.25, 8.0]).half().float() * x,
    "its own": lambda x: x.to(torch.float32) + x.to("cpu"),
}


@pytest.mark.parametrize("name", PASSED)
def test_what_changes_no_number_is_passed_over(name: str) -> None:
    function = PASSED[name]
    found = emitted(captured_function(function, X))(X)
    torch.testing.assert_close(found, function(X).float(), rtol=2e-6, atol=2e-6)


def autocast(x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return (x @ x.T).float()


REFUSED: dict[str, tuple[Function, str]] = {
    "half and back": (lambda x: x.half().float(), "a rounding to float16"),
    "bfloat16 and back": (lambda x: x.bfloat16().float() * 2, "a rounding to bfloat16"),
    "autocast": (autocast, "a rounding to bfloat16"),
    "mean in half precision": (lambda x: x.mean(-1, dtype=torch.float16), "rounding to float16"),
    "integers": (lambda x: x.long() * x, "rounding of numbers from"),
    "sum as integers": (lambda x: x.sum(-1, dtype=torch.int32), "int32 of numbers that may not"),
    "positions beyond half precision": (
        lambda x: (x.argmax(-1, keepdim=True) * 1000).half() * x,
        "a rounding to float16",
    ),
    "counts beyond a byte": (
        lambda x: ((x > 0).sum(-1, keepdim=True) * 100).to(torch.int8) * x,
        "whole numbers from 0 to 500 in int8",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_rounds_is_refused(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(IRPyTorchError, match=message):
        captured_function(function, X)


def test_float64_rounded_to_float32_is_refused() -> None:
    with pytest.raises(IRPyTorchError, match="a rounding to float32"):
        captured_function(lambda x: x.float().double() * 3, X.double())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_module_of_half_precision_keeps_its_own_dtype(dtype: torch.dtype) -> None:
    """Sums in float32 and back are how such modules are written."""
    net = nn.Sequential(nn.Linear(5, 3), nn.LayerNorm(3)).to(dtype)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.net(x).float()
            return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-6)).to(dtype)

    model = from_torch(Net(), X.to(dtype))
    assert "other-dtype" in [note.code for note in model.notes]
    expected = Net().float()
    net.float()
    rounded = X.to(dtype).float()
    torch.testing.assert_close(
        emitted(model)(rounded), expected(rounded).to(dtype).float(), rtol=2e-2, atol=2e-2
    )


def file(path: Path, target: Any, like: bool, before: list[Any], opset: int = 18) -> Path:
    """The input through `before`, converted, and converted back to float32."""
    given = before[-1].output[0] if before else "x"
    constants = {"one": np.ones((), dtype=np.float32)}
    if like:
        constants["t"] = np.ones(1, dtype=target)
        cast = make_node("CastLike", [given, "t"], ["c"])
    else:
        kind = {np.int64: TensorProto.INT64, np.bool_: TensorProto.BOOL}
        kind |= {np.float16: TensorProto.FLOAT16, np.float64: TensorProto.DOUBLE}
        cast = make_node("Cast", [given], ["c"], to=kind[target])
    nodes = [*before, cast, make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT)]
    return save(path / "m.onnx", nodes, [6], opset, constants)


FLAGS = [make_node("Greater", ["x", "one"], ["f"])]
NUMBERS = np.array([1.7, -1.7, 0.3, 0.0, 1.0, 2.0], dtype=np.float32)


@pytest.mark.parametrize("like", [True, False])
@pytest.mark.parametrize(
    ("target", "before", "message"),
    [
        (np.int64, [], "rounding of numbers from"),
        (np.int64, FLAGS, ""),
        (np.bool_, [], ""),
        (np.float16, [], "a rounding to float16"),
        (np.float16, FLAGS, ""),
        (np.float64, [], ""),
    ],
)
def test_onnx(tmp_path: Path, target: Any, like: bool, before: list[Any], message: str) -> None:
    path = file(tmp_path, target, like, before)
    if message:
        with pytest.raises(IRPyTorchError, match=message):
            from_onnx(path)
        return
    (expected,) = session(path).run(None, {"x": NUMBERS})
    np.testing.assert_array_equal(outputs(generated(from_onnx(path)), NUMBERS)[0], expected)


def test_onnx_divides_integers_not_as_reals(tmp_path: Path) -> None:
    two = np.full((), 2, dtype=np.int64)
    nodes = [
        make_node("ArgMax", ["x"], ["p"], axis=0),
        make_node("Div", ["p", "two"], ["h"]),
        make_node("Cast", ["h"], ["y"], to=TensorProto.FLOAT),
    ]
    path = save(tmp_path / "m.onnx", nodes, [6], 13, {"two": two})
    x = np.array([0, 1, 2, 5, 3, 4], np.float32)
    (expected,) = session(path).run(None, {"x": x})
    np.testing.assert_array_equal(outputs(generated(from_onnx(path)), x)[0], expected)
    assert expected.tolist() == [1.0]
