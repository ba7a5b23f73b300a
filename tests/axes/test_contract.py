"""A generated module takes the shapes that it was proven for, and no others."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest
import torch
from documents import const, document, module, op, source
from repository import CLASSES, ROOT
from torch import nn

from hatch_irpytorch import EmitOptions, emit_module
from hatch_irpytorch.capture import from_torch
from hatch_irpytorch.manifest import default_class_name

MODELS = sorted(path.stem for path in (ROOT / "models").glob("*.yaml"))


class First(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:1] * 2


class Flipped(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(0) * 2


class Position(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.ones(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x + self.p)


@pytest.mark.parametrize("declared", [(1, 4), (2, 4)])
@pytest.mark.parametrize("given", [(1, 4), (2, 4), (3, 4)])
@pytest.mark.parametrize("net", [Position(), Flipped(), First()], ids=lambda n: type(n).__name__)
def test_a_module_is_right_or_refuses(
    net: nn.Module, declared: tuple[int, ...], given: tuple[int, ...]
) -> None:
    """What a module answered wrongly without a word: a flip or a slice of the batch."""
    generated = module(emit_module(from_torch(net, torch.rand(declared)), EmitOptions()).source)
    x = torch.rand(given)
    if isinstance(net, Position) or declared == given:
        torch.testing.assert_close(generated(x), net(x))
    else:
        with pytest.raises(ValueError, match="expected x of"):
            generated(x)


class Probe(nn.Module):
    """A learned query for every sample, by attention over (sequence, batch, features)."""

    def __init__(self) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.randn(1, 1, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        probe = self.probe.repeat(x.shape[0], 1, 1)
        found: torch.Tensor = self.attention(probe, x, x)[0]
        return found


class Positions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = torch.arange(3).unsqueeze(0).expand(x.shape[0], -1)
        found: torch.Tensor = x + self.table(places)
        return found


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(8, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.cells(x)[0]
        return found


class Relative(nn.Module):
    """A product with a table along an axis in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(3, 5, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bhc,hkc->bhk", x, self.table)


@pytest.mark.parametrize("declared", [1, 2])
@pytest.mark.parametrize("make", [Probe, Positions, Recurrent, Relative])
def test_what_library_models_do_leaves_the_batch_free(make: type[nn.Module], declared: int) -> None:
    torch.manual_seed(0)
    net = make().eval()
    model = from_torch(net, torch.rand(declared, 3, 8))
    generated = module(emit_module(model, EmitOptions(batch="free")).source)
    for size in (1, 2, 3, 7):
        x = torch.rand(size, 3, 8)
        with torch.no_grad():
            torch.testing.assert_close(generated(x), net(x), rtol=1e-4, atol=1e-5)


SHAPES: list[tuple[list[int], dict[str, Any], list[tuple[int, ...]], list[tuple[int, ...]]]] = [
    ([], {}, [()], [(1,), (1, 1)]),
    ([3], {"batch": "fixed"}, [(3,)], [(), (2,), (1, 3)]),
    ([3], {}, [(3,), (0,), (7,)], [(), (1, 3)]),
    ([1, 3, 4], {}, [(1, 3, 4), (5, 3, 4)], [(3, 4), (1, 4, 3), (1, 3, 4, 1)]),
    ([3, 1, 4], {"batch_axis": 1}, [(3, 9, 4)], [(1, 3, 4), (3, 4), (3, 1, 4, 1)]),
    ([3, 4, 1], {"batch_axis": 2}, [(3, 4, 9)], [(3, 9, 1), (3, 4), (3, 4, 1, 1)]),
    ([1, 3, 4], {"free": (2,)}, [(5, 3, 9)], [(3, 4), (1, 4, 3), (5, 3)]),
    ([1, 3], {"free": (1,)}, [(5, 9)], [(3,), (5, 9, 1)]),
    ([3, 4, 5], {"batch": "fixed", "free": (0, 2)}, [(9, 4, 1)], [(4,), (3, 5, 4)]),
    ([2, 3], {"batch": "added"}, [(1, 2, 3), (5, 2, 3)], [(2, 3), (1, 3, 2)]),
    ([1] * 30, {}, [(7, *[1] * 29)], [(1,) * 29, (1,) * 31, (1,) * 29 + (2,)]),
    ([2] * 30, {"batch": "fixed"}, [], [(2,) * 5]),
]


@pytest.mark.parametrize(("declared", "options", "right", "wrong"), SHAPES, ids=str)
def test_other_shapes_are_refused_in_one_sentence(
    declared: list[int],
    options: dict[str, Any],
    right: list[tuple[int, ...]],
    wrong: list[tuple[int, ...]],
) -> None:
    value = document(declared, op("tanh", [0], declared))
    net = module(source(value, training_skeleton=False, **options))
    for shape in right:
        assert net(torch.rand(shape)).shape == shape
    for shape in wrong:
        with pytest.raises(ValueError, match=r"^expected x of ") as raised:
            net(torch.rand(shape))
        assert f", found {shape}: " in str(raised.value)
        assert "\n" not in str(raised.value)


def test_what_to_do_is_told() -> None:
    value = document([1, 3], op("tanh", [0], [1, 3]))
    with pytest.raises(ValueError, match=r"of \(N, 3\), found \(1, 2\): reshape or resize it$"):
        module(source(value))(torch.rand(1, 2))
    with pytest.raises(ValueError, match=r"found \(2, 3\): pass one such x at a time$"):
        module(source(value, batch="fixed"))(torch.rand(2, 3))


@pytest.mark.parametrize("name", MODELS)
def test_the_committed_models_take_any_batch_but_for_the_loss(name: str) -> None:
    class_name = CLASSES.get(name, default_class_name(name))
    file: Any = import_module(f"irpytorch_models.{name}")
    summary = file.__doc__.splitlines()[0]
    found = re.match(r"\w+: \((N|1), ([\d, ]+)\)", summary)
    assert found is not None
    if name == "digits_autoencoder":
        assert found[1] == "1"
        assert "The batch is fixed: v5 averages over all entries." in file.__doc__
        return
    assert found[1] == "N"
    net = getattr(file, class_name)().double().eval()
    x = torch.rand(5, *map(int, found[2].split(", ")), dtype=torch.float64)
    with torch.no_grad():
        rows = torch.cat([net(row[None]) for row in x])
        torch.testing.assert_close(net(x), rows, rtol=1e-9, atol=1e-12)


def test_a_fixed_module_runs_any_batch_by_vmap() -> None:
    value = document([2, 3], op("softmax", [0], [2, 3], axis=0))
    net = module(source(value))
    x = torch.rand(5, 2, 3)
    torch.testing.assert_close(torch.func.vmap(net)(x), torch.softmax(x, 1))


def test_a_symbolic_trace_keeps_the_check() -> None:
    value = document([1, 3], const([1, 3], 0.5), op("add", [0, 1], [1, 3]))
    traced = torch.fx.symbolic_trace(module(source(value)))
    torch.testing.assert_close(traced(torch.ones(4, 3)), torch.full((4, 3), 1.5))
    with pytest.raises(ValueError, match="expected x of"):
        traced(torch.ones(4, 2))
