"""How ATen ops are given numbers, sizes and windows, and handlers made of formulas."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import torch

from hatch_irpytorch.capture.builder import Value
from hatch_irpytorch.capture.layers import windows as w
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor

Handler = Callable[..., Any]
"""Gets the context and the arguments of an op as its schema has them."""

Ints = Sequence[int]
Number = int | float


def formula(function: Callable[..., Value]) -> Handler:
    """A formula whose further arguments are numbers, in the order torch has them."""

    @wraps(function)  # its signature is what `takes` asks for
    def convert(c: Context, x: Tensor, *numbers: Number, **named: Number) -> Value:
        return function(c.builder, c.value(x), *numbers, **named)

    return convert


def takes(handler: Handler, args: Sequence[Any], named: Mapping[str, Any]) -> bool:
    """Whether a handler has a place for what an overload of its op is given."""
    try:
        inspect.signature(handler).bind(None, *args, **named)
    except TypeError:
        return False
    return True


def as_number(x: Tensor | Number) -> float | None:
    """A plain number, also one in a constant tensor of rank 0; None for any other tensor."""
    plain = isinstance(x, int | float) or (isinstance(x, torch.Tensor) and x.dim() == 0)
    return float(x) if plain else None  # type: ignore[arg-type]


def each(value: int | Ints, rank: int) -> tuple[int, ...]:
    """One number for every axis, or a number for each."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * rank if len(values) == 1 else values


def geometry(
    rank: int, stride: int | Ints, padding: int | Ints, dilation: int | Ints = 1, groups: int = 1
) -> w.Geometry:
    """A window whose padding is the same on both sides."""
    pads = tuple((i, i) for i in each(padding, rank))
    return w.Geometry(each(stride, rank), pads, each(dilation, rank), groups)
