"""All that has no form is told at once, each kind once for a line; what follows from it is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.capture import from_torch
from hatch_irpytorch.capture.pytorch.refusals import own_place, shown_path
from hatch_irpytorch.errors import Problem


class Applied(nn.Module):
    """A function of the input, and a parameter of three entries."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.tensor([0.5, 1.0, 2.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.weight)


def told(module: nn.Module, x: Tensor) -> tuple[Problem, ...]:
    with pytest.raises(IRPyTorchError) as caught:
        from_torch(module, x)
    return caught.value.problems


def ops(module: nn.Module, x: Tensor) -> list[str]:
    return [re.findall(r"`(\w+)`", problem.message)[0] for problem in told(module, x)]


def arguments_behind_a_refusal(x: Tensor, w: Tensor) -> Tensor:
    y = torch.sort(x).values
    y = functional.dropout(y, 0.5, training=True)
    norm: Tensor = torch.linalg.vector_norm(y, 0.0)
    return norm


def test_an_op_with_other_arguments_is_told_behind_a_refusal() -> None:
    found = ops(Applied(arguments_behind_a_refusal), torch.randn(3))
    assert found[0] == "sort" and found[-1] == "linalg_vector_norm" and len(found) >= 3


def shapes_behind_a_refusal(x: Tensor, w: Tensor) -> Tensor:
    y = torch.sort(x).values
    order = torch.sort(x).indices
    keep = y.new_zeros(3).bool()
    table = torch.full_like(order, 2)
    return torch.where(keep, y, x[table]) + torch.zeros_like(y) + y.new_ones(3)[table]


def test_what_depends_on_a_shape_alone_is_known_behind_a_refusal() -> None:
    assert ops(Applied(shapes_behind_a_refusal), torch.randn(3)) == ["sort"]


def a_kernel_behind_a_refusal(x: Tensor, w: Tensor) -> Tensor:
    kernel = torch.i0(w)
    return functional.conv1d(x[None, None], kernel[None, None])


def test_what_is_computed_from_parameters_alone_stays_a_constant() -> None:
    assert ops(Applied(a_kernel_behind_a_refusal), torch.randn(5)) == ["i0"]


def whole_numbers_behind_a_refusal(x: Tensor, w: Tensor) -> Tensor:
    order = torch.sort(x).indices
    picked = x[order]
    return torch.digamma(picked)


def test_what_is_picked_by_unknown_numbers_is_looked_at_as_well() -> None:
    assert ops(Applied(whole_numbers_behind_a_refusal), torch.randn(3)) == ["sort", "digamma"]


class Layer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.i0(x) + torch.i0(2.0 * x)


def test_hundreds_of_one_kind_are_one_line() -> None:
    (problem,) = told(nn.Sequential(*(Layer() for _ in range(100))), torch.randn(3))
    assert problem.place.line == Layer.forward.__code__.co_firstlineno + 1
    assert problem.hint == "it is in `0`, `1`, `2` and 97 more, 200 times"


def test_a_single_refusal_has_its_module_and_no_count() -> None:
    class Once(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.i0(x)

    (problem,) = told(nn.Sequential(Once()), torch.randn(3))
    assert problem.hint == "it is in `0`"


def test_a_library_whose_name_begins_like_torch_keeps_its_place() -> None:
    torchs_own = str(Path(torch.__file__).parent)
    frames = [f"{torchs_own}vision/ops/misc.py", f"{torchs_own}/nn/modules/module.py", "<string>"]
    trace = "".join(f'  File "{name}", line {7 + i}, in f\n' for i, name in enumerate(frames))
    place = own_place(trace, "net")
    assert (place.file, place.line) == (shown_path(frames[0]), 7)


class Block(nn.Module):
    """An op without a form, called for the only line of a part."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.i0(x)


LINE = Block.forward.__code__.co_firstlineno + 1


class Around(nn.Module):
    """Calls a part inside of what torch.export keeps as a graph of its own."""

    def __init__(self, around: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.around = around
        self.part = Block()

    def forward(self, x: Tensor) -> Tensor:
        return self.around(self.part, x)


def without_gradients(part: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = part(x)
    return found


def under_autocast(part: nn.Module, x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        found: Tensor = part(x)
    return found


@pytest.mark.parametrize("around", [without_gradients, under_autocast])
def test_a_node_inside_of_a_block_has_its_own_place(
    around: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    (problem,) = told(Around(around), torch.randn(3))
    assert problem.place.line == LINE and problem.hint == "it is in `part`"


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda x, w: torch.arange(3), "torch.int64"),
        (lambda x, w: torch.fft.fft(x), "complex numbers"),
    ],
)
def test_an_output_that_is_not_real_has_its_place(
    function: Callable[[Tensor, Tensor], Tensor], what: str
) -> None:
    (problem,) = told(Applied(function), torch.randn(4))
    assert what in problem.message
    assert problem.place.line == Applied.forward.__code__.co_firstlineno + 1
