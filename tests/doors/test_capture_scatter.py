"""Entries written, added or joined at constant positions, and columns added up to images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from applied_functions import Applied, captured_equals, captured_function
from torch import Tensor
from torch.nn import functional

from hatch_irpytorch import IRPyTorchError

ROWS = torch.tensor([2, 0, 2])
TO = torch.tensor([[2, 0, 2, 1], [1, 1, 0, 2]])
TWICE = torch.tensor([0, 0, 2]), torch.tensor([1, 1, 3])

ADDED: dict[str, Callable[[Tensor], Tensor]] = {
    "index_add": lambda x: x.index_add(0, ROWS, x * 2, alpha=3),
    "index_add, last axis": lambda x: x.index_add(-1, torch.tensor([3, 3]), x[:, :2]),
    "index_add of zeros": lambda x: torch.zeros(5, 4).index_add(0, ROWS, x),
    "index_copy": lambda x: x.index_copy(1, torch.tensor([2, 0]), x[:, :2] * 2),
    "index_fill": lambda x: x.index_fill(1, torch.tensor([2, 0]), 3.0),
    "index_put": lambda x: x.index_put((ROWS[:2], torch.tensor([1, 3])), x[0, :2]),
    "accumulate": lambda x: x.index_put(TWICE, x[0, :3], accumulate=True),
    "accumulate rows": lambda x: x.index_put((ROWS,), x[0] * 2, accumulate=True),
    "accumulate columns": lambda x: torch.ops.aten.index_put(x, [None, ROWS], x[:, :1], True),
    "accumulate flags": lambda x: x.index_put((x.new_ones(3) > 0,), x * 2, accumulate=True),
    "scatter": lambda x: x.scatter(0, TO, x * 2),
    "scatter a number": lambda x: x.scatter(1, TO, 5.0),
    "scatter, add": lambda x: x.scatter(0, TO, x * 2, reduce="add"),
    "scatter, multiply": lambda x: x.scatter(1, TO, 2.0, reduce="multiply"),
    "scatter_add": lambda x: torch.zeros(3, 4).scatter_add(0, TO, x),
    "scatter_add, last axis": lambda x: x.scatter_add(-1, TO, x[1:] * 3),
    "scatter_add, alike": lambda x: x.scatter_add(0, ROWS[:, None].expand(3, 4), x * 3),
    "scatter_add, a part": lambda x: x.scatter_add(0, ROWS[:, None].expand(3, 2), x * 3),
    "select_scatter": lambda x: x.select_scatter(x[0] * 2, 0, 1),
    "slice_scatter": lambda x: x.slice_scatter(x[:, :2] * 2, 1, 1, None, 2),
}


@pytest.mark.parametrize("name", ADDED)
def test_entries_are_added_where_constants_say(name: str) -> None:
    captured_equals(Applied(ADDED[name]), torch.randn(3, 4))


@pytest.mark.parametrize("axis", [2, 3])
def test_many_entries_are_replaced_where_they_lie(axis: int) -> None:
    def replaced(x: Tensor) -> Tensor:
        return x.slice_scatter(x.narrow(axis, 1, x.shape[axis] - 1).tanh(), axis, 1)

    captured_equals(Applied(replaced), torch.randn(1, 2, 197, 50))


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
def test_entries_of_one_place_are_joined(reduce: str, include_self: bool) -> None:
    def joined(x: Tensor) -> Tensor:
        return x.scatter_reduce(0, TO, x * 2, reduce, include_self=include_self)

    captured_equals(Applied(joined), torch.randn(3, 4))


def test_a_line_of_indices_is_one_small_product() -> None:
    x = torch.randn(3, 40)
    model = captured_equals(Applied(lambda x: x.index_add(0, ROWS, x)), x)
    assert sum(array.size for array in model.params.values()) == 9


FOLDS = [
    ((1, 12, 30), (4, 5), 2, {"padding": 1}),
    ((2, 12, 6), (6, 6), (2, 3), {"stride": (2, 3)}),
    ((2, 12, 4), (5, 6), (2, 3), {"stride": (2, 3)}),
    ((2, 12, 15), (6, 7), (3, 2), {"dilation": (1, 2), "padding": (1, 0), "stride": (2, 1)}),
    ((12, 4), (4, 4), 2, {"stride": 2}),
    ((1, 18, 9), (6, 6), 3, {"stride": 2, "padding": 1}),
]


@pytest.mark.parametrize(("shape", "size", "kernel", "named"), FOLDS)
def test_columns_are_added_up_where_their_windows_lie(
    shape: tuple[int, ...], size: tuple[int, int], kernel: int, named: dict[str, int]
) -> None:
    module = Applied(lambda x: functional.fold(x, size, kernel, **named))
    captured_equals(module, torch.randn(shape))


def test_windows_side_by_side_are_moved_and_not_multiplied() -> None:
    module = Applied(lambda x: functional.fold(x, (4, 6), 2, stride=2))
    model = captured_equals(module, torch.randn(1, 8, 6))
    assert {node.op.tag for node in model.graph.nodes} <= {"input", "reshape", "permute"}


def test_a_value_for_each_flagged_entry_is_refused() -> None:
    with pytest.raises(IRPyTorchError, match="values for as many entries as the input flags"):
        captured_function(lambda x: x.index_put((x > 0,), x[0]), torch.eye(3))


def test_memory_that_is_written_whole_holds_nothing_of_before() -> None:
    """Where it is filled with NaN first, as torch does on demand, none is stored."""

    def written(x: Tensor) -> Tensor:
        y = x.new_empty(3, 2)
        y[:, :1], y[:, 1:] = x[:, 1:2], x[:, :1]
        return y

    torch.use_deterministic_algorithms(True)
    try:
        captured_equals(Applied(written), torch.randn(3, 4))
    finally:
        torch.use_deterministic_algorithms(False)
