"""A file's bytes, and bytes as UTF-8 text."""

from __future__ import annotations

from pathlib import Path

from hatch_irpytorch.errors import Place, fail


def read_bytes(path: Path, file: str) -> bytes:
    """The content of `path`. Raises `missing-file` under the display name `file`."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise fail("missing-file", Place(file), "the file does not exist") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise fail("missing-file", Place(file), f"the file cannot be read: {reason}") from None


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
