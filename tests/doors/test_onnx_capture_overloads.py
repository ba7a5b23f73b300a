"""ATen ops close to those with a form: `index_copy` is no `index`, overloads have names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from hatch_irpytorch import IRPyTorchError, evaluate
from hatch_irpytorch.capture import from_torch

Function = Callable[[torch.Tensor], torch.Tensor]
ROWS = torch.tensor([0, 2])
X = torch.arange(12.0).reshape(4, 3) - 5.0


class Whole(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


FILLED: dict[str, Function] = {
    "index_fill.int_Scalar": lambda x: x.index_fill(0, ROWS, 1.5),
    "index_fill.int_Tensor": lambda x: x.index_fill(1, ROWS, x.sum()),
    "index_copy": lambda x: x.index_copy(0, ROWS, torch.tensor([[1.0, 2, 3], [4, 5, 6]])),
    "index_copy_of_x": lambda x: x.index_copy(1, ROWS, x[:, :2] * 2),
}


@pytest.mark.parametrize("name", FILLED)
def test_what_is_written_at_positions(name: str) -> None:
    (found,) = evaluate(from_torch(Whole(FILLED[name]), X), X.numpy())
    np.testing.assert_allclose(found, FILLED[name](X).numpy(), rtol=1e-6)


INDEX = torch.zeros(2, 3, dtype=torch.long)
REFUSED: dict[str, tuple[Function, str]] = {
    "scatter.value_reduce": (
        lambda x: torch.scatter(x, 0, INDEX, 2.0, reduce="add"),
        "`scatter` has no form in torchlean.ir.v1: the overload `scatter.value_reduce`",
    ),
    "scatter.reduce": (
        lambda x: torch.scatter(x, 0, INDEX, x, reduce="multiply"),
        "`scatter` has no form in torchlean.ir.v1: the overload `scatter.reduce`",
    ),
    "index_add": (
        lambda x: x.index_add(0, ROWS, torch.ones(2, 3)),
        "`index_put` has no form in torchlean.ir.v1, as a part of `index_add`: an index_put that",
    ),
    "bernoulli": (
        lambda x: x + torch.bernoulli(torch.full((4, 3), 0.5)),
        "`rand` has no form in torchlean.ir.v1, as a part of `bernoulli`: it draws random numbers",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_overload_without_a_form_is_told_by_its_name(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(IRPyTorchError) as caught:
        from_torch(Whole(function), X)
    assert message in str(caught.value)
    assert "argument" not in str(caught.value)
