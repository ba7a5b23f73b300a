"""Copies of the sample project that a test may change, and what a folder holds."""

from __future__ import annotations

import shutil
from pathlib import Path

from repository import SAMPLE_PROJECT


def sample_copy(parent: Path) -> Path:
    """The sample project without its outputs, in a new folder below `parent`."""
    return Path(shutil.copytree(SAMPLE_PROJECT, parent / "project"))


def files(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder, by its path there."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
