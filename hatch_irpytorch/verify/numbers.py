"""How far a module may be from the reference, and where it is further away than that.

What a dtype does to the numbers of a model is measured: the graph is evaluated once more with
numbers of that dtype. It is measured only where a module is further off than is always allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.build.golden import GoldenCase
from hatch_irpytorch.emit.literals import rounded
from hatch_irpytorch.errors import IRPyTorchError
from hatch_irpytorch.ir.graph import Model
from hatch_irpytorch.ir.reference import Numbers, as_float64, evaluate
from hatch_irpytorch.ir.shapes import shape_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Reals = NDArray[np.floating[Any]]

MARGIN = 4
"""How many times the measured distance a module may be off."""

_SHAKEN = 2.0**-49


@dataclass(frozen=True)
class Output:
    """A tensor that a module returned, widened to float64, and the dtype that it had."""

    dtype: str
    values: Array


Outputs = tuple[Output, ...] | str
"""What a module returned for one input, or how it failed."""


def in_dtype(dtype: str) -> Numbers:
    """NumPy in a dtype. Those of 16 bits are float32 that is rounded after each node."""

    def of_dtype(array: Reals) -> Reals:
        values = rounded(array, dtype)
        return values if dtype in ("float32", "float64") else values.astype(np.float32)

    return Numbers(of_dtype, lambda array: of_dtype(_drawn(array, dtype)), of_dtype)


def widened(dtype: str) -> Numbers:
    """Float64 with the stored numbers of a dtype, as in a module that `.double()` widened."""
    return Numbers(
        lambda array: as_float64(rounded(array, dtype)),
        lambda array: as_float64(_drawn(array, dtype)),
        as_float64,
    )


def shaken(numbers: Numbers) -> Numbers:
    """Float64 in which every number is off by up to some units in its last place, at random.

    The distance of such a run is what another order of sums may make of a model.
    """
    random = np.random.default_rng(0)

    def off(array: Reals) -> Reals:
        return np.asarray(array * (1.0 + _SHAKEN * random.uniform(-1.0, 1.0, array.shape)))

    return Numbers(
        lambda array: off(numbers.stored(array)),
        numbers.drawn,
        lambda array: off(numbers.computed(array)),
    )


def _drawn(array: Reals, dtype: str) -> Reals:
    """A module divides its draws in float32, whatever narrower dtype it rounds them to then."""
    return rounded(array if dtype == "float64" else rounded(array, "float32"), dtype)


def distances(model: Model, cases: Sequence[GoldenCase], numbers: Numbers) -> tuple[float, ...]:
    """How far each output is from the cases, at most, when the graph is evaluated with `numbers`.

    Entries that are not finite in both do not count, nor do cases that leave the domain of an op.
    """
    found = [0.0] * len(model.graph.output_ids)
    for case in cases:
        try:
            outputs = evaluate(model, case.input, numbers)
        except IRPyTorchError:
            continue
        for position, (output, expected) in enumerate(zip(outputs, case.outputs, strict=True)):
            finite = np.isfinite(output) & np.isfinite(expected)
            away = np.abs(output[finite] - expected[finite])
            found[position] = max(found[position], float(away.max(initial=0.0)))
    return tuple(found)


@dataclass(frozen=True)
class Limits:
    """How far the outputs of a module in `dtype` may be off: atol + rtol * |expected|, or MARGIN
    times what `measure` finds for the output, whichever is more. `what` names that measure.
    """

    dtype: str
    rtol: float
    atol: float
    measure: Callable[[], tuple[float, ...]] | None = None
    what: str = ""

    @cached_property
    def measured(self) -> tuple[float, ...]:
        return self.measure() if self.measure is not None else ()

    def slack(self, position: int) -> float:
        return MARGIN * self.measured[position] if self.measured else 0.0


def differences(found: Sequence[Outputs], cases: Sequence[GoldenCase], limits: Limits) -> list[str]:
    """How the outputs of a module differ from those of the cases: at most one line a case."""
    lines = []
    for number, (outputs, case) in enumerate(zip(found, cases, strict=True)):
        line = _case_difference(outputs, case.outputs, limits)
        if line:
            lines.append(f"case {number}: {line}")
    return lines


def _case_difference(found: Outputs, expected: tuple[Array, ...], limits: Limits) -> str:
    if isinstance(found, str):
        return f"the module raises {found}"
    if len(found) != len(expected):
        return f"{len(found)} outputs, expected {len(expected)}"
    for position, (output, values) in enumerate(zip(found, expected, strict=True)):
        line = _output_difference(output, values, position, limits)
        if line:
            return f"output {position}{line}"
    return ""


def _output_difference(output: Output, expected: Array, position: int, limits: Limits) -> str:
    found = output.values
    if found.shape != expected.shape:
        return f" is {shape_text(found.shape)}, expected {shape_text(expected.shape)}"
    if output.dtype != limits.dtype:
        return f" is {output.dtype}, expected {limits.dtype}"
    with np.errstate(all="ignore"):
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        away = np.where(same, 0.0, np.abs(found - expected))
        allowed = limits.atol + limits.rtol * np.abs(expected)
        if _is_within(away, allowed):
            return ""
        slack = limits.slack(position)
        allowed = np.maximum(allowed, slack)
        if _is_within(away, allowed):
            return ""
        excess = np.where(away > 0.0, away / allowed, 0.0)
    excess = np.where(np.isnan(excess), np.inf, excess)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(excess)), excess.shape))
    value, wanted, most = found[index], expected[index], float(allowed[index])
    tolerance = f"{limits.atol:.3g} + {limits.rtol:.3g} * |expected|"
    if most == slack:
        tolerance = f"{MARGIN} times the distance of {limits.what}"
    return (
        f" at {index} is {value}, expected {wanted}: off by {away[index]:.3g}, "
        f"{excess[index]:.3g} times the tolerance {most:.3g} ({tolerance})"
    )


def _is_within(away: Array, allowed: Array) -> bool:
    """An infinity is within nothing but itself."""
    return bool(((away == 0.0) | (np.isfinite(away) & (away <= allowed))).all())
