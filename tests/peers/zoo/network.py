"""What a network of the zoo is: how it is made, and an input that it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Network:
    """A network by the name of its library and its own; `make` gives it with an example input.

    With `tokens` the example holds ids, and the doors are told that ids are below it.
    """

    name: str
    make: Callable[[], tuple[nn.Module, torch.Tensor]]
    tokens: int | None = None


class Named(nn.Module):
    """A module whose inputs are told apart by name: one tensor is given for each of `names`.

    Inputs that are `fixed` are always the same.
    """

    def __init__(self, inner: nn.Module, *names: str, **fixed: torch.Tensor) -> None:
        super().__init__()
        self.inner, self.names, self.fixed = inner, names, tuple(fixed)
        for name, tensor in fixed.items():
            self.register_buffer(f"fixed_{name}", tensor)

    def forward(self, x: torch.Tensor) -> Any:
        fixed = {name: getattr(self, f"fixed_{name}") for name in self.fixed}
        return self.inner(**dict.fromkeys(self.names, x), **fixed)


def draw_constants(module: nn.Module) -> None:
    """Fill what libraries fill with one number, so that no zero hides a branch from the outcome."""
    with torch.no_grad():
        for parameter in module.parameters():
            entries = parameter.flatten()
            if parameter.is_floating_point() and bool((entries == entries[:1]).all()):
                parameter.copy_(_near(1.0 if entries[:1].any() else 0.0, parameter.shape))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(_near(0.0, buffer.shape))
            if name.endswith("running_var"):
                buffer.copy_(_near(1.0, buffer.shape))


def _near(value: float, shape: torch.Size) -> torch.Tensor:
    return value + 0.25 * (2.0 * torch.rand(shape) - 1.0)
