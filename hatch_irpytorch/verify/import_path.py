"""What generated modules and their checks may be imported from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def import_path(entries: Iterable[str], output: Path) -> list[str]:
    """The entries of a path that are absolute and neither the working directory nor in `output`."""
    here, outputs = Path.cwd().resolve(), output.resolve()
    kept = []
    for entry in entries:
        folder = Path(entry)
        if folder.is_absolute():
            found = folder.resolve()
            if found != here and not found.is_relative_to(outputs):
                kept.append(entry)
    return kept
