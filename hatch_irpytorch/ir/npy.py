"""Arrays in the `.npy` form: the header is matched as numpy writes it and never evaluated.

numpy's own reader gives a header to Python's parser, which has errors, warnings and limits of its
own for text that is no header.
"""

from __future__ import annotations

import math
import re
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}
_MAX_HEADER = 10_000
_PIECE = 1 << 20
_ENTRY = re.compile(
    r"""\s*(['"])(\w+)\1\s*:\s*('[^']*'|"[^"]*"|True|False|\([^()]*\))\s*(?:,|$)""", re.ASCII
)
_DTYPE = re.compile(r"[<>|=]?[biufcOSUV]\d{1,4}|\|O", re.ASCII)
_EXTENT = re.compile(r"\d{1,18}L?", re.ASCII)


class NpyHeader(NamedTuple):
    """What stands before the data of an array."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """How many bytes of data follow."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy_header(stream: IO[bytes]) -> NpyHeader:
    """The header at the start of a stream. Raises `ValueError`, and what the stream raises."""
    magic = stream.read(len(_MAGIC) + 2)
    if magic[:-2] != _MAGIC or magic[-2] not in _LENGTH_BYTES:
        raise ValueError("it does not start as an array does")
    count = _LENGTH_BYTES[magic[-2]]
    length = int.from_bytes(_exactly(stream, count), "little")
    if length > _MAX_HEADER:
        raise ValueError(f"its header has {length} bytes, at most {_MAX_HEADER} are read")
    fields = _fields(_exactly(stream, length).decode("latin-1").strip())
    shape, dtype = _shape(fields.get("shape", "")), _dtype(fields.get("descr", ""))
    order = fields.get("fortran_order")
    if len(fields) != 3 or shape is None or dtype is None or order not in ("True", "False"):
        raise ValueError("its header is not that of an array of numbers")
    return NpyHeader(shape, order == "True", dtype)


def read_npy_data(stream: IO[bytes], header: NpyHeader) -> NDArray[Any]:
    """The numbers that follow a header, in the machine's byte order. Raises as above."""
    data = np.empty(header.size, dtype=np.uint8)
    for start in range(0, header.size, _PIECE):
        piece = _exactly(stream, min(_PIECE, header.size - start))
        data[start : start + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
    array = data.view(header.dtype)
    native = np.asarray(array, dtype=header.dtype.newbyteorder("="))
    return native.reshape(header.shape, order="F" if header.fortran else "C")


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise ValueError("it ends too early")
    return data


def _fields(text: str) -> dict[str, str]:
    """The values of a header as text; nothing for a text that is no header."""
    if text[:1] != "{" or text[-1:] != "}":
        return {}
    body, at = text[1:-1].strip(), 0
    fields: dict[str, str] = {}
    while at < len(body):
        found = _ENTRY.match(body, at)
        if found is None or found[2] in fields:
            return {}
        fields[found[2]] = found[3]
        at = found.end()
    return fields


def _shape(text: str) -> tuple[int, ...] | None:
    """`(3, 2)` as extents; Python 2 wrote `3L`."""
    if text[:1] != "(":
        return None
    *parts, last = (part.strip() for part in text[1:-1].split(","))
    if last:
        parts = [*parts, last] if parts else []
        if not parts:
            return None
    if not all(map(_EXTENT.fullmatch, parts)):
        return None
    return tuple(int(part.removesuffix("L")) for part in parts)


def _dtype(text: str) -> np.dtype[Any] | None:
    if not _DTYPE.fullmatch(text[1:-1]):
        return None
    try:
        return np.dtype(text[1:-1])
    except TypeError:
        return None
