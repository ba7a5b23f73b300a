"""Bounds of whole numbers hold for every input: they are tight or wide, and never wrong."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from hatch_irpytorch import evaluate
from hatch_irpytorch.capture.bounds import bounds, interval
from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.entries import comparisons as c
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.entries import integers
from hatch_irpytorch.capture.layers import reductions as r
from hatch_irpytorch.capture.layers.positions import position_of_largest
from hatch_irpytorch.capture.selections import movement as m
from hatch_irpytorch.capture.selections import tables
from hatch_irpytorch.capture.selections.selection import take
from hatch_irpytorch.ir.ops.elementwise import Abs, Exp, Inv, Sqrt
from hatch_irpytorch.ir.ops.products import Matmul

Formula = Callable[[Builder, Value], Value]
WEIGHTS = np.array([[2.0, -1.0], [0.0, 3.0], [-4.0, 1.0]])

TIGHT: dict[str, tuple[Formula, float, float]] = {
    "itself": (lambda b, x: x, 0, 3),
    "shifted": (lambda b, x: e.shifted(b, x, -2.0), -2, 1),
    "turned": (lambda b, x: e.sub(b, b.const(1.0), x), -2, 1),
    "scaled": (lambda b, x: e.scaled(b, x, -2.0), -6, 0),
    "size": (lambda b, x: b.node(Abs(), e.shifted(b, x, -2.0)), 0, 2),
    "clamped": (lambda b, x: e.clamp(b, x, 1.0, 2.0), 1, 2),
    "relu": (lambda b, x: e.relu(b, e.shifted(b, x, -1.0)), 0, 2),
    "sum": (lambda b, x: r.total(b, x, [1], False), 0, 9),
    "sum of all": (lambda b, x: r.total(b, x, None, False), 0, 9),
    "largest": (lambda b, x: r.largest(b, x, [1], False), 0, 3),
    "running sum": (lambda b, x: r.cumulative_sum(b, x, 1), 0, 9),
    "product": (lambda b, x: b.node(Matmul(), x, b.const(WEIGHTS)), -12, 12),
    "joined": (lambda b, x: b.concat([x, b.const(np.full((1, 2), -7.0))], 1), -7, 3),
    "part": (lambda b, x: take(b, x, 1, [2, 0]), 0, 3),
    "position": (lambda b, x: position_of_largest(b, x, 1, False), 0, 2),
    "last position": (lambda b, x: position_of_largest(b, x, 1, False, True), 0, 2),
    "equal": (lambda b, x: integers.equal(b, x, b.const(2.0)), 0, 1),
    "positions": (
        lambda b, x: e.mul(
            b,
            r.cumulative_sum(b, c.unequal(b, x, b.const(1.0)), 1),
            c.unequal(b, x, b.const(1.0)),
        ),
        0,
        3,
    ),
}


def build(formula: Formula) -> tuple[Builder, Value]:
    b = Builder()
    return b, formula(b, b.input((1, 3), 4))


@pytest.mark.parametrize("name", TIGHT)
def test_bounds_hold_for_every_input(name: str) -> None:
    formula, low, high = TIGHT[name]
    b, value = build(formula)
    found = bounds(b, value)
    assert found is not None
    assert found[0] <= low <= high <= found[1]
    model = b.finish([value])
    entries = np.concatenate(
        [evaluate(model, np.array([x], float))[0].reshape(-1) for x in product(range(4), repeat=3)]
    )
    assert (entries == np.floor(entries)).all()
    assert (entries.min(), entries.max()) == (low, high)
    if name not in ("size", "product", "part"):
        assert found == (low, high)


def test_what_may_not_be_whole_has_no_bounds() -> None:
    for formula in (
        lambda b, x: e.scaled(b, x, 0.5),
        lambda b, x: b.node(Exp(), x),
        lambda b, x: r.mean(b, x, [1], False),
        lambda b, x: e.mul(b, x, b.const(np.ones((1, 3)), True)),
    ):
        b, value = build(formula)
        assert bounds(b, value) is None
        assert not integers.is_whole(b, value)
    b = Builder()
    assert bounds(b, b.input((2,))) is None


def test_numbers_beyond_float32_are_not_taken_for_whole() -> None:
    b, value = build(lambda b, x: e.scaled(b, x, 2.0**23))
    assert not integers.is_whole(b, value)
    with pytest.raises(InexpressibleError, match="may not be whole"):
        integers.equal(b, value, value)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rows_of_any_axis(axis: int) -> None:
    array = np.random.default_rng(0).normal(size=(4, 5, 6))
    ids = np.array([[3, 0, 2]])
    b = Builder()
    x = b.input((1, 3), 4)
    model = b.finish([tables.look_up(b, b.const(array), x, axis, "an index")])
    np.testing.assert_array_equal(evaluate(model, ids)[0], np.take(array, ids, axis))


@pytest.mark.parametrize(("axis", "shape"), [(0, (4, 3)), (1, (1, 4)), (1, (2, 4))])
def test_entries_along_an_axis(axis: int, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape)
    ids = np.array([[3, 0, 2]])
    b = Builder()
    x = b.input((1, 3), 4)
    model = b.finish([tables.gather(b, b.const(array), x, axis, "an index")])
    wanted = np.take_along_axis(array[:1] if axis else array, ids, axis)
    np.testing.assert_array_equal(evaluate(model, ids)[0], wanted)


def test_a_part_of_padded_rows_is_within_bounds() -> None:
    b, value = build(lambda b, x: m.pad_constant(b, x, [(0, 0), (1, 2)], 9.0))
    assert bounds(b, value) == (0.0, 9.0)


REALS: dict[str, tuple[Formula, float, float]] = {
    "inverse above 0": (lambda b, x: b.node(Inv(), e.shifted(b, x, 1.0)), 0.25, 1.0),
    "inverse below 0": (lambda b, x: b.node(Inv(), e.shifted(b, x, -5.0)), -0.5, -0.2),
    "inverse around 0": (lambda b, x: b.node(Inv(), e.shifted(b, x, -1.0)), -np.inf, np.inf),
    "inverse up to 0": (lambda b, x: b.node(Inv(), x), -np.inf, np.inf),
    "exponential": (lambda b, x: b.node(Exp(), e.neg(b, x)), np.exp(-3.0), 1.0),
    "root": (lambda b, x: b.node(Sqrt(), x), 0.0, np.sqrt(3.0)),
}


@pytest.mark.parametrize("name", REALS)
def test_bounds_of_other_numbers_are_those_of_the_function(name: str) -> None:
    formula, low, high = REALS[name]
    found = interval(*build(formula))
    np.testing.assert_allclose(found.ends, (low, high), atol=1e-5)
    assert found.low <= low and found.high >= high and not found.whole
