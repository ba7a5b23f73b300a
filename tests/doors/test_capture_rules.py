"""What a captured module keeps: parameters, buffers, layers, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from documents import namespace
from torch import Tensor, nn
from torch.nn import functional

from hatch_irpytorch import EmitOptions, IRPyTorchError, Model, emit_module, evaluate
from hatch_irpytorch.capture import from_torch


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(2, 4))
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3, 0.4]))
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.inner(x - self.mean) + self.position
        return y[:, 1:3], y.sum()


def generated(model: Model, learnable_consts: bool = True) -> nn.Module:
    options = EmitOptions(learnable_consts=learnable_consts)
    module: nn.Module = namespace(emit_module(model, options).source)["ExportedIRModel"]()
    return module


def shapes(tensors: Iterator[Tensor]) -> list[tuple[int, ...]]:
    return sorted(tuple(tensor.shape) for tensor in tensors)


def test_what_was_a_parameter_is_trained_and_nothing_else() -> None:
    """A parameter of zeros stays one; a buffer and the matrix of a slice stay buffers."""
    model = from_torch(Two(), torch.zeros(2, 4))
    module = generated(model)
    assert shapes(module.parameters()) == [(2, 4), (4,), (4, 4)]
    assert (4,) in shapes(module.buffers()) and (2, 4) not in shapes(module.buffers())
    frozen = generated(model, learnable_consts=False)
    assert shapes(frozen.parameters()) == [(4,), (4, 4)]
    assert (2, 4) in shapes(frozen.buffers())


def test_learnable_in_the_graph_overrules_the_rule_of_uniform_consts() -> None:
    model = from_torch(Two(), torch.zeros(2, 4))
    marks = [node.op.learnable for node in model.graph.nodes if node.op.tag == "const"]  # type: ignore[attr-defined]
    assert Counter(marks)[True] == 1 and None not in marks


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(torch.relu(self.conv(x)))
        return out


def test_a_kernel_that_is_used_twice_is_noted() -> None:
    model = from_torch(Shared(), torch.zeros(1, 2, 5))
    assert [note.code for note in model.notes] == ["untied", "untied"]
    assert "`conv.weight` is the kernel of several nodes" in model.notes[0].message


class Masked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        mask = torch.full((3, 3), float("-inf")).triu(1)
        return torch.softmax(x + mask, dim=-1)


def test_infinite_constants_are_finite_and_noted() -> None:
    model = from_torch(Masked(), torch.zeros(3, 3))
    assert [note.code for note in model.notes] == ["infinite-constant"]
    assert all(np.isfinite(array).all() for array in model.params.values())
    expected = Masked()(torch.zeros(3, 3)).numpy()
    np.testing.assert_array_equal(evaluate(model, np.zeros((3, 3)))[0].astype(np.float32), expected)


def test_a_frozen_module_keeps_its_layers() -> None:
    frozen = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)).requires_grad_(False)
    model = from_torch(frozen, torch.ones(1, 3))
    assert [node.op.tag for node in model.graph.nodes] == ["input", "linear", "layernorm"]


def test_a_scalar_has_one_slope() -> None:
    x = torch.tensor(-2.0)
    (found,) = evaluate(from_torch(nn.PReLU(), x), x.numpy())
    assert found.shape == () and float(found) == -0.5


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn(3)


class AlwaysDropping(nn.Module):
    """Dropout that does not listen to eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout2d(x, 0.5, training=True)


def test_random_numbers_are_never_stored_as_constants() -> None:
    """Ops on constants alone are left to torch, but for those that draw."""
    with pytest.raises(IRPyTorchError, match=r"`randn` has no form .*: it draws random numbers"):
        from_torch(Noisy(), torch.ones(3))
    with pytest.raises(IRPyTorchError, match=r"random numbers|outside of eval mode"):
        from_torch(AlwaysDropping(), torch.ones(1, 2, 3, 3))


class Dropping(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5, training=True)


class Several(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.sort(dim=-1).indices, x


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Dropping(), "dropout outside of eval mode|`bernoulli`|`native_dropout`"),
        (Several(), "`sort` has no form"),
        (nn.MaxPool1d(2, return_indices=True), "positions or statistics"),
    ],
)
def test_what_has_no_form_is_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(IRPyTorchError, match=message):
        from_torch(module, torch.randn(2, 3, 4))


def test_integers_are_refused() -> None:
    with pytest.raises(IRPyTorchError, match="one tensor of floating point numbers"):
        from_torch(nn.Embedding(4, 2), torch.tensor([1, 2]))


def test_capture_leaves_the_module_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    from_torch(module, torch.zeros(1, 2))
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert module.training


def test_slices_take_the_cheapest_form() -> None:
    """Parts of a concat are that part, first steps are windows, blocks are small matrices."""

    class Sliced(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            both = torch.cat([x, x * 2], dim=1)
            return both[:, 6:], x[:, ::2], x[:, 0], x[:, 2:4], x[:, [5, 0]], x.flip(1)

    x = torch.randn(2, 6)
    model = from_torch(Sliced(), x)
    wanted = Sliced()(x)
    for found, expected in zip(evaluate(model, x.numpy()), wanted, strict=True):
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6)
    tags = Counter(node.op.tag for node in model.graph.nodes)
    assert "concat" not in tags and tags["avg_pool"] == 2 and tags["matmul"] == 3
    sizes = sorted(int(np.prod(node.shape)) for node in model.graph.nodes if node.op.tag == "const")
    assert sizes == [1, 3, 12, 36]
