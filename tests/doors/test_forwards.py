"""Whatever a `forward` is: what it takes is seen, and what cannot be looked into is told."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hatch_irpytorch import IRPyTorchError, evaluate
from hatch_irpytorch.capture import from_torch

X = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]])


class Variable(nn.Module):
    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        return 2.0 * given[0]


class Open(nn.Module):
    def forward(self, x: torch.Tensor, *rest: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        assert not rest and not named
        return 2.0 * x


SHIFT = torch.zeros(3)


class Defaults(nn.Module):
    def forward(
        self, x: torch.Tensor, scale: float = 2.0, shift: torch.Tensor = SHIFT
    ) -> torch.Tensor:
        return x * scale + shift


class Builtin(nn.Module):
    forward = torch.relu


class Static(nn.Module):
    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        return 2.0 * x


class Replaced(nn.Module):
    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.forward = forward


def scaled(x: torch.Tensor, by: float) -> torch.Tensor:
    return x * by


@functools.wraps(scaled)
def wrapped(*given: Any, **named: Any) -> torch.Tensor:
    return scaled(*given, **named)


class Twice(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2.0 * x


def exported() -> nn.Module:
    return torch.export.export(Twice(), (X,), strict=True).module()


def compiled(way: str, *example: torch.Tensor) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module: nn.Module = getattr(torch.jit, way)(Twice(), *example)
    return module


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (Variable(), 2.0 * X),
        (Open(), 2.0 * X),
        (Defaults(), 2.0 * X),
        (Builtin(), X.relu()),
        (Static(), 2.0 * X),
        (Replaced(torch.neg), -X),
        (Replaced(lambda x: 2.0 * x), 2.0 * X),
        (Replaced(functools.partial(scaled, by=2.0)), 2.0 * X),
        (nn.ReLU(), X.relu()),
        (nn.Identity(), X),
        (compiled("trace", X), 2.0 * X),
        (exported(), 2.0 * X),
        (torch.fx.symbolic_trace(Twice()), 2.0 * X),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_forward_that_takes_one_tensor_comes_in(net: nn.Module, expected: torch.Tensor) -> None:
    assert np.array_equal(evaluate(from_torch(net, X), X.numpy())[0], expected.numpy())


@pytest.mark.parametrize(
    ("net", "told"),
    [
        (Replaced(scaled), "`forward` takes 2 inputs: `x`, `by`; bind the others"),
        (Replaced(wrapped), "`forward` takes 2 inputs: `x`, `by`; bind the others"),
        (nn.MSELoss(), "`forward` takes 2 inputs: `input`, `target`; bind the others"),
        (Replaced(lambda: X), "`forward` takes no input"),
        (compiled("script"), "compiled by TorchScript: capture what that was made of"),
    ],
    ids=["function", "wrapped", "loss", "none", "scripted"],
)
def test_what_a_forward_lacks_is_told(net: nn.Module, told: str) -> None:
    with pytest.raises(IRPyTorchError) as raised:
        from_torch(net, X)
    (problem,) = raised.value.problems
    assert problem.code == "capture-failed" and told in str(problem)
