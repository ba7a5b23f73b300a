"""Changes of dtype: a graph holds real numbers, and computes in the dtype of its module.

What is at least as wide as the source's own dtype is passed over; a rounding to a narrower one is
passed over only where no number is changed by it. Booleans and integers are held as real numbers.
"""

from __future__ import annotations

import numpy as np

from hatch_irpytorch.capture.bounds import bounds
from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.entries.comparisons import is_true
from hatch_irpytorch.capture.entries.rounding import trunc
from hatch_irpytorch.emit.literals import rounded

_LARGEST_WHOLE = {"bfloat16": 2**8, "float16": 2**11, "float32": 2**24, "float64": 2**53}
"""Up to here a floating type has every whole number."""

_NARROWER = {
    "bfloat16": {"bfloat16"},
    "float16": {"float16"},
    "float32": {"bfloat16", "float16", "float32"},
    "float64": {"bfloat16", "float16", "float32", "float64"},
}
"""The types whose numbers a floating type has all."""


def converted(b: Builder, x: Value, source: str, target: str) -> Value:
    """A value of one dtype in another, both by their names in NumPy."""
    if source == target:
        return x
    if target == "bool":
        return is_true(b, x)
    if target in _LARGEST_WHOLE:
        require_dtype(b, x, target)
        return x
    if target.removeprefix("u") in ("int8", "int16", "int32", "int64"):
        if bounds(b, x) is None:
            x = trunc(b, x)
        require_integers(b, x, target)
        return x
    raise InexpressibleError(f"a conversion to {target}")


def require_dtype(b: Builder, x: Value, dtype: str) -> None:
    """Raise where numbers of a floating dtype are rounded that the graph does not round."""
    if b.dtype in _NARROWER[dtype]:
        if dtype != b.dtype:
            message = f"what the source computes in {dtype} is computed in the module's dtype"
            b.note("other-dtype", message)
    elif _survives(b, x, dtype):
        b.note("other-dtype", f"numbers that {dtype} has exactly are computed with as they are")
    else:
        raise InexpressibleError(f"a rounding to {dtype}")


def require_integers(b: Builder, x: Value, dtype: str) -> None:
    """Raise where numbers may not be whole, or may lie outside of an integer dtype."""
    found = bounds(b, x)
    if found is None:
        raise InexpressibleError(f"a conversion to {dtype} of numbers that may not be whole")
    limits = np.iinfo(dtype)
    if found[0] < limits.min or found[1] > limits.max:
        raise InexpressibleError(f"whole numbers from {found[0]:g} to {found[1]:g} in {dtype}")


def _survives(b: Builder, x: Value, dtype: str) -> bool:
    found = bounds(b, x)
    if found is not None and max(abs(found[0]), abs(found[1])) <= _LARGEST_WHOLE[dtype]:
        return True
    if not b.is_constant(x):
        return False
    array = b.array(x)
    return bool((rounded(array, dtype) == array).all())
