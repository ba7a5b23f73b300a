"""What generated modules and their checks may be imported from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def import_path(entries: Iterable[str], root: Path, output: Path) -> list[str]:
    """The absolute entries of a path but the working directory, a project's root and its output."""
    here, outputs = (Path.cwd().resolve(), root.resolve()), output.resolve()
    kept = []
    for entry in entries:
        folder = Path(entry)
        if folder.is_absolute():
            found = folder.resolve()
            if found not in here and not found.is_relative_to(outputs):
                kept.append(entry)
    return kept
