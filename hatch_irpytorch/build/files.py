"""Single files: read, replace at once or not at all, remove; nothing outside the root."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hatch_irpytorch.build.content import Content, pieces_of
from hatch_irpytorch.errors import IRPyTorchError, Place, fail
from hatch_irpytorch.source.reading import content, reason

TEMPORARY = ".irpytorch-tmp"
_LEFTOVER = re.compile(rf"\.\w+\.(py|typed|json|safetensors){re.escape(TEMPORARY)}", re.ASCII)
_TOGETHER = 500
_AT_ONCE = 8


def output_path(root: Path, path: str) -> Path:
    """Where an output is: below `root`, not a link, and in no folder that leads elsewhere.

    Raises `outside-project`, `not-ours`.
    """
    return output_paths(root, [path])[path]


def output_paths(root: Path, paths: Iterable[str]) -> dict[str, Path]:
    """Where outputs are. Each of their folders is looked at once."""
    folders: set[str] = set()
    found: dict[str, Path] = {}
    for path in paths:
        folder = path.rpartition("/")[0]
        if folder not in folders:
            _refuse_links(root, folder)
            folders.add(folder)
        full = root / path
        if full.is_symlink():
            message = "a symbolic link stands where an output belongs"
            raise fail("not-ours", Place(path), message, "remove it")
        found[path] = full
    return found


def _refuse_links(root: Path, folder: str) -> None:
    """Outputs stand in folders of the project itself, not where a link leads."""
    way = root
    for part in folder.split("/") if folder else ():
        way = way / part
        if way.is_symlink():
            shown = way.relative_to(root).as_posix()
            if not way.resolve().is_relative_to(root.resolve()):
                message = "a symbolic link on the way to the outputs leads out of the project"
                raise fail("outside-project", Place(shown), message)
            message = "a symbolic link stands on the way to the outputs"
            raise fail("not-ours", Place(shown), message, "name the folder itself, or remove it")


def folder_names(root: Path, folder: str) -> list[str]:
    """What stands in a folder of outputs, sorted; nothing when there is no such folder.

    Raises `outside-project`, `not-ours`.
    """
    _refuse_links(root, folder)
    try:
        with os.scandir(root / folder) as entries:
            return sorted(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        message = f"the folder cannot be read: {reason(error)}"
        raise fail("cannot-write", Place(folder), message) from None


def output_bytes(root: Path, path: str) -> bytes | None:
    """The content of an output, or None when there is nothing."""
    return file_bytes(output_path(root, path), path)


def file_bytes(path: Path, name: str) -> bytes | None:
    """The content of a regular file, or None when there is nothing. Raises `cannot-write`."""
    try:
        return content(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"the output cannot be read: {reason(error)}"
        raise fail("cannot-write", Place(name), message) from None


def replace_file(path: Path, data: Content, name: str) -> None:
    """Replace one file, at once or not at all. Raises `cannot-write`, which names it `name`."""
    replace_files([(path, data, name)])


def replace_files(files: Iterable[tuple[Path, Content, str]]) -> None:
    """Replace files, each at once or not at all; the third of an entry is what errors call it.

    Many at a time are written to temporary names in the same folders, then all of those are flushed
    to disk, then renamed: a disk flushes many new files faster than each before the next is made.

    Only one build of a project runs at a time, so a temporary name is fixed: what a killed build
    left behind is written over or removed by the next.
    """
    waiting: list[tuple[Path, Content, str]] = []
    for file in files:
        waiting.append(file)
        if len(waiting) == _TOGETHER or not isinstance(file[1], bytes):
            _replace_together(waiting)
            waiting = []
    _replace_together(waiting)


def _replace_together(files: list[tuple[Path, Content, str]]) -> None:
    try:
        for path, data, name in files:
            with _told_of(name):
                _write(_temporary(path), data)
        _flush_all(files)
        for path, _, name in files:
            with _told_of(name):
                _temporary(path).replace(path)
    except IRPyTorchError:
        for path, _, _ in files:
            with suppress(OSError):
                _temporary(path).unlink()
        raise


def _flush_all(files: list[tuple[Path, Content, str]]) -> None:
    """Flush the temporary files; a disk takes many at once in a third of the time."""

    def flush(file: tuple[Path, Content, str]) -> None:
        path, _, name = file
        with _told_of(name):
            _flush(_temporary(path))

    if len(files) < _AT_ONCE:
        for file in files:
            flush(file)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(flush, files):
            pass


@contextmanager
def _told_of(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"the file cannot be written: {reason(error)}"
        raise fail("cannot-write", Place(name), message) from None


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}{TEMPORARY}")


def _write(path: Path, data: Content) -> None:
    with os.fdopen(_created(path), "wb") as stream:
        for piece in pieces_of(data):
            stream.write(piece)
    path.chmod(0o644)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _created(path: Path) -> int:
    """A new file, open for writing; its folder is made, a file of that name goes first."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags, 0o644)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        path.unlink()
    return os.open(path, flags, 0o644)


def remove_file(path: Path, name: str) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise fail(
            "cannot-write", Place(name), f"the file cannot be removed: {reason(error)}"
        ) from None


def is_leftover(name: str) -> bool:
    """Whether a file's name is the temporary one of a file that a build writes."""
    return _LEFTOVER.fullmatch(name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed build left in a folder."""
    for leftover in folder.glob(f".*{TEMPORARY}"):
        if is_leftover(leftover.name):
            with suppress(OSError):
                leftover.unlink()
