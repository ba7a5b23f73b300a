"""Whether a file can be written at a place, asked before the work that makes it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hatch_irpytorch.errors import Place, fail
from hatch_irpytorch.source.reading import reason

_MAX_NAME = 255


def require_place(path: Path, name: str | None = None) -> None:
    """Raise `cannot-write` where no file can be written, for its own name or for its folder.

    Errors call the file `name`, or by its path. A folder that is missing is no reason: it is made.
    """
    problem = _problem(path)
    if problem:
        message = f"the file cannot be written: {problem}"
        raise fail("cannot-write", Place(path.as_posix() if name is None else name), message)


def _problem(path: Path) -> str:
    try:
        if len(os.fsencode(path.name)) > _MAX_NAME:
            return f"a name has at most {_MAX_NAME} bytes"
        if not path.name or stat.S_ISDIR(_status(path)):
            return "it is a folder"
        folder = path.parent
        while not _status(folder) and folder != folder.parent:
            folder = folder.parent
        if not stat.S_ISDIR(_status(folder)):
            return f"`{folder.as_posix()}` is no folder"
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"`{folder.as_posix()}` is not yours to write to"
    except (OSError, ValueError) as error:
        return reason(error)
    return ""


def _status(path: Path) -> int:
    """The mode of what stands at a path, 0 for nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
