"""Long arrays of numbers in JSON, kept as text until their shape is known.

A weight of a million entries never becomes a million Python objects: its brackets are compared with
those of the expected shape, and its numbers are parsed a slice at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.source.scanning import NEGATIVE_ZERO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MIN_LENGTH = 4096
"""Shorter arrays are read like everything else."""

_STRIDE = 64
_MAX_RANK = 64
_SLICE = 1 << 15
_WINDOW = 1 << 18
_FEW_SPACES = 64
_SPACE = b" \t\n\r"
_OF_NUMBERS = b"+-.0123456789Ee"
_OF_ARRAYS = bytes(_OF_NUMBERS + _SPACE + b"[],")
_TO_RUNS = bytes(ord("0") if byte in _OF_ARRAYS else ord("x") for byte in range(256))
_NUMBER_CODES = list(_OF_NUMBERS)
_SPACE_CODES = list(_SPACE)
_BESIDE = re.compile(rb"[^\[\],]\[|\][^\[\],]")
_TO_SPACE = bytes.maketrans(b"[]\t\n\r", b"     ")


def long_runs(data: bytes) -> Iterator[tuple[int, int]]:
    """Where long runs of characters stand that arrays of numbers are made of."""
    samples = data[::_STRIDE].translate(_TO_RUNS)
    if b"0" * (MIN_LENGTH // _STRIDE) not in samples:
        return
    wanted = b"0" * MIN_LENGTH
    start = 0
    for first in range(0, len(data), _WINDOW):
        part = data[first : first + _WINDOW]
        if not part.translate(None, _OF_ARRAYS):
            continue
        marked = part.translate(_TO_RUNS)
        other = marked.find(b"x")
        while other >= 0:
            if first + other - start >= MIN_LENGTH:
                yield start, first + other
            run = marked.find(wanted, other)
            if run < 0:
                start = first + marked.rfind(b"x") + 1
                break
            start = first + run
            other = marked.find(b"x", run)
    if len(data) - start >= MIN_LENGTH:
        yield start, len(data)


@dataclass(frozen=True, eq=False)
class NumberText:
    """The text of one JSON array that holds numbers, or arrays of them, and nothing else.

    It stands in `data` from `start` to `stop` and is not copied.
    """

    data: bytes
    start: int
    stop: int

    def __str__(self) -> str:
        return "a long array of numbers"

    def _windows(self) -> Iterator[bytes]:
        for first in range(self.start, self.stop, _WINDOW):
            yield self.data[first : min(first + _WINDOW, self.stop)]

    def _brackets(self) -> bytes:
        """The text without its numbers and spaces."""
        return b"".join(part.translate(None, _SPACE + _OF_NUMBERS) for part in self._windows())

    def to_list(self) -> list[Any]:
        """The array as lists. Raises `ValueError`."""
        try:
            value: list[Any] = json.loads(self.data[self.start : self.stop])
        except RecursionError:
            raise ValueError("arrays are nested too deep") from None
        return value

    def shape(self) -> tuple[int, ...]:
        """The shape that the first entries suggest; the rest may differ from it."""
        brackets = self._brackets()
        depth = len(brackets) - len(brackets.lstrip(b"["))
        if depth > _MAX_RANK:
            return (0,) * depth
        end = brackets.find(b"]")
        inner = self.data[self.start : self.data.find(b"]", self.start) + 1]
        empty = b"[]" in inner.translate(None, _SPACE)
        extents = [0 if empty else end - depth + 1]
        width = end + 2 - depth
        for level in range(2, depth + 1):
            end = brackets.find(b"]" * level)
            if end < 0:
                return (0,) * depth
            start = depth - level + 1
            extents.append((end + level - 1 - start + 1) // (width + 1))
            width = end + level - start + 1
        return tuple(reversed(extents))

    def array(self, shape: tuple[int, ...]) -> Array | None:
        """The numbers as float64 of `shape`, or None when the brackets give another one.

        Raises `ValueError` where something is not a JSON number.
        """
        import numpy as np

        count = int(np.prod(shape, dtype=object)) if shape else 1
        if not shape or count > self.stop - self.start or len(shape) > _MAX_RANK:
            return None
        if not self._has_brackets_of(shape):
            return None
        if self._has_numbers_beside_arrays():
            raise ValueError("a number stands beside an array without a comma")
        values = np.empty(count)
        if count:
            self._fill(values)
        return values.reshape(shape)

    def _has_brackets_of(self, shape: tuple[int, ...]) -> bool:
        wanted = _skeleton(shape)
        done = 0
        for part in self._windows():
            brackets = part.translate(None, _SPACE + _OF_NUMBERS)
            if not wanted.startswith(brackets, done):
                return False
            done += len(brackets)
        return done == len(wanted)

    def _has_numbers_beside_arrays(self) -> bool:
        """Whether a number stands right before a `[` or right behind a `]`."""
        import numpy as np

        for first in range(self.start, self.stop, _WINDOW):
            part = self.data[first : min(first + _WINDOW, self.stop)]
            codes = np.frombuffer(part, dtype=np.uint8)
            opened = np.flatnonzero(codes == ord("["))
            closed = np.flatnonzero(codes == ord("]"))
            if self._touch_numbers(first + opened, -1) or self._touch_numbers(first + closed, 1):
                return True
        return False

    def _touch_numbers(self, places: NDArray[np.intp], step: int) -> bool:
        """Whether the next character but spaces is one of a number, seen from any of `places`."""
        import numpy as np

        codes = np.frombuffer(self.data, dtype=np.uint8)
        for _ in range(_FEW_SPACES):
            places = places + step
            places = places[(places >= self.start) & (places < self.stop)]
            found = codes[places]
            if np.isin(found, _NUMBER_CODES).any():
                return True
            places = places[np.isin(found, _SPACE_CODES)]
            if not len(places):
                return False
        return self._touch_numbers_without_spaces()

    def _touch_numbers_without_spaces(self) -> bool:
        """The same for all brackets of the array, however long the spaces are."""
        last = b","
        for part in self._windows():
            text = last + part.translate(None, _SPACE)
            if _BESIDE.search(text):
                return True
            last = text[-1:]
        return False

    def _fill(self, values: Array) -> None:
        import numpy as np

        start, filled = self.start, 0
        while start < self.stop:
            comma = self.data.find(b",", start + _SLICE, self.stop)
            end = self.stop if comma < 0 else comma
            text = b"[%b]" % self.data[start:end].translate(_TO_SPACE)
            numbers = _parse(text)
            if filled + len(numbers) > len(values):
                raise ValueError("a number too many")
            part = np.fromiter(numbers, np.float64, len(numbers))
            if b"-0" in text and not part.all():
                part[:] = _parse(NEGATIVE_ZERO.sub(b"-0.0", text))
            values[filled : filled + len(numbers)] = part
            filled += len(numbers)
            start = end + 1
        if filled != len(values):
            raise ValueError("a number is missing")


def _parse(text: bytes) -> list[float]:
    """The numbers of a flat array. An integer `-0` comes as 0. Raises `ValueError`."""
    import orjson

    try:
        numbers: list[float] = orjson.loads(text)
    except orjson.JSONDecodeError:
        # The standard library tells numbers that are too large from what is no number.
        numbers = json.loads(text)
    return numbers


def _skeleton(shape: tuple[int, ...]) -> bytes:
    """The brackets and commas of nested arrays of a shape."""
    inner = b""
    for extent in reversed(shape):
        inner = b"[" + b",".join([inner] * extent) + b"]"
    return inner
