"""Whether a generated module is as right as the original: both beside the original in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

FACTOR = 1.5
"""How many times the error of the original in float32 is allowed."""

UNITS = 4
"""How many units in the last place of the largest entry are allowed beside that."""


@dataclass(frozen=True)
class Verdict:
    """Whether all outputs are right, the share of the allowed error that is used, and the error
    relative to the largest entry: of the output that uses most. `why` says what else is wrong.
    """

    right: bool
    share: float = 0.0
    relative: float = 0.0
    why: str = ""


def tensors_of(result: Any) -> list[torch.Tensor]:
    """The tensors in what a module returns, in order; doors give whole numbers as real ones."""
    if isinstance(result, torch.Tensor):
        return [result.detach()]
    parts: Sequence[Any] = ()
    if isinstance(result, Mapping):
        parts = list(result.values())
    elif isinstance(result, list | tuple):
        parts = result
    return [tensor for part in parts for tensor in tensors_of(part)]


def require_alike(single: Sequence[torch.Tensor], exact: Sequence[torch.Tensor]) -> None:
    """Raise `ValueError` where an original in float64 says nothing of the one in float32."""
    for near, right in zip(single, exact, strict=True):
        if not torch.equal(torch.isfinite(near), torch.isfinite(right)):
            raise ValueError("the original is finite elsewhere in float64 than in float32")
        if right.numel() and not torch.isfinite(right).any():
            raise ValueError("the original gives no number that is finite")


def judged(
    found: Sequence[torch.Tensor], single: Sequence[torch.Tensor], exact: Sequence[torch.Tensor]
) -> Verdict:
    """The verdict on what was found, by the original in float32 and in float64."""
    if len(found) != len(exact):
        return Verdict(False, why=f"{len(found)} outputs, the original has {len(exact)}")
    worst = Verdict(True)
    for ours, near, right in zip(found, single, exact, strict=True):
        verdict = _judged(ours.double(), near.double(), right.double())
        if verdict.why or verdict.share >= worst.share:
            worst = verdict
        if verdict.why:
            break
    return worst


def _judged(ours: torch.Tensor, near: torch.Tensor, right: torch.Tensor) -> Verdict:
    if ours.shape != right.shape:
        shapes = f"{tuple(ours.shape)}, the original's {tuple(right.shape)}"
        return Verdict(False, why=f"an output's shape is {shapes}")
    finite = torch.isfinite(right)
    if not torch.equal(finite, torch.isfinite(ours)):
        return Verdict(False, why="it is finite elsewhere than the original")
    if not finite.any():
        return Verdict(True)
    largest = float(right[finite].abs().max())
    error = float((ours - right)[finite].abs().max())
    usual = float((near - right)[finite].abs().max())
    allowed = FACTOR * usual + UNITS * float(np.spacing(np.float32(largest)))
    return Verdict(error <= allowed, error / allowed, error / largest if largest else 0.0)
