"""Documents about a batch, and what is written or said of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from documents import CONV, Document, op, plan, source

from hatch_irpytorch import IRPyTorchError


def forward(value: Document, **options: Any) -> list[str]:
    """The statements of `forward` between the check and the return."""
    lines = source(value, training_skeleton=False, **options).split("require_shape(x)\n", 2)[1]
    return [line.strip() for line in lines.split("        return ")[0].splitlines()]


def reason(value: Document, **options: Any) -> str:
    return plan(value, **options).fixed_reason


def refusal(value: Document, **options: Any) -> str:
    with pytest.raises(IRPyTorchError) as raised:
        source(value, **{"batch": "free", **options})
    (problem,) = raised.value.problems
    assert problem.code == "not-free"
    return str(problem)


def reshape(parent: int, old: list[int], new: list[int]) -> dict[str, Any]:
    return op("reshape", [parent], new, in_shape=old, out_shape=new)


def batch_norm(channels: int, axis: int) -> dict[str, Any]:
    numbers = {name: [1.0] * channels for name in ("gamma", "beta", "mean", "var")}
    return {"channel_axis": axis, "channels": channels, "eps": 1e-5, **numbers}


IMAGE_CONV = {**CONV, "channel_axis": 1, "weight": np.ones((2, 2, 2)).tolist(), "bias": [0.0, 0.0]}
