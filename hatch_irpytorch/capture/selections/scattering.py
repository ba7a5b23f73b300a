"""Entries gathered up at constant positions: sums as products with 0 and 1, others in rounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.entries.elementwise import add, chosen, maximum, minimum, mul
from hatch_irpytorch.capture.selections.matrices import apply_matrix
from hatch_irpytorch.capture.selections.selection import take
from hatch_irpytorch.ir.shapes import Shape, numel

Positions = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

REDUCTIONS: dict[str, tuple[Callable[[Builder, Value, Value], Value], float]] = {
    "amax": (maximum, -float(np.finfo(np.float32).max)),
    "amin": (minimum, float(np.finfo(np.float32).max)),
    "mean": (add, 0.0),
    "prod": (mul, 1.0),
    "sum": (add, 0.0),
}
"""How two entries for one place are joined, and what leaves every other as it is."""


def sums_along(b: Builder, updates: Value, axis: int, index: Positions, extent: int) -> Value:
    """An axis of `extent` whose entries are the sums of the updates that `index` sends there."""
    b.budget.spend_for_a_while(extent * len(index))
    matrix = np.zeros((extent, len(index)))
    matrix[index % max(extent, 1), np.arange(len(index))] = 1.0
    return apply_matrix(b, updates, axis, matrix)


def sums_at(b: Builder, updates: Value, positions: Positions, shape: Shape) -> Value:
    """A tensor whose entries are the sums of the updates that flat positions send there."""
    count = numel(updates.shape)
    flat = b.reshape(updates, (count,))
    summed = sums_along(b, flat, 0, positions.reshape(-1), numel(shape))
    return b.reshape(summed, shape)


def reduced_at(
    b: Builder, x: Value, positions: Positions, updates: Value, kind: str, with_own: bool
) -> Value:
    """x where each entry is joined with the updates sent to it; `with_own` counts its old value.

    What no update reaches stays. Each round takes one update for every entry.
    """
    join, neutral = REDUCTIONS[kind]
    places = positions.reshape(-1)
    counts = np.bincount(places, minlength=numel(x.shape)).reshape(x.shape)
    keep = np.ones(counts.shape, dtype=np.bool_) if with_own else counts == 0
    result = chosen(b, keep, x, b.const(neutral))
    if kind in ("mean", "sum"):
        result = add(b, result, sums_at(b, updates, places, x.shape))
    else:
        for turn in _rounds(places, numel(x.shape)):
            result = join(b, result, _or_neutral(b, updates, turn, x.shape, neutral))
    if kind != "mean":
        return result
    return mul(b, result, b.const(1.0 / np.maximum(counts + keep * (counts > 0), 1)))


def _rounds(places: Positions, size: int) -> list[Positions]:
    """For each round the update of every place, -1 where none is left."""
    order = np.argsort(places, kind="stable")
    starts = np.searchsorted(places[order], places[order])
    turn = np.arange(len(places)) - starts
    rounds: list[Positions] = []
    for number in range(int(turn.max(initial=-1)) + 1):
        chosen = np.full(size, -1)
        mine = order[turn == number]
        chosen[places[mine]] = mine
        rounds.append(chosen)
    return rounds


def _or_neutral(
    b: Builder, updates: Value, chosen: Positions, shape: Shape, neutral: float
) -> Value:
    count = numel(updates.shape)
    longer = b.concat([b.reshape(updates, (count,)), b.full((1,), neutral)], 0)
    return b.reshape(take(b, longer, 0, np.where(chosen < 0, count, chosen)), shape)
