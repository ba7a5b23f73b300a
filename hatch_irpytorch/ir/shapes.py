"""Shapes: tuples of extents, outermost first, `()` for a scalar."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

Shape = tuple[int, ...]

MAX_EXTENT = 2**63 - 1
"""torch and NumPy count entries in 64 bits."""

MAX_RANK = 32
"""How many axes every version of NumPy can hold."""

DeclaredShape = Annotated[
    tuple[Annotated[int, Meta(ge=0, le=MAX_EXTENT)], ...], Meta(max_length=MAX_RANK)
]
"""A shape as a file may declare it."""

_MAX_SHOWN = 32


def numel(shape: Shape) -> int:
    """The number of entries of a tensor: 1 for a scalar."""
    return math.prod(shape)


@lru_cache(maxsize=4096)
def shape_text(shape: Shape) -> str:
    """A shape as Python writes a tuple: `()`, `(3,)`, `(2, 3)`; only the first of many extents."""
    if len(shape) > _MAX_SHOWN:
        first = ", ".join(map(str, shape[:3]))
        return f"({first}, ...) of {len(shape)} axes"
    return str(tuple(shape))
