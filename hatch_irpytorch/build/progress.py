"""How far a long build is, on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hatch_irpytorch.build.jobs import Progress

SHOWN_FROM = 20
"""Fewer models are done before anybody wonders."""


def terminal_progress() -> Progress | None:
    """Writes `120/1000 models` over itself to stderr; None where that is no terminal."""
    return _show if sys.stderr is not None and sys.stderr.isatty() else None


def _show(done: int, total: int) -> None:
    if total >= SHOWN_FROM:
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{done}/{total} models{end}")
        sys.stderr.flush()
