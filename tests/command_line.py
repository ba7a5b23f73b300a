"""`irpytorch` in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with these arguments, in `folder`; its output is text."""
    command = [sys.executable, "-m", "hatch_irpytorch", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
