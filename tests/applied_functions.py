"""A function as a module: captured, emitted, compared with torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from documents import module as executed
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hatch_irpytorch import EmitOptions, Model, emit_module, evaluate
from hatch_irpytorch.capture import from_torch

Function = Callable[[Tensor], Tensor]


class Applied(nn.Module):
    """A function of the input and of named buffers, parameters and parts."""

    def __init__(self, function: Callable[..., Any], **named: Tensor | nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, held in named.items():
            if isinstance(held, nn.Parameter | nn.Module):
                setattr(self, name, held)
            else:
                self.register_buffer(name, held)
        self.names = list(named)

    def forward(self, x: Tensor) -> Any:
        return self.function(x, *(getattr(self, name) for name in self.names))


def captured_equals(module: nn.Module, x: Tensor, tolerance: float = 1e-5) -> Model:
    """The captured module, whose outputs are those of torch."""
    model = from_torch(module, x)
    with torch.no_grad():
        wanted = [leaf for leaf in tree_leaves(module(x.clone())) if isinstance(leaf, Tensor)]
    found = evaluate(model, x.double().numpy())
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == tuple(other.shape)
        np.testing.assert_allclose(one, other.double().numpy(), tolerance, tolerance)
    return model


def captured_function(function: Function, x: Tensor) -> Model:
    return from_torch(Applied(function), x)


def emitted(model: Model, **options: Any) -> nn.Module:
    text = emit_module(model, EmitOptions(training_skeleton=False, **options)).source
    found: nn.Module = executed(text)
    return found


def with_gradient(function: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    """What a function gives, and the gradient of its sum."""
    x = x.detach().clone().requires_grad_()
    y = function(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    return y.detach(), gradient
