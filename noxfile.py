"""Every check of this repository: `nox` runs them all, `nox -s regen` refreshes `generated/`."""

from __future__ import annotations

import sys
from pathlib import Path

import nox

nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).parent
SHARED = ROOT / ".nox" / "shared"
PYTHON = str(SHARED / ("Scripts" if sys.platform == "win32" else "bin") / "python")


def shared_environment(session: nox.Session) -> None:
    """One environment for every session that needs torch, made by the first of them."""
    if not Path(PYTHON).exists():
        session.run(sys.executable, "-m", "venv", str(SHARED), external=True)
    session.run(
        PYTHON, "-m", "pip", "install", "-q", "pip>=25.1", "./hatch_irpytorch", external=True
    )
    session.run(PYTHON, "-m", "pip", "install", "-q", "--group", "test", external=True)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """The test suite."""
    shared_environment(session)
    session.run(PYTHON, "-m", "pytest", *session.posargs, external=True)
