"""Recurrent layers of PyTorch: every gate, direction and layer, in few nodes and numbers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hatch_irpytorch.axes.free import free_model
from hatch_irpytorch.capture import from_torch
from hatch_irpytorch.errors import IRPyTorchError
from hatch_irpytorch.ir.reference import evaluate


class Layer(nn.Module):
    """A recurrent layer that returns its outputs and its last states one by one."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        outputs, states = self.layer(x)
        return [outputs, *(states if isinstance(states, tuple) else (states,))]


KINDS: dict[str, Any] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "tanh": nn.RNN,
    "relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
}


def agrees(layer: nn.RNNBase, x: torch.Tensor) -> None:
    module = Layer(layer.double()).eval()
    wanted = module(x.double())
    found = evaluate(from_torch(module, x.double()), x.numpy())
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_and_directions(kind: str) -> None:
    torch.manual_seed(0)
    for layers, both, first in itertools.product((1, 2), (False, True), (False, True)):
        layer = KINDS[kind](3, 4, layers, bidirectional=both, batch_first=first)
        agrees(layer, torch.randn(5, 2, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_without_biases_and_without_a_batch(kind: str) -> None:
    torch.manual_seed(1)
    agrees(KINDS[kind](3, 4, bias=False), torch.randn(3, 1, 3))
    agrees(KINDS[kind](3, 4), torch.randn(6, 3))


def test_a_projected_state() -> None:
    torch.manual_seed(2)
    agrees(nn.LSTM(3, 5, 2, proj_size=2, bidirectional=True), torch.randn(4, 2, 3))


def test_a_given_state_is_the_first() -> None:
    class Started(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.GRU(3, 4, batch_first=True)
            self.start = nn.Linear(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs, _ = self.layer(x, self.start(x[:, 0])[None])
            assert isinstance(outputs, torch.Tensor)
            return outputs

    torch.manual_seed(3)
    module = Started().double()
    x = torch.randn(2, 5, 3).double()
    (found,) = evaluate(from_torch(module, x), x.numpy())
    np.testing.assert_allclose(found, module(x).detach().numpy(), rtol=1e-9)


def test_a_long_sequence_takes_a_bounded_number_of_nodes_and_its_own_weights() -> None:
    layer = nn.LSTM(8, 16, batch_first=True)

    class Outputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs, _ = self.layer(x)
            assert isinstance(outputs, torch.Tensor)
            return outputs

    model = from_torch(Outputs(), torch.rand(1, 100, 8))
    own = sum(p.numel() for p in layer.parameters())
    assert sum(array.size for array in model.params.values()) < 2 * own
    assert len(model.graph.nodes) < 22 * 100
    assert free_model(model, "auto").shapes is not None


def test_packed_sequences_are_refused() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LSTM(3, 4, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([3, 2]), batch_first=True)
            _, (state, _) = self.layer(packed)
            assert isinstance(state, torch.Tensor)
            return state

    with pytest.raises(IRPyTorchError, match="pack"):
        from_torch(Packed(), torch.rand(2, 3, 3))
