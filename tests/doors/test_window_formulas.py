"""Formulas of windows and places that both doors share, each beside torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from formula_cases import Case, Shape, agrees, drawn, tensor
from torch import Tensor
from torch.nn import functional

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.layers import columns, sampling
from hatch_irpytorch.capture.layers import windows as w
from hatch_irpytorch.capture.layers.windows import Geometry
from hatch_irpytorch.capture.selections import movement
from hatch_irpytorch.ir.ops.learned import NO_WEIGHT


def of_conv(x: Tensor, kernel: Tensor, pads: list[int], **options: Any) -> Tensor:
    """A convolution of what is padded before; a negative amount cuts."""
    return functional.conv2d(functional.pad(x, pads), kernel, **options)


def padded_conv(b: Builder, x: Value, before: movement.Pads, given: Geometry) -> Value:
    padded = movement.pad_constant(b, x, before)
    return w.convolution(b, padded, drawn(4, 2, 2, 3), drawn(4), given, NO_WEIGHT)


CONVOLUTIONS: dict[str, Case] = {
    "pads of each side": (
        (2, 4, 5, 7),
        lambda b, x: w.convolution(
            b,
            x,
            drawn(4, 2, 2, 3),
            drawn(4),
            Geometry((2, 1), ((1, 2), (0, 3)), (1, 2), 2),
            NO_WEIGHT,
        ),
        lambda x: of_conv(
            x,
            tensor(4, 2, 2, 3),
            [0, 3, 1, 2],
            bias=tensor(4),
            stride=(2, 1),
            dilation=(1, 2),
            groups=2,
        ),
    ),
    "pads that cut": (
        (1, 2, 6, 7),
        lambda b, x: w.convolution(
            b, x, drawn(3, 2, 2, 2), None, Geometry((1, 2), ((-1, 2), (1, -2)), (1, 1)), NO_WEIGHT
        ),
        lambda x: of_conv(x, tensor(3, 2, 2, 2), [1, -2, -1, 2], stride=(1, 2)),
    ),
    "pads that all cut": (
        (1, 2, 6, 7),
        lambda b, x: w.convolution(
            b, x, drawn(3, 2, 2, 2), None, Geometry((1, 1), ((-1, -2), (-2, -1)), (1, 1)), NO_WEIGHT
        ),
        lambda x: of_conv(x, tensor(3, 2, 2, 2), [-2, -1, -1, -2]),
    ),
    "padded before": (
        (1, 2, 4, 5),
        lambda b, x: padded_conv(
            b,
            x,
            [(0, 0), (0, 0), (1, 2), (3, 0)],
            Geometry((1, 1), ((1, 0), (0, 2)), (1, 1)),
        ),
        lambda x: of_conv(x, tensor(4, 2, 2, 3), [3, 2, 2, 2], bias=tensor(4)),
    ),
    "channels padded before": (
        (1, 1, 4, 5),
        lambda b, x: padded_conv(
            b, x, [(0, 0), (1, 0), (0, 1), (0, 0)], Geometry((1, 1), ((0, 0), (0, 0)), (1, 1))
        ),
        lambda x: functional.conv2d(
            functional.pad(x, [0, 0, 0, 1, 1, 0]), tensor(4, 2, 2, 3), tensor(4)
        ),
    ),
    "without a batch": (
        (2, 5),
        lambda b, x: w.convolution(
            b, x, drawn(3, 2, 3), drawn(3), Geometry((2,), ((1, 1),), (1,)), NO_WEIGHT
        ),
        lambda x: functional.conv1d(x, tensor(3, 2, 3), tensor(3), 2, 1),
    ),
    "transposed": (
        (2, 4, 3, 4),
        lambda b, x: w.transposed_convolution(
            b,
            x,
            drawn(4, 3, 3, 2),
            drawn(6),
            Geometry((2, 3), ((1, 1), (0, 0)), (2, 1), 2),
            (1, 2),
            NO_WEIGHT,
        ),
        lambda x: functional.conv_transpose2d(
            x, tensor(4, 3, 3, 2), tensor(6), (2, 3), (1, 0), (1, 2), 2, (2, 1)
        ),
    ),
    "unfold": (
        (2, 3, 6, 7),
        lambda b, x: w.unfold(b, x, (2, 3), Geometry((2, 1), ((1, 1), (2, 2)), (3, 2))),
        lambda x: functional.unfold(x, (2, 3), (3, 2), (1, 2), (2, 1)),
    ),
    "fold": (
        (2, 12, 12),
        lambda b, x: columns.fold(b, x, (5, 6), (2, 3), Geometry((2, 1), ((1, 1), (0, 0)), (1, 1))),
        lambda x: functional.fold(x, (5, 6), (2, 3), 1, (1, 0), (2, 1)),
    ),
    "fold of a dilated window": (
        (1, 4, 12),
        lambda b, x: columns.fold(b, x, (5, 6), (2, 2), Geometry((1, 1), ((0, 0), (0, 0)), (2, 2))),
        lambda x: functional.fold(x, (5, 6), (2, 2), 2, 0, 1),
    ),
    "fold of tiles": (
        (2, 12, 6),
        lambda b, x: columns.fold(b, x, (4, 9), (2, 3), Geometry((2, 3), ((0, 0), (0, 0)), (1, 1))),
        lambda x: functional.fold(x, (4, 9), (2, 3), 1, 0, (2, 3)),
    ),
    "fold of windows at a distance": (
        (1, 4, 4),
        lambda b, x: columns.fold(b, x, (5, 6), (2, 2), Geometry((3, 4), ((0, 0), (0, 0)), (1, 1))),
        lambda x: functional.fold(x, (5, 6), (2, 2), 1, 0, (3, 4)),
    ),
}


def of_max_pool(
    kernel: Shape, stride: Shape, pads: Shape, dilation: Shape, ceil: bool
) -> tuple[Callable[[Builder, Value], Value], Callable[[Tensor], Tensor]]:
    def formula(b: Builder, x: Value) -> Value:
        each = tuple((pad, pad) for pad in pads)
        given = Geometry(stride, each, dilation)
        if ceil:
            whole = tuple(tuple(pair) for pair in w.ceil_pads(x.shape[2:], kernel, given))
            given = Geometry(stride, whole, dilation)  # type: ignore[arg-type]
        return w.max_pool(b, x, kernel, given)

    return formula, lambda x: functional.max_pool2d(x, kernel, stride, pads, dilation, ceil)


def of_average_pool(
    kernel: Shape, stride: Shape, pads: Shape, ceil: bool, count: bool, divisor: int | None
) -> tuple[Callable[[Builder, Value], Value], Callable[[Tensor], Tensor]]:
    def formula(b: Builder, x: Value) -> Value:
        each = tuple((pad, pad) for pad in pads)
        given = Geometry(stride, each, (1, 1))
        if ceil:
            whole = tuple(tuple(pair) for pair in w.ceil_pads(x.shape[2:], kernel, given))
            given = Geometry(stride, whole, (1, 1))  # type: ignore[arg-type]
        counted = each if count else ((0, 0), (0, 0))
        return w.average_pool(b, x, kernel, given, counted, divisor)

    return formula, lambda x: functional.avg_pool2d(x, kernel, stride, pads, ceil, count, divisor)


POOLS: dict[str, Case] = {
    "max": ((1, 2, 5, 6), *of_max_pool((2, 3), (2, 1), (1, 0), (1, 1), False)),
    "max, last windows whole": ((1, 2, 6, 8), *of_max_pool((3, 2), (2, 3), (1, 1), (1, 1), True)),
    "max, a window beyond": ((1, 2, 5, 5), *of_max_pool((2, 2), (3, 4), (1, 1), (1, 1), True)),
    "max, dilated": ((1, 2, 8, 9), *of_max_pool((2, 3), (2, 3), (1, 1), (3, 2), False)),
    "max, dilated and whole": ((1, 1, 8, 9), *of_max_pool((2, 3), (2, 2), (1, 1), (2, 2), True)),
    "mean": ((1, 2, 5, 6), *of_average_pool((2, 3), (1, 2), (1, 1), False, True, None)),
    "mean of inner cells": (
        (1, 2, 5, 6),
        *of_average_pool((2, 3), (1, 2), (1, 1), False, False, None),
    ),
    "mean, whole": ((2, 1, 6, 8), *of_average_pool((3, 2), (2, 3), (1, 1), True, True, None)),
    "mean, whole, inner": (
        (2, 1, 6, 8),
        *of_average_pool((3, 2), (2, 3), (1, 1), True, False, None),
    ),
    "divided": ((1, 2, 5, 6), *of_average_pool((2, 3), (1, 2), (0, 0), False, True, 5)),
    "adaptive mean": (
        (1, 2, 7, 6),
        lambda b, x: w.adaptive_average_pool(b, x, (3, 4)),
        lambda x: functional.adaptive_avg_pool2d(x, (3, 4)),
    ),
    "adaptive mean, one whole": (
        (1, 2, 6, 7),
        lambda b, x: w.adaptive_average_pool(b, x, (3, 1)),
        lambda x: functional.adaptive_avg_pool2d(x, (3, 1)),
    ),
    "adaptive mean of equal bins": (
        (1, 2, 6, 8),
        lambda b, x: w.adaptive_average_pool(b, x, (2, 4)),
        lambda x: functional.adaptive_avg_pool2d(x, (2, 4)),
    ),
    "adaptive mean, finer": (
        (1, 2, 3, 4),
        lambda b, x: w.adaptive_average_pool(b, x, (5, 4)),
        lambda x: functional.adaptive_avg_pool2d(x, (5, 4)),
    ),
    "adaptive max": (
        (1, 2, 7, 4),
        lambda b, x: w.adaptive_max_pool(b, x, (3, 5)),
        lambda x: functional.adaptive_max_pool2d(x, (3, 5)),
    ),
    "resized": (
        (1, 2, 2, 3),
        lambda b, x: w.resize_by_integers(b, x, (3, 2)),
        lambda x: functional.interpolate(x, scale_factor=(3, 2)),
    ),
}


MODES: dict[str, str] = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}
PLACES = np.random.default_rng(5).uniform(-1.7, 1.7, size=(2, 3, 4, 2))

SAMPLES: dict[str, Case] = {
    f"{mode}, {padding}, {'corners' if corners else 'edges'}": (
        (2, 3, 4, 5),
        lambda b, x, m=mode, o=padding, c=corners: sampling.sample(b, x, PLACES, m, o, c),
        lambda x, m=mode, o=padding, c=corners: functional.grid_sample(
            x, torch.from_numpy(PLACES), MODES[m], o, c
        ),
    )
    for mode in MODES
    for padding in ("zeros", "border", "reflection")
    for corners in (False, True)
} | {
    "one grid for all": (
        (2, 3, 4, 5),
        lambda b, x: sampling.sample(
            b, x, np.repeat(PLACES[:1], 2, 0), "linear", "reflection", False
        ),
        lambda x: functional.grid_sample(
            x, torch.from_numpy(PLACES[:1]).repeat(2, 1, 1, 1), "bilinear", "reflection", False
        ),
    ),
    "one entry, reflected at its middle": (
        (2, 3, 1, 5),
        lambda b, x: sampling.sample(b, x, PLACES, "linear", "reflection", True),
        lambda x: functional.grid_sample(
            x, torch.from_numpy(PLACES), "bilinear", "reflection", True
        ),
    ),
    "far outside": (
        (2, 3, 4, 5),
        lambda b, x: sampling.sample(b, x, 1e6 * PLACES, "cubic", "zeros", True),
        lambda x: functional.grid_sample(
            x, torch.from_numpy(1e6 * PLACES), "bicubic", "zeros", True
        ),
    ),
}

CASES = CONVOLUTIONS | POOLS | SAMPLES


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_those_of_torch(name: str) -> None:
    agrees(CASES[name])


REFUSED: dict[str, tuple[Shape, Callable[[Builder, Value], Value]]] = {
    "an empty axis": ((1, 2, 0), lambda b, x: w.adaptive_average_pool(b, x, (2,))),
    "do not fit the windows": (
        (1, 5, 4),
        lambda b, x: columns.fold(b, x, (4, 4), (2, 2), Geometry((2, 2), ((0, 0),) * 2, (1, 1))),
    ),
    "that do not fit the": (
        (1, 4, 5),
        lambda b, x: columns.fold(b, x, (4, 4), (2, 2), Geometry((2, 2), ((0, 0),) * 2, (1, 1))),
    ),
    "for a tensor of shape": (
        (1, 3, 4, 5),
        lambda b, x: sampling.sample(b, x, PLACES, "linear", "zeros", True),
    ),
    "a grid of shape": (
        (2, 3, 4, 5, 6),
        lambda b, x: sampling.sample(b, x, PLACES, "linear", "zeros", True),
    ),
    "are not finite": (
        (2, 3, 4, 5),
        lambda b, x: sampling.sample(b, x, PLACES / 0.0, "linear", "zeros", True),
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_does_not_fit_is_refused(said: str) -> None:
    shape, formula = REFUSED[said]
    b = Builder()
    with np.errstate(divide="ignore"), pytest.raises(InexpressibleError, match=said):
        formula(b, b.input(shape))
