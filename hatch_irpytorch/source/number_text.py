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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MIN_LENGTH = 4096
"""Shorter arrays are read like everything else."""

_MAX_RANK = 64
_SLICE = 1 << 18
_SPACE = b" \t\n\r"
_OF_NUMBERS = b"+-.0123456789Ee"
_TO_ZERO = bytes.maketrans(_OF_NUMBERS, b"0" * len(_OF_NUMBERS))
_OF_ARRAYS = bytes(_OF_NUMBERS + _SPACE + b"[],")
_TO_RUNS = bytes(ord("0") if byte in _OF_ARRAYS else ord("x") for byte in range(256))
_TO_SPACE = bytes.maketrans(b"[]", b"  ")
_NEGATIVE_ZERO = re.compile(rb"-0(?![\d.eE])")


def long_runs(data: bytes) -> Iterator[tuple[int, int]]:
    """Where long runs of characters stand that arrays of numbers are made of."""
    if len(data) < MIN_LENGTH:
        return
    marked = data.translate(_TO_RUNS)
    wanted = b"0" * MIN_LENGTH
    start = marked.find(wanted)
    while start >= 0:
        stop = marked.find(b"x", start)
        stop = len(data) if stop < 0 else stop
        yield start, stop
        start = marked.find(wanted, stop)


@dataclass(frozen=True, eq=False)
class NumberText:
    """The text of one JSON array that holds numbers, or arrays of them, and nothing else."""

    text: bytes

    def __str__(self) -> str:
        return "a long array of numbers"

    def to_list(self) -> list[Any]:
        """The array as lists. Raises `ValueError`."""
        value: list[Any] = json.loads(self.text)
        return value

    def shape(self) -> tuple[int, ...]:
        """The shape that the first entries suggest; the rest may differ from it."""
        brackets = self.text.translate(None, _SPACE + _OF_NUMBERS)
        depth = len(brackets) - len(brackets.lstrip(b"["))
        if depth > _MAX_RANK:
            return (0,) * depth
        end = brackets.find(b"]")
        empty = b"[]" in self.text[: self.text.find(b"]") + 1].translate(None, _SPACE)
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
        if not shape or count > len(self.text) or len(shape) > _MAX_RANK:
            return None
        if self.text.translate(None, _SPACE + _OF_NUMBERS) != _skeleton(shape):
            return None
        marked = self.text.translate(_TO_ZERO, _SPACE)
        if b"0[" in marked or b"]0" in marked:
            raise ValueError("a number stands beside an array without a comma")
        del marked
        values = np.empty(count)
        if count:
            self._fill(values)
        return values.reshape(shape)

    def _fill(self, values: Array) -> None:
        text = self.text
        start = filled = 0
        while start < len(text):
            comma = text.find(b",", start + _SLICE)
            end = len(text) if comma < 0 else comma
            numbers = _parse(text[start:end].translate(_TO_SPACE))
            values[filled : filled + len(numbers)] = numbers
            filled += len(numbers)
            start = end + 1
        if filled != len(values):
            raise ValueError("a number is missing")


def _parse(text: bytes) -> list[float]:
    import orjson

    if b"-0" in text:
        text = _NEGATIVE_ZERO.sub(b"-0.0", text)
    try:
        numbers: list[float] = orjson.loads(b"[%b]" % text)
    except orjson.JSONDecodeError:
        # The standard library tells numbers that are too large from what is no number.
        numbers = json.loads(b"[%b]" % text)
    return numbers


def _skeleton(shape: tuple[int, ...]) -> bytes:
    """The brackets and commas of nested arrays of a shape."""
    inner = b""
    for extent in reversed(shape):
        inner = b"[" + b",".join([inner] * extent) + b"]"
    return inner
