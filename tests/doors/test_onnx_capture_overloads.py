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


def test_a_part_of_an_op_is_told_with_both_names() -> None:
    message = "`rand` has no form in torchlean.ir.v1, as a part of `bernoulli`: it draws random"
    with pytest.raises(IRPyTorchError, match=message):
        from_torch(Whole(lambda x: x + torch.bernoulli(torch.full((4, 3), 0.5))), X)
