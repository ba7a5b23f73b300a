"""Entries that constant flags choose, whose count torch.export leaves open."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from applied_functions import Applied, captured_equals
from torch import Tensor

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.capture import from_torch

FLAGS = torch.tensor([True, False, True, True])

CHOSEN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "columns": lambda x, flags: x[:, flags],
    "masked_select": lambda x, flags: x.masked_select(flags),
    "nonzero": lambda x, flags: x[:, flags.nonzero()[:, 0]],
    "seen by its count": lambda x, flags: (x[:, flags] * 2.0).view(3, -1, 1).sum(1),
    "repeated": lambda x, flags: x.repeat_interleave(torch.tensor([1, 0, 2]), 0),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_entries_that_constants_choose(name: str) -> None:
    captured_equals(Applied(CHOSEN[name], flags=FLAGS), torch.randn(3, 4))


def test_a_refusal_behind_an_open_count_is_told_alone() -> None:
    module = Applied(lambda x, flags: torch.i0(x[:, flags]).sum(1), flags=FLAGS)
    with pytest.raises(IRPyTorchError) as caught:
        from_torch(module, torch.randn(3, 4))
    assert ["`i0`" in problem.message for problem in caught.value.problems] == [True]
