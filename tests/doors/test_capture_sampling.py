"""Resizing, reading between entries, and what is written out: determinants, running products."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from applied_functions import Applied, captured_equals
from torch import Tensor
from torch.nn import functional

MODES = ["nearest", "nearest-exact", "area", "linear", "bilinear", "bicubic", "trilinear"]
RANKS = {"linear": 1, "trilinear": 3}


def resized(mode: str, x: Tensor, **named: object) -> Tensor:
    return functional.interpolate(x, mode=mode, **named)  # type: ignore[arg-type]


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_tensor_of_its_own_size_is_left_alone(mode: str, scaled: bool) -> None:
    x = torch.randn((2, 2, 3, 4, 5)[: 2 + RANKS.get(mode, 2)])
    named: dict[str, object] = {"scale_factor": 1.0} if scaled else {"size": x.shape[2:]}
    model = captured_equals(Applied(lambda x: resized(mode, x, **named)), x)
    assert [node.op.tag for node in model.graph.nodes] == ["input"]


@pytest.mark.parametrize("named", [{"size": (3, 5)}, {"scale_factor": (1.5, 0.4)}])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resizing_without_aliases(mode: str, named: dict[str, object]) -> None:
    module = Applied(lambda x: resized(mode, x, antialias=True, **named))
    captured_equals(module, torch.randn(1, 2, 8, 9))


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_places_of_a_constant_grid(mode: str, padding: str, corners: bool) -> None:
    def read(x: Tensor, grid: Tensor) -> Tensor:
        return functional.grid_sample(x, grid, mode, padding, corners)

    grid = torch.rand(2, 4, 3, 2) * 2.6 - 1.3
    captured_equals(Applied(read, grid=grid), torch.randn(2, 3, 5, 6))


def test_one_grid_for_all_samples_is_stored_once() -> None:
    grid = torch.rand(1, 3, 2, 2) * 2 - 1
    module = Applied(
        lambda x, grid: functional.grid_sample(x, grid.expand(4, 3, 2, 2), align_corners=False),
        grid=grid,
    )
    model = captured_equals(module, torch.randn(4, 1, 3, 3))
    assert sum(array.size for array in model.params.values()) == 9 * 6


def test_places_in_a_volume() -> None:
    grid = torch.rand(1, 2, 3, 4, 3) * 2 - 1
    module = Applied(lambda x, g: functional.grid_sample(x, g, align_corners=False), grid=grid)
    captured_equals(module, torch.randn(1, 2, 3, 4, 5))


WRITTEN_OUT: list[tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = [
    ((3, 2, 2), torch.linalg.det),
    ((2, 3, 3), torch.linalg.det),
    ((2, 1, 1), torch.linalg.det),
    ((2, 7), lambda x: x.cumprod(1)),
    ((5, 2), lambda x: x.cumprod(0)),
    ((), lambda x: x.cumprod(0)),
]


@pytest.mark.parametrize(("shape", "function"), WRITTEN_OUT)
def test_products_that_are_written_out(
    shape: tuple[int, ...], function: Callable[[Tensor], Tensor]
) -> None:
    captured_equals(Applied(function), torch.randn(shape))
