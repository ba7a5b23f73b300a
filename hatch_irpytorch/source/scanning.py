"""Questions about a JSON text as a whole. NumPy, once it is there, answers them faster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEGATIVE_ZERO = re.compile(rb"-0(?![\d.eE])")

_LONG = 1 << 18
_LONG_INTEGER = 19
_TO_NOUGHT = bytes.maketrans(b"123456789", b"000000000")


def _codes(text: bytes) -> NDArray[np.uint8]:
    import numpy as np

    return np.frombuffer(text, dtype=np.uint8)


def count(text: bytes, character: str) -> int:
    """How often an ASCII character occurs."""
    if len(text) < _LONG:
        return text.count(character.encode())
    import numpy as np

    return int(np.count_nonzero(_codes(text) == ord(character)))


def has_negative_zero(text: bytes) -> bool:
    """Whether an integer `-0` may stand somewhere."""
    if len(text) < _LONG:
        return NEGATIVE_ZERO.search(text) is not None
    import numpy as np

    codes = _codes(text)
    minus = np.flatnonzero(codes[:-1] == ord("-"))
    behind = minus[codes[minus + 1] == ord("0")] + 2
    if len(behind) and behind[-1] == len(text):
        return True
    return bool((~np.isin(codes[behind], list(b"0123456789.eE"))).any())


def has_long_integer(text: bytes) -> bool:
    """Whether so many digits stand in a row that they may be an integer beyond 64 bits."""
    if len(text) < _LONG:
        return b"0" * _LONG_INTEGER in text.translate(_TO_NOUGHT)
    runs = (_codes(text) - ord("0")) < 10
    length = 1
    while length < _LONG_INTEGER and runs.any():
        more = min(length, _LONG_INTEGER - length)
        runs = runs[more:] & runs[:-more]
        length += more
    return bool(runs.any())
