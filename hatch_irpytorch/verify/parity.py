"""A module computes what its graph says: torch against the NumPy reference."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hatch_irpytorch.build.golden import GoldenCase, golden_input, make_golden
from hatch_irpytorch.emit.literals import rounded
from hatch_irpytorch.emit.options import EmitOptions
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem
from hatch_irpytorch.ir.graph import Model, shape_text
from hatch_irpytorch.ir.reference import evaluate
from hatch_irpytorch.verify.process import last_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

DOUBLE = 1e-9
"""How far a module run in float64 may be from the reference, relative to the largest output."""

FUSED = 1e-5
"""The same for a module with `fuse: true`."""

_SEED = 1_000
_CASES = 3


@dataclass(frozen=True)
class Loaded:
    """A generated module in this process, and the path that messages name."""

    module: torch.nn.Module
    file: str


@dataclass(frozen=True)
class Within:
    """The dtype of the inputs, and how far outputs may be off: atol + rtol * |expected|.

    Without `atol` it is `rtol` times the largest finite output of the case, or 1.
    """

    dtype: str
    rtol: float
    atol: float | None = None


def load_module(path: Path, class_name: str, file: str) -> Loaded:
    """An instance of the class in a generated file. Raises whatever its import raises."""
    spec = spec_from_file_location(f"_irpytorch_verified_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    source = module_from_spec(spec)
    written = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        spec.loader.exec_module(source)
    finally:
        sys.dont_write_bytecode = written
    return Loaded(getattr(source, class_name)(), file)


def check_parity(loaded: Loaded, model: Model, options: EmitOptions) -> list[Problem]:
    """Findings of the module, widened to float64, against the reference with rounded parameters.

    Both then hold the same numbers, so that only the code can make a difference.
    """
    dtype = options.dtype
    params = {key: rounded(array, dtype) for key, array in model.params.items()}
    same_numbers = Model(model.graph, params)
    cases = [
        case
        for positive in (False, True)
        for seed in range(_SEED, _SEED + _CASES)
        for case in _case(same_numbers, seed, positive)
    ]
    loaded.module.double().eval()
    within = Within("float64", _relative(model, options))
    return compare(loaded, cases or make_golden(same_numbers), "not-parity", within)


def _relative(model: Model, options: EmitOptions) -> float:
    """Random draws are rounded when the module is built, so they stay as wide as its dtype.

    A fused module has numbers of its own, folded and then rounded.
    """
    live = model.graph.live_ids()
    drawn = any(node.op.tag == "rand_uniform" for node in model.graph.nodes if node.id in live)
    wide = max(DOUBLE, 16 * float(torch.finfo(getattr(torch, options.dtype)).eps))
    if options.fuse:
        return max(FUSED, wide)
    return wide if drawn else DOUBLE


def _case(model: Model, seed: int, positive: bool) -> list[GoldenCase]:
    x = golden_input(model.graph.input_shape, seed, positive)
    try:
        return [GoldenCase(x, evaluate(model, x))]
    except IRPyTorchError:
        return []


def compare(
    loaded: Loaded, cases: Iterable[GoldenCase], code: str, within: Within
) -> list[Problem]:
    """Findings of a module on golden cases, at most one a case."""
    problems: list[Problem] = []
    for number, case in enumerate(cases):
        message = _difference(loaded.module, case, within)
        if message:
            problems.append(Problem(code, Place(loaded.file), f"case {number}: {message}"))
    return problems


def _difference(module: torch.nn.Module, case: GoldenCase, within: Within) -> str:
    try:
        with torch.no_grad():
            found = module(torch.tensor(case.input, dtype=getattr(torch, within.dtype)))
    except Exception as error:
        return f"the module raises {type(error).__name__}: {last_line(str(error))}"
    outputs = found if isinstance(found, tuple) else (found,)
    if len(outputs) != len(case.outputs):
        return f"{len(outputs)} outputs, expected {len(case.outputs)}"
    for position, (output, expected) in enumerate(zip(outputs, case.outputs, strict=True)):
        message = _tensor_difference(output, expected, within)
        if message:
            return f"output {position}{message}"
    return ""


def _tensor_difference(output: torch.Tensor, expected: Array, within: Within) -> str:
    if tuple(output.shape) != expected.shape:
        return f" is {shape_text(tuple(output.shape))}, expected {shape_text(expected.shape)}"
    if output.dtype != getattr(torch, within.dtype):
        return f" is {output.dtype}, expected torch.{within.dtype}"
    found = output.detach().cpu().double().numpy()
    atol = within.atol
    if atol is None:
        finite = np.abs(expected[np.isfinite(expected)])
        atol = within.rtol * max(1.0, float(finite.max(initial=0.0)))
    close = np.isclose(found, expected, rtol=within.rtol, atol=atol, equal_nan=True)
    if close.all():
        return ""
    index = tuple(int(i) for i in np.argwhere(~close)[0])
    return f" at {index} is {found[index]}, expected {expected[index]}"
