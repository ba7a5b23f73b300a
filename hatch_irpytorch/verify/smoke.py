"""A module runs as a program: it trains a few steps and prints a loss that does not rise."""

from __future__ import annotations

import math
import re
from pathlib import Path

from hatch_irpytorch.errors import Place, Problem
from hatch_irpytorch.verify.process import last_line, run_python

_STEP = re.compile(r"step \d+: loss (\S+)")


def check_smoke(folder: Path, name: str, file: str) -> list[Problem]:
    """Findings for `python -m name` in `folder`; `file` is the module's path."""
    result = run_python(folder, "-W", "error::UserWarning:__main__", "-m", name)
    if result.returncode:
        message = f"`python -m {name}` failed: {last_line(result.stderr)}"
        return [Problem("smoke-failed", Place(file), message)]
    losses = [float(text) for text in _STEP.findall(result.stdout)]
    if len(losses) < 2:
        message = f"`python -m {name}` printed no losses: {last_line(result.stdout)}"
    elif not all(map(math.isfinite, losses)):
        message = f"`python -m {name}` printed a loss that is not finite: {losses}"
    elif losses[-1] > losses[0]:
        message = f"the loss rises from {losses[0]} to {losses[-1]}"
    else:
        return []
    return [Problem("smoke-failed", Place(file), message)]
