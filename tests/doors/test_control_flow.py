"""Branches and loops of torch whose predicates capture knows."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from applied_functions import captured_equals
from torch import Tensor, nn
from torch import _higher_order_ops as ops
from torch._higher_order_ops import while_loop
from torch._higher_order_ops.map import map as mapped_by_torch

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.capture import from_torch

# Their annotations say less than they take.
scan: Any = ops.scan
mapped: Any = mapped_by_torch


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


class _Scan(nn.Module):
    """Two scanned tensors, one of them a parameter, and two that each trip gives."""

    def __init__(self, *, reverse: bool) -> None:
        super().__init__()
        self.reverse = reverse
        self.linear = nn.Linear(3, 3)
        self.rows = nn.Parameter(torch.randn(4, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        def step(state: Tensor, rows: tuple[Tensor, Tensor]) -> Any:
            new = torch.tanh(self.linear(state) + rows[0] * rows[1])
            return new, (new * 2, rows[0] - new)

        given = x.movedim(1, 0).clone(), self.rows
        last, (first, second) = scan(step, torch.ones(3), given, reverse=self.reverse)
        return last, first, second


class _Map(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        other = x[0] * 3
        return cast(Tensor, mapped(lambda row, y: self.linear(row) * y.sum(), x, other))


class _Constants(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        steps = torch.arange(4.0)
        last, sums = scan(lambda total, step: (total + step, total * step), torch.zeros(()), steps)
        return cast(Tensor, x * last + sums)


class _Open(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        taken = x.sum() > 0
        return cast(Tensor, torch.cond(taken, lambda a: torch.i0(a), lambda a: a - 1, (x,)))


@pytest.mark.parametrize("taken", [True, False])
def test_the_branch_of_a_constant_predicate(taken: bool) -> None:
    captured_equals(_Branch(taken), torch.randn(2, 3))


def test_every_trip_of_a_loop_with_its_counter() -> None:
    captured_equals(_Loop(), torch.randn(2, 3), 1e-4)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (_Scan(reverse=False), (3, 4)),
        (_Scan(reverse=True), (3, 4)),
        (_Map(), (4, 3)),
        (_Constants(), (2, 4)),
    ],
    ids=["scan", "scan backwards", "map", "scan of constants"],
)
def test_every_position_of_what_is_scanned(module: nn.Module, shape: tuple[int, ...]) -> None:
    captured_equals(module, torch.randn(shape), 1e-4)


def test_a_scan_of_too_many_trips_is_refused() -> None:
    class Long(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return cast(Tensor, mapped(lambda row: row * 2, x))

    with pytest.raises(IRPyTorchError, match="a loop of more than 16384 nodes when unrolled"):
        from_torch(Long(), torch.randn(10_000, 1))


def test_a_branch_of_the_input_is_refused_with_what_both_branches_hold() -> None:
    with pytest.raises(IRPyTorchError) as caught:
        from_torch(_Open(), torch.randn(2, 3))
    inner, predicate = (str(problem) for problem in caught.value.problems)
    assert "`i0` has no form" in inner and "its predicate depends on the input" in predicate
