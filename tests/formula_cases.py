"""One formula of a door as a graph of its own: a shape, the formula, what torch makes of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hatch_irpytorch import evaluate
from hatch_irpytorch.capture.builder import Builder, Value

Shape = tuple[int, ...]
Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Case = tuple[Shape, Callable[[Builder, Value], Value], Callable[[Tensor], Tensor]]


def drawn(*shape: int, seed: int = 1) -> Array:
    """Quarters, so that some are equal and some are 0."""
    numbers = np.random.default_rng(seed).normal(size=shape)
    return np.asarray(np.round(numbers * 4.0) / 4.0)


def tensor(*shape: int, seed: int = 1) -> Tensor:
    return torch.from_numpy(drawn(*shape, seed=seed))


def agrees(case: Case) -> None:
    """The formula gives the numbers of torch for drawn ones."""
    shape, formula, wanted = case
    b = Builder()
    result = formula(b, b.input(shape))
    x = drawn(*shape, seed=0)
    found = evaluate(b.finish([result]), x)[0]
    expected = wanted(torch.from_numpy(x)).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
