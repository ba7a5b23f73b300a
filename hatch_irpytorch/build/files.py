"""Single files: read, replace at once or not at all, remove; nothing outside the root."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from hatch_irpytorch.build.content import Content, pieces_of
from hatch_irpytorch.errors import Place, fail

_TEMPORARY = ".irpytorch-tmp"


def output_path(root: Path, path: str) -> Path:
    """Where an output is: below `root`, not a link, and in no folder that leads elsewhere.

    Raises `outside-project`, `not-ours`.
    """
    full = root / path
    if not full.parent.resolve().is_relative_to(root.resolve()):
        message = "a symbolic link on the way to this output leads out of the project"
        raise fail("outside-project", Place(path), message)
    if full.is_symlink():
        message = "a symbolic link stands where an output belongs"
        raise fail("not-ours", Place(path), message, "remove it")
    return full


def output_bytes(root: Path, path: str) -> bytes | None:
    """The content of an output, or None when there is nothing."""
    return file_bytes(output_path(root, path), path)


def file_bytes(path: Path, name: str) -> bytes | None:
    """The content of a regular file, or None when there is nothing. Raises `cannot-write`."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise fail(
            "cannot-write", Place(name), f"the output cannot be read: {_reason(error)}"
        ) from None


def replace_file(path: Path, content: Content, name: str) -> None:
    """Write to a temporary name in the same folder, flush it to disk, rename it.

    Only one build of a project runs at a time, so the temporary name is fixed: what a killed build
    left behind is written over or removed by the next.
    """
    temporary = path.with_name(f".{path.name}{_TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(temporary, flags, 0o644), "wb") as stream:
            for piece in pieces_of(content):
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise fail(
            "cannot-write", Place(name), f"the file cannot be written: {_reason(error)}"
        ) from None


def remove_file(path: Path, name: str) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise fail(
            "cannot-write", Place(name), f"the file cannot be removed: {_reason(error)}"
        ) from None


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed build left in a folder."""
    for leftover in folder.glob(f".*{_TEMPORARY}"):
        with suppress(OSError):
            leftover.unlink()


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
