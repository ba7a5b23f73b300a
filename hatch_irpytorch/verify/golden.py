"""A module reproduces its golden file."""

from __future__ import annotations

from pathlib import Path

from hatch_irpytorch.build.files import output_bytes
from hatch_irpytorch.build.golden import golden_path, read_golden
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem
from hatch_irpytorch.manifest import Manifest
from hatch_irpytorch.verify.parity import Loaded, Within, compare


def check_golden(root: Path, manifest: Manifest, loaded: Loaded) -> list[Problem]:
    """Findings of the module in its own dtype against the golden file, within `golden:`."""
    path = golden_path(manifest.module)
    data = output_bytes(root, path)
    if data is None:
        message = "the golden file does not exist"
        return [Problem("not-golden", Place(path), message, "run `irpytorch regen`")]
    try:
        cases = read_golden(data, path)
    except IRPyTorchError as error:
        return list(error.problems)
    within = Within(manifest.emit.dtype, manifest.golden.rtol, manifest.golden.atol)
    return compare(loaded, cases, "not-golden", within)
