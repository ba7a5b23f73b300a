"""Modules that are one function of their input, captured, emitted and run beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from documents import module
from torch import Tensor, nn

from hatch_irpytorch import EmitOptions, Model, emit_module
from hatch_irpytorch.capture import from_torch

Function = Callable[[Tensor], Tensor]


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def captured_function(function: Function, x: Tensor) -> Model:
    return from_torch(Of(function), x)


def emitted(model: Model, **options: Any) -> nn.Module:
    text = emit_module(model, EmitOptions(training_skeleton=False, **options)).source
    found: nn.Module = module(text)
    return found


def with_gradient(function: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    """What a function gives, and the gradient of its sum."""
    x = x.detach().clone().requires_grad_()
    y = function(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    return y.detach(), gradient
