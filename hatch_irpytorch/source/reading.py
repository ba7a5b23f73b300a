"""The one door for files of others: regular files of a sane size, their bytes, bytes as text."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from hatch_irpytorch.errors import Place, fail

MAX_BYTES = 1 << 33
"""No file that is read into memory is larger."""

_PIECE = 1 << 20
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def opened(path: str | Path, limit: int | None = None) -> Iterator[int]:
    """A descriptor of a regular file; never waits for whoever is behind a pipe.

    Raises `OSError`, whose `strerror` says what stands there instead, or that the file is larger
    than `limit` bytes.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "no file")
            raise OSError(errno.EINVAL, f"it is {kind}")
        if limit is not None and found.st_size > limit:
            raise OSError(errno.EFBIG, f"it has {found.st_size} bytes, at most {limit} are read")
        yield descriptor
    finally:
        os.close(descriptor)


def pieces_of_file(path: str | Path) -> Iterator[bytes]:
    """The bytes of a regular file, a megabyte at a time. Raises `OSError`."""
    with opened(path) as descriptor:
        while piece := os.read(descriptor, _PIECE):
            yield piece


def content(path: str | Path, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file. Raises `OSError`."""
    with opened(path, limit) as descriptor, FileIO(descriptor, closefd=False) as stream:
        return stream.readall()


def read_bytes(path: Path, file: str, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file, which errors call `file`.

    Raises `missing-file` when it is not there or cannot be read, `too-large`.
    """
    with _explained(file):
        return content(path, limit)


def require_file(path: Path, file: str, limit: int | None = None) -> None:
    """Raise what `read_bytes` would raise; for files that a library opens by their path."""
    with _explained(file), opened(path, limit):
        pass


@contextmanager
def _explained(file: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise fail("missing-file", Place(file), "the file does not exist") from None
    except (OSError, ValueError) as error:
        code = "too-large" if getattr(error, "errno", 0) == errno.EFBIG else "missing-file"
        raise fail(code, Place(file), f"the file cannot be read: {reason(error)}") from None


def reason(error: OSError | ValueError) -> str:
    """Why a file cannot be read or written, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def decode_text(data: bytes, file: str) -> str:
    """UTF-8 text without a byte order mark."""
    if data.startswith(b"\xef\xbb\xbf"):
        raise fail("bad-encoding", Place(file, 1, 1), "the file starts with a byte order mark")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = line_and_column(data[: error.start].decode("utf-8", "replace"))
        found = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise fail("bad-encoding", Place(file, line, column), found) from None


def line_and_column(before: str) -> tuple[int, int]:
    """The place after `before`, both counted from 1."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")
