"""Branches and loops of torch whose predicates capture knows."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from applied_functions import captured_equals
from torch import Tensor, nn
from torch._higher_order_ops import while_loop

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.capture import from_torch


class _Branch(nn.Module):
    def __init__(self, taken: bool) -> None:
        super().__init__()
        self.register_buffer("taken", torch.tensor(taken))
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        taken = cast(Tensor, self.taken)
        return cast(Tensor, torch.cond(taken, lambda a: self.linear(a), lambda a: a - 1, (x,)))


class _Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        results = while_loop(  # type: ignore[no-untyped-call]
            lambda i, y: i < 3,
            lambda i, y: (i + 1, self.linear(y) * 2 + i),
            (torch.tensor(0), x),
        )
        return cast(Tensor, results[1])


class _Open(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        taken = x.sum() > 0
        return cast(Tensor, torch.cond(taken, lambda a: torch.i0(a), lambda a: a - 1, (x,)))


@pytest.mark.parametrize("taken", [True, False])
def test_the_branch_of_a_constant_predicate(taken: bool) -> None:
    captured_equals(_Branch(taken), torch.randn(2, 3))


def test_every_trip_of_a_loop_with_its_counter() -> None:
    captured_equals(_Loop(), torch.randn(2, 3), 1e-4)


def test_a_branch_of_the_input_is_refused_in_one_line() -> None:
    with pytest.raises(IRPyTorchError) as caught:
        from_torch(_Open(), torch.randn(2, 3))
    assert len(caught.value.problems) == 1
    assert "its predicate depends on the input" in str(caught.value)
