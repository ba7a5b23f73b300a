"""Whole numbers that a graph counts with, and the dtypes that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.errors import Place, fail
from hatch_irpytorch.ir.graph import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HELD = {"float16": 2**11, "bfloat16": 2**8, "float32": 2**24, "float64": 2**53}
"""Up to where a dtype holds every whole number."""


def require_whole_numbers(model: Model, dtype: str) -> None:
    """Raise where a dtype rounds ids of the input, or the rows of a table: they are others then."""
    graph, most = model.graph, _HELD[dtype]
    if graph.integers is None:
        return
    rows = (len(array) for array in model.params.values() if _counts(array, most))
    below = max((graph.integers, *rows))
    if below > most:
        message = f"the graph counts whole numbers below {below}, {dtype} holds those up to {most}"
        raise fail("bad-option", Place(graph.file), message, "set `dtype: float32` or `float64`")


def _counts(array: NDArray[np.floating[Any]], most: int) -> bool:
    """Whether an array is 0, 1, 2 and so on, beyond what a dtype holds."""
    return array.ndim == 1 and len(array) > most and bool((array == np.arange(len(array))).all())
