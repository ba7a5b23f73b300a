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
    own = [file.stem for file in folder.glob("*.py")]
    others = {name: sys.modules.pop(name) for name in own if name in sys.modules}
    output, errors = StringIO(), StringIO()
    os.chdir(folder)
    try:
        with redirect_stdout(output), redirect_stderr(errors):
            code = main(list(arguments))
    finally:
        os.chdir(here)
        sys.path[:] = path
        for name in own:
            sys.modules.pop(name, None)
        sys.modules.update(others)
    return CompletedProcess(arguments, code, output.getvalue(), errors.getvalue())
