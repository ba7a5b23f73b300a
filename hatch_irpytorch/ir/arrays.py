"""Payload that stands in a document, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from hatch_irpytorch.errors import shown
from hatch_irpytorch.ir.attributes import ValueFormError
from hatch_irpytorch.ir.shapes import Shape, numel, shape_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_NUMBERS = frozenset({int, float})
_AT_ONCE = 1 << 12
"""How many numbers of small arrays are read together."""

_RANGE = "numbers within the range of binary64"


@cache
def _decoder(rank: int) -> msgspec.json.Decoder[Any]:
    """Reads numbers that are nested so deep, and nothing else."""
    nested: Any = float
    for _ in range(rank):
        nested = list[nested]
    return msgspec.json.Decoder(nested)


def tensor(value: object, expected: Shape, flat: bool = False) -> Array:
    """Nested arrays of numbers with exactly the shape `expected`, or one flat array of them.

    The value is JSON text or what was read from it. Raises `ValueFormError`; for a value it says
    where the nesting or a number is wrong.
    """
    levels = (numel(expected),) if flat else expected
    if isinstance(value, msgspec.Raw):
        return _parsed(value, levels).reshape(expected)
    rows: list[float] = []
    _collect(value, levels, "", rows)
    try:
        result = np.array(rows, dtype=np.float64).reshape(expected)
    except OverflowError:
        raise ValueFormError(_RANGE, "a larger one") from None
    if not np.isfinite(result).all():
        raise ValueFormError(_RANGE, "a larger one")
    return result


def tensors(texts: Sequence[msgspec.Raw], expected: Shape, flat: bool = False) -> list[Array]:
    """The array of one shape in each text; many small ones are read at once.

    Raises `ValueFormError`.
    """
    levels = (numel(expected),) if flat else expected
    at_once = max(1, _AT_ONCE // max(1, numel(expected)))
    found: list[Array] = []
    for start in range(0, len(texts), at_once):
        some = texts[start : start + at_once]
        if len(some) == 1:
            found.append(tensor(some[0], expected, flat))
            continue
        joined = msgspec.Raw(b"[%b]" % b",".join(map(memoryview, some)))
        whole = _parsed(joined, (len(some), *levels)).reshape(len(some), *expected)
        # The items of a vector are no arrays.
        found += list(whole) if expected else [whole[i, ...] for i in range(len(some))]
    return found


def _parsed(text: msgspec.Raw, levels: Shape) -> Array:
    try:
        result: Array = np.array(_decoder(len(levels)).decode(text), dtype=np.float64)
    except ValueError:  # not numbers, not so deep, or rows of different lengths
        raise ValueFormError(f"an array of {shape_text(levels)}", "another") from None
    # What is empty hides the extents of what would be in it.
    told = levels[: levels.index(0) + 1] if 0 in levels else levels
    if result.shape != told:
        raise ValueFormError(f"an array of {shape_text(levels)}", shape_text(result.shape))
    return result


def _collect(value: object, levels: Shape, where: str, rows: list[float]) -> None:
    if not levels:
        if type(value) not in _NUMBERS:
            raise ValueFormError(f"a number{where}", shown(value))
        rows.append(cast("float", value))
        return
    expected = f"an array of {levels[0]}{where}" if where else f"an array of {levels[0]}"
    if type(value) is not list:
        raise ValueFormError(expected, shown(value))
    if len(value) != levels[0]:
        raise ValueFormError(expected, f"one of {len(value)}")
    if len(levels) > 1:
        for index, item in enumerate(value):
            _collect(item, levels[1:], f" at {_deeper(where, index)}", rows)
        return
    if not _NUMBERS.issuperset(map(type, value)):
        index = next(i for i, item in enumerate(value) if type(item) not in _NUMBERS)
        raise ValueFormError(f"a number at {_deeper(where, index)}", shown(value[index]))
    rows.extend(value)


def _deeper(where: str, index: int) -> str:
    return f"{where.removeprefix(' at ')}[{index}]"


def describe_tensor(expected: Shape, flat: bool) -> str:
    """How a payload field is expected to look in JSON."""
    if flat:
        return f"a flat array of {numel(expected)} numbers"
    return f"numbers of shape {shape_text(expected)}"
