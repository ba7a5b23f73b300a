"""Adaptive pooling: bins that are whole axes, windows, and neither; and the digits of means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from applied_functions import captured_function, emitted
from torch.nn import functional

from hatch_irpytorch import evaluate

SIZES = [(1, 1), (1, 6), (1, 3), (2, 1), (4, 1), (3, 4), (8, 6), (8, 3)]


@pytest.mark.parametrize("size", SIZES)
def test_bins_are_those_of_torch(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, 8, 6)
    model = captured_function(lambda y: functional.adaptive_avg_pool2d(y, size), x)
    wanted = functional.adaptive_avg_pool2d(x.double(), size).numpy()
    np.testing.assert_allclose(evaluate(model, x.numpy())[0], wanted, rtol=0, atol=1e-12)


def test_a_mean_of_a_whole_map_keeps_its_digits() -> None:
    """A window of 12,544 entries, summed up one after another, is 1.4e-6 off."""
    x = torch.rand(1, 16, 112, 112)
    module = emitted(captured_function(lambda y: functional.adaptive_avg_pool2d(y, 1), x))
    wanted = functional.adaptive_avg_pool2d(x.double(), 1)
    assert (module(x) - wanted).abs().max() < 2e-7
