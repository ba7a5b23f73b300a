"""A module computes what its graph says: inputs, reference outputs, how far it may be off."""

from __future__ import annotations

from hatch_irpytorch.build.golden import GoldenCase, golden_input
from hatch_irpytorch.emit.options import EmitOptions
from hatch_irpytorch.errors import IRPyTorchError
from hatch_irpytorch.ir.graph import Model
from hatch_irpytorch.ir.reference import evaluate
from hatch_irpytorch.verify.numbers import Limits, distances, in_dtype, shaken, widened

DOUBLE = 1e-9
"""How far each entry of a module run in float64 may be from the reference, relative to itself."""

FUSED = 1e-5
"""The same, and the absolute limit, for a module with `fuse: true` or `layout: modules`."""

_SEED = 1_000
_CASES = 3
_SMALLEST = 1e-300


def parity_cases(
    model: Model, dtype: str, others: tuple[GoldenCase, ...]
) -> tuple[GoldenCase, ...]:
    """Inputs, and what a module gives for them when it holds its numbers and runs in float64.

    The inputs are those of `others` when no trial input lies in the domain of the graph.
    """
    shape, integers = model.graph.input_shape, model.graph.integers
    trials = [
        golden_input(shape, seed, positive, integers)
        for positive in (False, True)
        for seed in range(_SEED, _SEED + _CASES)
    ]
    cases = [case for x in trials for case in _case(model, dtype, x)]
    return tuple(cases or [case for other in others for case in _case(model, dtype, other.input)])


def _case(model: Model, dtype: str, x: object) -> list[GoldenCase]:
    try:
        return [GoldenCase(x, evaluate(model, x, widened(dtype)))]  # type: ignore[arg-type]
    except IRPyTorchError:
        return []


def parity_limits(model: Model, options: EmitOptions, cases: tuple[GoldenCase, ...]) -> Limits:
    """Both sides hold the same numbers, so that only the code and rounding make a difference.

    A fused module has numbers of its own, folded and then rounded to its dtype; one of several
    classes has PyTorch's GELU for a polynomial whose numbers were rounded.
    """
    if options.rewrites:
        narrow = in_dtype(options.dtype)
        what = f"NumPy in {options.dtype}"
        return Limits("float64", FUSED, FUSED, lambda: distances(model, cases, narrow), what)
    noisy = shaken(widened(options.dtype))
    what = "a run with rounding errors"
    return Limits("float64", DOUBLE, _SMALLEST, lambda: distances(model, cases, noisy), what)
