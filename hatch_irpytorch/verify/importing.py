"""A module imports cleanly: in a fresh process, with warnings as errors, printing nothing."""

from __future__ import annotations

from pathlib import Path

from hatch_irpytorch.errors import Place, Problem
from hatch_irpytorch.verify.process import last_line, run_python

# Warnings of torch's own import are not ours to judge, so it comes first.
_PROGRAM = """\
import importlib, sys, warnings
import torch
warnings.simplefilter("error")
importlib.import_module(sys.argv[1])
"""


def check_import(folder: Path, name: str, file: str) -> list[Problem]:
    """Findings for the module `name`, dotted, importable from `folder`; `file` is its path."""
    result = run_python(folder, "-c", _PROGRAM, name)
    if result.returncode:
        message = f"importing `{name}` failed: {last_line(result.stderr)}"
        return [Problem("import-failed", Place(file), message)]
    if result.stdout:
        message = f"importing `{name}` printed: {last_line(result.stdout)}"
        return [Problem("import-failed", Place(file), message)]
    return []
