"""Formulas of single entries, and of where entries go, that both doors share: beside torch."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from formula_cases import Case, agrees, drawn, tensor
from torch import Tensor
from torch.nn import functional

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.entries import arcs, powers, rounding
from hatch_irpytorch.capture.entries import comparisons as c
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.entries import inverse_hyperbolic as h
from hatch_irpytorch.capture.selections import movement, scattering

FLAGS = np.array([[True, False, True], [False, False, True]])


def of_entries(
    formula: Callable[[Builder, Value], Value], wanted: Callable[[Tensor], Tensor]
) -> Case:
    return (5, 8), formula, wanted


def within(b: Builder, x: Value, low: float, high: float) -> Value:
    return e.clamp(b, x, low, high)


def positive(b: Builder, x: Value) -> Value:
    return e.shifted(b, e.square(b, x), 0.5)


FUNCTIONS: dict[str, Case] = {
    "clamped": of_entries(lambda b, x: e.clamp(b, x, 0.0, 0.5), lambda x: x.clamp(0.0, 0.5)),
    "clamped below 0": of_entries(
        lambda b, x: e.clamp(b, x, -math.inf, -0.5), lambda x: x.clamp(max=-0.5)
    ),
    "leaky": of_entries(
        lambda b, x: e.leaky_relu(b, x, 0.3), lambda x: functional.leaky_relu(x, 0.3)
    ),
    "leaky, steep": of_entries(
        lambda b, x: e.leaky_relu(b, x, 1.5), lambda x: functional.leaky_relu(x, 1.5)
    ),
    "leaky, falling": of_entries(
        lambda b, x: e.leaky_relu(b, x, -0.5), lambda x: functional.leaky_relu(x, -0.5)
    ),
    "prelu": of_entries(
        lambda b, x: e.prelu(b, x, b.const(drawn(8))),
        lambda x: functional.prelu(x, tensor(8)),
    ),
    "elu": of_entries(lambda b, x: e.elu(b, x, 0.7, 1.3), lambda x: 1.3 * functional.elu(x, 0.7)),
    "celu": of_entries(
        lambda b, x: e.elu(b, x, 0.7, 1.0, 1.0 / 0.7), lambda x: functional.celu(x, 0.7)
    ),
    "silu": of_entries(lambda b, x: e.silu(b, x), functional.silu),
    "silu, steep": of_entries(lambda b, x: e.silu(b, x, 1.7), lambda x: x * torch.sigmoid(1.7 * x)),
    "hard sigmoid": of_entries(
        lambda b, x: e.hard_sigmoid(b, x, 1.0 / 6.0, 0.5), functional.hardsigmoid
    ),
    "hard swish": of_entries(
        lambda b, x: e.hard_swish(b, e.scaled(b, x, 4.0)), lambda x: functional.hardswish(4.0 * x)
    ),
    "gelu by tanh": of_entries(e.gelu_tanh, lambda x: functional.gelu(x, approximate="tanh")),
    "softplus": of_entries(
        lambda b, x: e.softplus(b, x, 2.0), lambda x: functional.softplus(x, 2.0)
    ),
    "mish": of_entries(e.mish, functional.mish),
    "log sigmoid": of_entries(e.log_sigmoid, functional.logsigmoid),
    "softsign": of_entries(e.softsign, functional.softsign),
    "softshrink": of_entries(
        lambda b, x: e.softshrink(b, x, 0.4), lambda x: functional.softshrink(x, 0.4)
    ),
    "sinh": of_entries(e.sinh, torch.sinh),
    "cosh": of_entries(e.cosh, torch.cosh),
    "log to base 3": of_entries(
        lambda b, x: e.log_base(b, positive(b, x), 3.0),
        lambda x: (x * x + 0.5).log() / math.log(3.0),
    ),
    "inverse root": of_entries(
        lambda b, x: e.rsqrt(b, positive(b, x)), lambda x: (x * x + 0.5).rsqrt()
    ),
    "divided": of_entries(
        lambda b, x: e.div(b, b.const(drawn(8)), positive(b, x)),
        lambda x: tensor(8) / (x * x + 0.5),
    ),
    "asin": of_entries(
        lambda b, x: arcs.asin(b, within(b, x, -1.0, 1.0)), lambda x: x.clamp(-1, 1).asin()
    ),
    "acos": of_entries(
        lambda b, x: arcs.acos(b, within(b, x, -1.0, 1.0)), lambda x: x.clamp(-1, 1).acos()
    ),
    "atan": of_entries(arcs.atan, torch.atan),
    "asinh": of_entries(lambda b, x: h.asinh(b, e.scaled(b, x, 3.0)), lambda x: (3 * x).asinh()),
    "acosh": of_entries(
        lambda b, x: h.acosh(b, e.shifted(b, e.square(b, x), 1.0)), lambda x: (x * x + 1).acosh()
    ),
    "atanh": of_entries(
        lambda b, x: h.atanh(b, within(b, x, -0.9, 0.9)), lambda x: x.clamp(-0.9, 0.9).atanh()
    ),
}

PARTS: dict[str, Case] = {
    "chosen": (
        (2, 3),
        lambda b, x: e.chosen(b, FLAGS, x, e.neg(b, x)),
        lambda x: torch.where(torch.from_numpy(FLAGS), x, -x),
    ),
    "chosen by rows": (
        (2, 3),
        lambda b, x: e.chosen(b, FLAGS[:, :1] & np.ones(3, np.bool_), x, b.const(drawn(2, 3))),
        lambda x: torch.where(torch.from_numpy(FLAGS[:, :1]), x, tensor(2, 3)),
    ),
    "chosen of zeros": (
        (2, 3),
        lambda b, x: e.chosen(b, FLAGS, b.const(0.0), x),
        lambda x: torch.where(torch.from_numpy(FLAGS), 0.0, x),
    ),
    "all chosen": (
        (2, 3),
        lambda b, x: e.chosen(b, np.ones((4, 1, 1), np.bool_), x, b.const(1.0)),
        lambda x: x.expand(4, 2, 3),
    ),
    "none chosen": (
        (3,),
        lambda b, x: e.chosen(b, np.zeros((2, 1), np.bool_), b.const(1.0), x),
        lambda x: x.expand(2, 3),
    ),
    "chosen by numbers": (
        (2, 3),
        lambda b, x: c.choice(b, c.greater(b, x, b.const(0.25)), x, b.const(drawn(4, 1, 3))),
        lambda x: torch.where(x > 0.25, x, tensor(4, 1, 3)),
    ),
    "chosen by numbers, else 0": (
        (2, 3),
        lambda b, x: c.choice(b, c.at_least(b, x, b.const(0.25)), b.const(drawn(3)), b.const(0.0)),
        lambda x: torch.where(x >= 0.25, tensor(3), 0.0),
    ),
    "not chosen by numbers": (
        (2, 3),
        lambda b, x: c.choice(b, c.is_true(b, x), b.const(0.0), b.const(2.0)),
        lambda x: torch.where(x != 0.0, 0.0, 2.0).double(),
    ),
    "either": (
        (5, 8),
        lambda b, x: c.either(b, *two_flags(b, x)),
        lambda x: ((x > 0.25) | (x < 0.75)).double(),
    ),
    "both": (
        (5, 8),
        lambda b, x: c.both(b, *two_flags(b, x)),
        lambda x: ((x > 0.25) & (x < 0.75)).double(),
    ),
    "one of two": (
        (5, 8),
        lambda b, x: c.one_of_two(b, *two_flags(b, x)),
        lambda x: ((x > 0.25) ^ (x < 0.75)).double(),
    ),
    "equal": (
        (5, 8),
        lambda b, x: c.equal(b, b.const(0.25), x),
        lambda x: (x == 0.25).double(),
    ),
    "hard shrink": (
        (5, 8),
        lambda b, x: c.shrink(b, x, 0.0, 0.5),
        lambda x: functional.hardshrink(x, 0.5),
    ),
    "soft shrink": (
        (5, 8),
        lambda b, x: c.shrink(b, x, 0.5, 0.5),
        lambda x: functional.softshrink(x, 0.5),
    ),
    "sign": ((5, 8), c.sign, torch.sign),
}


def two_flags(b: Builder, x: Value) -> tuple[Value, Value]:
    return c.greater(b, x, b.const(0.25)), c.greater(b, b.const(0.75), x)


def of_power(exponent: float) -> Case:
    return of_entries(
        lambda b, x: powers.power(b, positive(b, x), exponent), lambda x: (x * x + 0.5) ** exponent
    )


def of_quotient(divisor: float) -> dict[str, Case]:
    """All that rounds when it divides."""
    forms: dict[str, tuple[Callable[[Builder, Value, float], Value], Callable[[Tensor], Tensor]]]
    forms = {
        "floored": (rounding.floored_quotient, lambda x: (x / divisor).floor()),
        "cut": (rounding.cut_quotient, lambda x: (x / divisor).trunc()),
        "remainder": (rounding.remainder, lambda x: x.remainder(divisor)),
        "fmod": (rounding.fmod, lambda x: x.fmod(divisor)),
    }
    return {
        f"{name} by {divisor}": divided(formula, wanted, divisor)
        for name, (formula, wanted) in forms.items()
    }


def divided(
    formula: Callable[[Builder, Value, float], Value],
    wanted: Callable[[Tensor], Tensor],
    divisor: float,
) -> Case:
    return of_entries(
        lambda b, x: formula(b, within(b, x, -2.0, 2.0), divisor),
        lambda x: wanted(x.clamp(-2.0, 2.0)),
    )


NUMBERS: dict[str, Case] = {
    **{f"power {exponent}": of_power(exponent) for exponent in (0.0, -3.0, 0.5, 1.5, 6.0, 2.3)},
    "powers": (
        (2, 3),
        lambda b, x: powers.powers(b, positive(b, x), np.array([2.0, -1.0, 0.5])),
        lambda x: (x * x + 0.5) ** torch.tensor([2.0, -1.0, 0.5]),
    ),
    "a power of a constant": of_entries(
        lambda b, x: powers.any_power(b, b.const(3.0), x), lambda x: 3.0**x
    ),
    "a power of numbers": of_entries(
        lambda b, x: powers.any_power(b, positive(b, x), x), lambda x: (x * x + 0.5) ** x
    ),
    **of_quotient(0.75),
    **of_quotient(-0.75),
    "rounded to a digit": of_entries(
        lambda b, x: rounding.rounded(b, within(b, x, -2.0, 2.0), 1),
        lambda x: x.clamp(-2.0, 2.0).round(decimals=1),
    ),
    "rounded to tens": of_entries(
        lambda b, x: rounding.rounded(b, e.scaled(b, within(b, x, -2.0, 2.0), 20.0), -1),
        lambda x: (x.clamp(-2.0, 2.0) * 20.0).round(decimals=-1),
    ),
    "rounded up": of_entries(
        lambda b, x: rounding.ceil(b, within(b, x, -2.25, 1.25)),
        lambda x: x.clamp(-2.25, 1.25).ceil(),
    ),
    "the nearest of many": of_entries(
        lambda b, x: rounding.nearest(b, e.scaled(b, within(b, x, -1.0, 2.0), 50.0)),
        lambda x: (x.clamp(-1.0, 2.0) * 50.0).round(),
    ),
    "what is left": of_entries(
        lambda b, x: rounding.fraction(b, within(b, x, -2.0, 2.0)),
        lambda x: x.clamp(-2.0, 2.0).frac(),
    ),
}


def of_reduction(kind: str, with_own: bool) -> Case:
    index = np.array([[0, 2, 2], [1, 0, 2]])
    flat = index * 3 + np.arange(3)
    return (
        (4, 3),
        lambda b, x: scattering.reduced_at(b, x, flat, b.const(drawn(2, 3)), kind, with_own),
        lambda x: x.scatter_reduce(
            0, torch.from_numpy(index), tensor(2, 3), kind, include_self=with_own
        ),
    )


def of_pad(name: str, mode: str) -> Case:
    return (
        (2, 4, 5),
        lambda b, x: movement.pad_by_positions(b, x, [(0, 0), (1, 2), (3, 0)], mode),
        lambda x: functional.pad(x, (3, 0, 1, 2), name),
    )


MOVES: dict[str, Case] = {
    **{
        f"{kind}, {'with' if own else 'without'} its own": of_reduction(kind, own)
        for kind in scattering.REDUCTIONS
        for own in (False, True)
    },
    **{
        f"padding, {mode}": of_pad(name, mode)
        for name, mode in (("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap"))
    },
    "padding that cuts": (
        (3, 4, 5),
        lambda b, x: movement.pad_constant(b, x, [(-1, 2), (1, -2), (-1, -1)], 0.5),
        lambda x: functional.pad(x, (-1, -1, 1, -2, -1, 2), value=0.5),
    ),
    "edges cut": (
        (2, 6),
        lambda b, x: movement.pad_by_positions(b, x, [(0, 0), (-1, -2)], "edge"),
        lambda x: x[:, 1:-2],
    ),
    "turned": ((3, 4, 2), lambda b, x: movement.flip(b, x, [0, 1]), lambda x: x.flip(0, 1)),
    "rolled": ((3, 5), lambda b, x: movement.roll(b, x, 1, -2), lambda x: x.roll(-2, 1)),
    "rolled around": ((3, 5), lambda b, x: movement.roll(b, x, 1, 7), lambda x: x.roll(7, 1)),
    "repeated": ((2, 3), lambda b, x: movement.tile(b, x, [4, 1, 2]), lambda x: x.repeat(4, 1, 2)),
    "repeated along the last": (
        (2, 3, 2),
        lambda b, x: movement.tile(b, x, [3, 2]),
        lambda x: x.tile(3, 2),
    ),
    "zeros between": (
        (2, 3, 2),
        lambda b, x: movement.insert_zeros(b, x, 1, 3),
        lambda x: torch.stack([x, 0 * x, 0 * x], 2).reshape(2, 9, 2),
    ),
}

CASES = FUNCTIONS | PARTS | NUMBERS | MOVES


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_those_of_torch(name: str) -> None:
    agrees(CASES[name])


REFUSED: dict[str, Callable[[Builder, Value], Value]] = {
    "not positive": lambda b, x: powers.any_power(b, b.const(0.0), x),
    "a power of inf": lambda b, x: powers.power(b, x, math.inf),
    "a division by 0": lambda b, x: rounding.remainder(b, within(b, x, 0.0, 1.0), 0.0),
    "a division by inf": lambda b, x: rounding.fmod(b, within(b, x, 0.0, 1.0), math.inf),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_has_no_value_is_refused(said: str) -> None:
    b = Builder()
    with pytest.raises(InexpressibleError, match=said):
        REFUSED[said](b, b.input((2, 3)))
