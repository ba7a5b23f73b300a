"""A golden file holds what the model gives, and a module reproduces it."""

from __future__ import annotations

from pathlib import Path

from hatch_irpytorch.build.content import same_text
from hatch_irpytorch.build.files import output_bytes
from hatch_irpytorch.build.golden import (
    GoldenCase,
    GoldenFile,
    cases_difference,
    golden_path,
    read_golden,
)
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem
from hatch_irpytorch.ir.graph import Model
from hatch_irpytorch.manifest import Manifest
from hatch_irpytorch.verify.numbers import Limits, distances, in_dtype

_HINT = "run `irpytorch regen`"


def golden_problems(root: Path, module: str, wanted: GoldenFile) -> list[Problem]:
    """Findings of the golden file on disk: it has to hold all cases that the model gives."""
    path = golden_path(module)
    try:
        data = output_bytes(root, path)
        if data is None:
            return [Problem("not-golden", Place(path), "the golden file does not exist", _HINT)]
        if same_text(data, wanted.data):
            return []
        found = cases_difference(read_golden(data, path), golden_cases(module, wanted))
    except IRPyTorchError as error:
        return list(error.problems)
    return [Problem("not-golden", Place(path), found, _HINT)] if found else []


def golden_cases(module: str, wanted: GoldenFile) -> tuple[GoldenCase, ...]:
    """The cases that a model gives, as its golden file has them."""
    return read_golden(wanted.data, golden_path(module))


def golden_limits(model: Model, manifest: Manifest, cases: tuple[GoldenCase, ...]) -> Limits:
    """What the manifest says, or what the dtype needs: the distance of a NumPy run in it."""
    dtype, tolerance = manifest.emit.dtype, manifest.golden
    if tolerance.given:
        return Limits(dtype, tolerance.rtol, tolerance.atol)
    narrow = in_dtype(dtype)
    return Limits(
        dtype,
        tolerance.rtol,
        tolerance.atol,
        lambda: distances(model, cases, narrow),
        f"NumPy in {dtype}",
    )
