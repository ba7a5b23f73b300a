"""Single files: read, replace at once or not at all, remove; nothing outside the root."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

from hatch_irpytorch.build.content import Content, pieces_of
from hatch_irpytorch.errors import Place, fail
from hatch_irpytorch.source.reading import content, reason

_ENDING = ".irpytorch-tmp"
_LEFTOVER = rf"\.([0-9]{{1,10}})-[0-9]+{re.escape(_ENDING)}"
_NUMBERS = count(1)
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

    A temporary name is that of one process and one file, and new: commands that write one file at
    once do not meet, and nothing that stands there is written over.
    """
    waiting: list[tuple[Path, Content, str]] = []
    for file in files:
        waiting.append(file)
        if len(waiting) == _TOGETHER or not isinstance(file[1], bytes):
            _replace_together(waiting)
            waiting = []
    _replace_together(waiting)


class _Written(NamedTuple):
    """A file under its temporary name, its own path, and what errors call it."""

    temporary: Path
    path: Path
    name: str


def _replace_together(files: list[tuple[Path, Content, str]]) -> None:
    written: list[_Written] = []
    try:
        for path, data, name in files:
            with _told_of(name):
                descriptor, temporary = _created(path.parent)
                written.append(_Written(temporary, path, name))
                _write(descriptor, temporary, data)
        _flush_all(written)
        for file in written:
            with _told_of(file.name):
                file.temporary.replace(file.path)
    except BaseException:
        for file in written:
            with suppress(OSError):
                file.temporary.unlink()
        raise


def _flush_all(files: list[_Written]) -> None:
    """Flush the temporary files; a disk takes many at once in a third of the time."""

    def flush(file: _Written) -> None:
        with _told_of(file.name):
            _flush(file.temporary)

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


def _created(folder: Path) -> tuple[int, Path]:
    """A new file under a temporary name, open for writing; its folder is made where it is missing.

    Raises `OSError`.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        path = folder / f".{os.getpid()}-{next(_NUMBERS)}{_ENDING}"
        try:
            return os.open(path, flags, 0o644), path
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            continue


def _write(descriptor: int, path: Path, data: Content) -> None:
    with os.fdopen(descriptor, "wb") as stream:
        for piece in pieces_of(data):
            stream.write(piece)
    path.chmod(0o644)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_file(path: Path, data: bytes) -> None:
    """Write a file where nothing stands, a link included. Raises `OSError`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with suppress(FileExistsError), os.fdopen(os.open(path, flags, 0o644), "wb") as stream:
        stream.write(data)


def remove_file(path: Path, name: str) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise fail(
            "cannot-write", Place(name), f"the file cannot be removed: {reason(error)}"
        ) from None


def is_leftover(name: str) -> bool:
    """Whether a file's name is a temporary one."""
    return re.fullmatch(_LEFTOVER, name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes, in a folder whose project is locked.

    Another build does not run then; a command that writes one file does not ask for the lock.
    """
    for leftover in folder.glob(f".*{_ENDING}"):
        found = re.fullmatch(_LEFTOVER, leftover.name)
        if found and not _runs(int(found[1])):
            with suppress(OSError):
                leftover.unlink()


def _runs(process: int) -> bool:
    """Whether another process with this number runs; only POSIX can ask and do no harm."""
    if process == os.getpid() or os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
