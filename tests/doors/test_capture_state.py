"""What a call of `forward` leaves behind: buffers, attributes, its input, memory it looks into."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hatch_irpytorch import IRPyTorchError, evaluate
from hatch_irpytorch.capture import from_torch


class Stateful(nn.Module):
    """A step of computing with buffers `a` and `b` of three entries, and a plain counter."""

    a: Tensor
    b: Tensor

    def __init__(self, step: Callable[[Stateful, Tensor], Tensor]) -> None:
        super().__init__()
        self.register_buffer("a", torch.tensor([1.0, 2.0, 3.0]))
        self.register_buffer("b", torch.zeros(3))
        self.calls = 0
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        return self.step(self, x)


def counts(m: Stateful, x: Tensor) -> Tensor:
    m.a += 1
    return x + m.a


def remembers(m: Stateful, x: Tensor) -> Tensor:
    y = x + m.a
    m.a.copy_(x)
    return y


def averages(m: Stateful, x: Tensor) -> Tensor:
    m.a = 0.5 * m.a + 0.5 * x
    return x - m.a


def writes_a_part(m: Stateful, x: Tensor) -> Tensor:
    m.a[:2] = x[:2]
    return x + m.a


def by_way_of_another(m: Stateful, x: Tensor) -> Tensor:
    y = x * m.a
    m.b += x
    m.a.copy_(2.0 * m.b)
    return y


SEEN = [counts, remembers, averages, writes_a_part, by_way_of_another]


@pytest.mark.parametrize("step", SEEN)
def test_a_change_that_a_later_call_sees_is_an_error(
    step: Callable[[Stateful, Tensor], Tensor],
) -> None:
    with pytest.raises(IRPyTorchError, match="a graph keeps no state"):
        from_torch(Stateful(step), torch.ones(3))


def only_counts(m: Stateful, x: Tensor) -> Tensor:
    m.b += 1
    return x * m.a


def writes_first(m: Stateful, x: Tensor) -> Tensor:
    m.b.copy_(x)
    m.b.mul_(2.0)
    return m.b + m.a


def writes_all(m: Stateful, x: Tensor) -> Tensor:
    m.b[:] = 3.0 * x
    return m.b - x


def clears_first(m: Stateful, x: Tensor) -> Tensor:
    m.b.zero_()
    m.b.add_(x)
    return m.b * m.b


def writes_the_same(m: Stateful, x: Tensor) -> Tensor:
    y = x + m.a
    m.a.copy_(torch.arange(1.0, 4.0))
    return y


UNSEEN = [only_counts, writes_first, writes_all, clears_first, writes_the_same]


@pytest.mark.parametrize("step", UNSEEN)
def test_a_change_that_no_later_call_sees_is_none(
    step: Callable[[Stateful, Tensor], Tensor],
) -> None:
    module = Stateful(step)
    x = torch.tensor([0.5, -1.0, 2.0])
    model = from_torch(module, x)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    wanted = [module(x).numpy() for _ in range(2)]
    for expected in wanted:
        np.testing.assert_allclose(evaluate(model, x.numpy())[0], expected)
    again = Stateful(step)
    from_torch(again, x)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in before.items())


def counts_in_python(m: Stateful, x: Tensor) -> Tensor:
    m.calls += 1
    return x * m.calls


def test_a_counter_that_is_no_tensor_is_found_by_calling() -> None:
    with pytest.raises(IRPyTorchError, match="a second call of the module gives other numbers"):
        from_torch(Stateful(counts_in_python), torch.ones(3))


def caches(m: Stateful, x: Tensor) -> Tensor:
    m.calls = max(m.calls, len(x))
    return x * m.calls


def test_an_attribute_that_stays_is_no_state() -> None:
    model = from_torch(Stateful(caches), torch.ones(3))
    np.testing.assert_array_equal(evaluate(model, np.ones(3))[0], [3.0, 3.0, 3.0])


def doubles_its_input(m: Stateful, x: Tensor) -> Tensor:
    x.mul_(2.0)
    return x + m.a


def test_an_input_that_is_written_into_is_noted() -> None:
    model = from_torch(Stateful(doubles_its_input), torch.ones(3))
    assert [note.code for note in model.notes] == ["in-place"]
    np.testing.assert_array_equal(evaluate(model, np.ones(3))[0], [3.0, 4.0, 5.0])


class Seen(nn.Module):
    def __init__(self, view: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.view = view

    def forward(self, x: Tensor) -> Tensor:
        return self.view(x)


VIEWS: list[tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = [
    ((3, 4), lambda x: x.t().as_strided((2, 2), (1, 2))),
    ((3, 4), lambda x: x.as_strided((2, 3), (4, 1), 1)),
    ((3, 4), lambda x: x[1:].as_strided((2, 2), (1, 3))),
    ((3, 4), lambda x: (x + 1).t().contiguous().as_strided((2, 2), (1, 3), 2)),
    ((2, 3, 4), lambda x: x.permute(2, 0, 1).as_strided((3, 2), (1, 5), 1)),
    (
        (1, 2, 2, 3),
        lambda x: x.to(memory_format=torch.channels_last).as_strided((2, 2), (1, 4), 1),
    ),
]


@pytest.mark.parametrize(("shape", "view"), VIEWS)
def test_a_view_by_strides_sees_the_memory_of_its_tensor(
    shape: tuple[int, ...], view: Callable[[Tensor], Tensor]
) -> None:
    x = torch.randn(shape)
    (found,) = evaluate(from_torch(Seen(view), x), x.numpy())
    np.testing.assert_allclose(found, view(x).numpy(), rtol=1e-6)


def test_memory_beside_a_tensor_is_not_seen() -> None:
    with pytest.raises(IRPyTorchError, match="memory beside the entries of its tensor"):
        from_torch(Seen(lambda x: x[1:].as_strided((2, 2), (1, 2), 0)), torch.randn(3, 4))
