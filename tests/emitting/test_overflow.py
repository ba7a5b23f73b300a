"""Numbers beyond the dtype of a module are errors; what stands for an infinity may be printed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from documents import namespace
from torch import nn

from hatch_irpytorch import EmitOptions, IRPyTorchError, emit_module
from hatch_irpytorch.capture import from_torch
from hatch_irpytorch.capture.files import write_captured
from hatch_irpytorch.ir.graph import Model

Dtype = Literal["float64", "float32", "float16", "bfloat16"]
Weights = Literal["inline", "safetensors"]


def scaled(factor: float) -> Model:
    layer = nn.Linear(2, 2).double()
    with torch.no_grad():
        layer.weight[1, 0] = factor
    return from_torch(layer, torch.ones(1, 2, dtype=torch.float64))


@pytest.mark.parametrize(
    ("number", "dtype"),
    [(1e300, "float32"), (-1e39, "float32"), (65520.0, "float16"), (3.4e38, "bfloat16")],
)
@pytest.mark.parametrize("weights", ["inline", "safetensors"])
def test_a_number_beyond_the_dtype_is_an_error(
    number: float, dtype: Dtype, weights: Weights
) -> None:
    options = EmitOptions(dtype=dtype, weights=weights)
    with pytest.raises(IRPyTorchError) as caught:
        emit_module(scaled(number), options)
    (problem,) = caught.value.problems
    assert problem.code == "overflow" and problem.place.node == 1
    assert problem.message == f"`linear_1_W` holds {number!r}, which {dtype} does not"


@pytest.mark.parametrize(
    ("number", "dtype"),
    [(1e300, "float64"), (3.4e38, "float32"), (65504.0, "float16"), (3.3e38, "bfloat16")],
)
def test_a_number_within_the_dtype_is_none(number: float, dtype: Dtype) -> None:
    source = emit_module(scaled(number), EmitOptions(dtype=dtype)).source
    assert "inf" not in source


class Masked(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x + torch.full((2, 2), -torch.inf).triu(1), dim=-1)


def test_a_mask_in_half_precision_is_infinite_as_its_source_is() -> None:
    model = from_torch(Masked(), torch.zeros(2, 2))
    source = emit_module(model, EmitOptions(dtype="float16")).source
    module = namespace(source)["ExportedIRModel"]()
    found = module(torch.zeros(2, 2, dtype=torch.float16))
    np.testing.assert_array_equal(found.float().numpy(), [[1.0, 0.0], [0.5, 0.5]])


def test_a_capture_says_so_before_it_writes(tmp_path: Path) -> None:
    with pytest.raises(IRPyTorchError, match="which float32 does not"):
        write_captured(scaled(1e300), tmp_path / "net", "Net", "float32")
    assert not list(tmp_path.iterdir())
