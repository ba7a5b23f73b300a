"""Between which numbers the entries of a tensor lie, and what an op makes of that."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Ends = tuple[float, float]
"""The least and the largest that the entries may be."""


@dataclass(frozen=True)
class Interval:
    """Entries lie from `low` to `high`; `whole` ones are whole numbers."""

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False

    @property
    def ends(self) -> Ends:
        return self.low, self.high

    @property
    def size(self) -> float:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.size)


ANY = Interval()
"""What is known of a tensor of which nothing is known."""


def widened(ends: Ends, slack: float) -> Ends:
    """Further apart by `slack` at both ends; where an end is no number nothing is known."""
    low, high = ends[0] - slack, ends[1] + slack
    return (-math.inf, math.inf) if math.isnan(low) or math.isnan(high) else (low, high)


def same(x: Ends) -> Ends:
    return x


def plus(x: Ends, y: Ends) -> Ends:
    return x[0] + y[0], x[1] + y[1]


def minus(x: Ends, y: Ends) -> Ends:
    return x[0] - y[1], x[1] - y[0]


def times(x: Ends, y: Ends) -> Ends:
    corners = [0.0 if 0.0 in (a, c) else a * c for a in x for c in y]
    return min(corners), max(corners)


def square(x: Ends) -> Ends:
    return times(_abs(x), _abs(x))


def larger(x: Ends, y: Ends) -> Ends:
    return max(x[0], y[0]), max(x[1], y[1])


def smaller(x: Ends, y: Ends) -> Ends:
    return min(x[0], y[0]), min(x[1], y[1])


def spanned(*parts: Ends) -> Ends:
    return min(part[0] for part in parts), max(part[1] for part in parts)


def with_zero(x: Ends) -> Ends:
    """Where padding may put zeros beside the entries."""
    return spanned(x, (0.0, 0.0))


def _relu(x: Ends) -> Ends:
    return max(x[0], 0.0), max(x[1], 0.0)


def _abs(x: Ends) -> Ends:
    return max(x[0], -x[1], 0.0), max(x[1], -x[0])


def _rising(function: Callable[[float], float]) -> Callable[[Ends], Ends]:
    """A function that never falls."""

    def rule(x: Ends) -> Ends:
        with np.errstate(all="ignore"):
            return float(function(x[0])), float(function(x[1]))

    return rule


def _within(low: float, high: float) -> Callable[..., Ends]:
    return lambda *_: (low, high)


def _inverse(x: Ends) -> Ends:
    return (1.0 / x[1], 1.0 / x[0]) if x[0] > 0.0 or x[1] < 0.0 else (-math.inf, math.inf)


EXACT: dict[str, Callable[..., Ends]] = {
    **dict.fromkeys(("broadcast_to", "detach", "flatten", "max_pool", "permute"), same),
    **dict.fromkeys(("reshape", "transpose"), same),
    "abs": _abs,
    "add": plus,
    "concat": spanned,
    "max_elem": larger,
    "min_elem": smaller,
    "mul_elem": times,
    "relu": _relu,
    "sub": minus,
}
"""Ops whose ends follow from those of the parents alone, and that make whole of whole numbers."""

REAL: dict[str, Callable[..., Ends]] = {
    **dict.fromkeys(("softmax", "hard_masked_softmax"), _within(0.0, 1.0)),
    **dict.fromkeys(("cos", "sin"), _within(-1.0, 1.0)),
    "avg_pool": with_zero,
    "exp": _rising(np.exp),
    "inv": _inverse,
    "reduce_mean": same,
    "sigmoid": _rising(lambda x: 1.0 / (1.0 + np.exp(-x))),
    "softplus": _rising(lambda x: np.logaddexp(0.0, x)),
    "sqrt": _rising(lambda x: np.sqrt(max(x, 0.0))),
    "tanh": _rising(np.tanh),
}
"""Ops whose ends follow from those of the parents alone, and whose entries are seldom whole."""
