"""Python in a fresh process beside the generated package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TIMEOUT_SECONDS = 900.0


def run_python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The interpreter with these arguments in `folder`; it leaves no bytecode behind.

    A process that does not end counts as one that failed with code 124.
    """
    command = [sys.executable, "-B", *arguments]
    try:
        return subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        message = f"the process did not end within {TIMEOUT_SECONDS:.0f} seconds"
        return subprocess.CompletedProcess(command, 124, "", message)


def last_line(text: str) -> str:
    """The last line that says something: of a traceback, the exception."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "nothing"
