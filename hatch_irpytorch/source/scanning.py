"""Questions about a JSON text as a whole.

NumPy, once it is there, answers them faster for long texts, a window at a time: what is made on
the way stays in the processor's cache.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEGATIVE_ZERO = re.compile(rb"-0(?![\d.eE])")

_LONG = 1 << 18
_WINDOW = 1 << 18
_LONG_INTEGER = 19
_TO_NOUGHT = bytes.maketrans(b"123456789", b"000000000")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))


def _windows(text: bytes, overlap: int = 0) -> Iterator[NDArray[np.uint8]]:
    """The codes of a text in parts, each with the first codes of the next."""
    import numpy as np

    codes = np.frombuffer(text, dtype=np.uint8)
    for start in range(0, len(codes), _WINDOW):
        yield codes[start : start + _WINDOW + overlap]


def count(text: bytes, character: str) -> int:
    """How often an ASCII character occurs."""
    if len(text) < _LONG:
        return text.count(character.encode())
    return count_codes(text, character)


def count_codes(text: bytes, character: str) -> int:
    """The same by NumPy, however short the text is."""
    import numpy as np

    code = ord(character)
    return sum(int(np.count_nonzero(codes == code)) for codes in _windows(text))


def has_negative_zero(text: bytes) -> bool:
    """Whether an integer `-0` may stand somewhere."""
    if len(text) < _LONG or text.endswith(b"-0"):
        return NEGATIVE_ZERO.search(text) is not None
    return any(_may_hold_negative_zero(codes) for codes in _windows(text, overlap=2))


def _may_hold_negative_zero(codes: NDArray[np.uint8]) -> bool:
    import numpy as np

    zero = (codes[:-2] == ord("-")) & (codes[1:-1] == ord("0")) & (codes[2:] != ord("."))
    if not zero.any():
        return False
    return not bool(np.isin(codes[2:][zero], list(b"0123456789eE")).all())


def has_long_integer(text: bytes) -> bool:
    """Whether so many digits stand in a row that they may be an integer beyond 64 bits."""
    if len(text) < _LONG:
        return b"0" * _LONG_INTEGER in text.translate(_TO_NOUGHT)
    return any(_has_run_of_digits(codes) for codes in _windows(text, overlap=_LONG_INTEGER - 1))


def _has_run_of_digits(codes: NDArray[np.uint8]) -> bool:
    runs = (codes - ord("0")) < 10
    length = 1
    while length < _LONG_INTEGER and runs.any():
        more = min(length, _LONG_INTEGER - length)
        runs = runs[more:] & runs[:-more]
        length += more
    return bool(runs.any())


def structure(text: bytes) -> bytes:
    """The brackets, braces and quotes of a text."""
    starts = range(0, len(text), _WINDOW)
    return b"".join([text[i : i + _WINDOW].translate(None, _NOT_STRUCTURE) for i in starts])
