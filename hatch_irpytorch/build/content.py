"""What a file holds: bytes, or something that gives its bytes piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from hatch_irpytorch.source.reading import pieces_of_file


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
    """What the lock file notes of a content: `sha256:` and 64 digits."""
    return content.digest if isinstance(content, OnDisk) else _digest(pieces_of(content))


def file_digest(path: str | Path) -> str:
    """The digest of a file, read a piece at a time. Raises `OSError`."""
    return _digest(pieces_of_file(path))


def _digest(pieces: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return f"sha256:{found.hexdigest()}"
