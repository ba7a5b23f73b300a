"""`irpytorch` in a process of its own, or in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess

from hatch_irpytorch.cli import main


def run(folder: Path, *arguments: str) -> CompletedProcess[str]:
    """The command with these arguments, in `folder`; its output is text."""
    command = [sys.executable, "-m", "hatch_irpytorch", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def called(folder: Path, *arguments: str) -> CompletedProcess[str]:
    """The same without a process that imports torch: for what a command does, not how it runs."""
    here, path = Path.cwd(), list(sys.path)
    output, errors = StringIO(), StringIO()
    os.chdir(folder)
    try:
        with redirect_stdout(output), redirect_stderr(errors):
            code = main(list(arguments))
    finally:
        os.chdir(here)
        sys.path[:] = path
        for name, module in list(sys.modules.items()):
            if Path(getattr(module, "__file__", None) or "/").is_relative_to(folder):
                del sys.modules[name]
    return CompletedProcess(arguments, code, output.getvalue(), errors.getvalue())
