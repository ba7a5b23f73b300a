"""What `forward` keeps from gradients is not trained by the captured module either."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from documents import namespace
from torch import Tensor, nn

from hatch_irpytorch import EmitOptions, Model, emit_module
from hatch_irpytorch.capture import from_torch


class Two(nn.Module):
    """Two layers, of which a step keeps some from gradients."""

    def __init__(self, step: Callable[[Two, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        return self.step(self, x)


def first_alone(m: Two, x: Tensor) -> Tensor:
    with torch.no_grad():
        y = m.first(x)
    return torch.tanh(m.second(y))


def shared(m: Two, x: Tensor) -> Tensor:
    with torch.no_grad():
        y = m.second(m.first(x))
    return torch.tanh(m.second(y))


def weight_detached(m: Two, x: Tensor) -> Tensor:
    return torch.tanh(m.second(x @ m.first.weight.detach() + m.first.bias))


def value_detached(m: Two, x: Tensor) -> Tensor:
    y = m.first(x)
    return torch.tanh(m.second(y.detach()) + y)


def gradients(module: nn.Module) -> list[tuple[tuple[int, ...], float]]:
    """The shape and the size of every gradient that is not zero."""
    module(torch.linspace(-1.0, 1.0, 6).reshape(2, 3)).sum().backward()
    found = [p.grad for p in module.parameters() if p.grad is not None]
    return sorted((tuple(g.shape), round(float(g.abs().sum()), 3)) for g in found if g.any())


def generated(model: Model) -> nn.Module:
    module: nn.Module = namespace(emit_module(model, EmitOptions()).source)["ExportedIRModel"]()
    return module


@pytest.mark.parametrize("step", [first_alone, shared, weight_detached, value_detached])
def test_the_same_parameters_get_gradients(step: Callable[[Two, Tensor], Tensor]) -> None:
    module = Two(step)
    model = from_torch(module, torch.rand(2, 3))
    wanted = gradients(module)
    if step is shared:  # the graph has no place for one use with a gradient and one without
        assert {shape for shape, _ in gradients(generated(model))} == {(3,), (3, 3)}
    else:
        assert gradients(generated(model)) == wanted


def test_what_is_not_trained_is_told() -> None:
    assert "training" in {
        note.code for note in from_torch(Two(first_alone), torch.rand(2, 3)).notes
    }
