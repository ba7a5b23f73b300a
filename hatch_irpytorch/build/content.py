"""What a file holds: bytes, or something that gives its bytes piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from hatch_irpytorch.source.reading import pieces_of_file

BINARY_ENDINGS = (".safetensors", ".npz")
"""What files that are no text end in; all others have the same digest with CRLF as with LF."""


class Pieces(Protocol):
    """A content that need not be in memory."""

    def pieces(self) -> Iterator[bytes]: ...


Content = bytes | Pieces


class OnDisk(NamedTuple):
    """A large file that is compared by its digest and never held."""

    path: Path
    digest: str


def pieces_of(content: Content) -> Iterator[bytes]:
    """The bytes of a content, in order."""
    return iter((content,)) if isinstance(content, bytes) else content.pieces()


def digest(content: Content | OnDisk) -> str:
    """What a lock file notes of a content: `sha256:` and 64 digits.

    Bytes are taken for text, whose lines may end in CRLF; what comes in pieces is binary.
    """
    if isinstance(content, OnDisk):
        return content.digest
    pieces = pieces_of(content)
    return _digest(with_line_feeds(pieces) if isinstance(content, bytes) else pieces)


def file_digest(path: str | Path) -> str:
    """The digest of a file, read a piece at a time. Raises `OSError`."""
    pieces = pieces_of_file(path)
    return _digest(pieces if str(path).endswith(BINARY_ENDINGS) else with_line_feeds(pieces))


def same_text(a: bytes, b: bytes) -> bool:
    """Whether two texts differ in nothing but CRLF and LF."""
    return a == b or a.replace(b"\r\n", b"\n") == b.replace(b"\r\n", b"\n")


def with_line_feeds(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same text with LF for CRLF, wherever the pieces are cut."""
    held = b""
    for piece in pieces:
        text = held + piece
        held = text[-1:] if text.endswith(b"\r") else b""
        whole = text[: len(text) - len(held)]
        # One byte is found twenty times faster than two, and most texts have no CR.
        yield whole.replace(b"\r\n", b"\n") if b"\r" in whole else whole
    if held:
        yield held


def _digest(pieces: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return f"sha256:{found.hexdigest()}"
