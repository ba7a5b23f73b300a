"""ATen ops on complex numbers, which are pairs of real tensors here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from math import prod
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.layers import fourier
from hatch_irpytorch.capture.pytorch.arguments import Handler, Ints
from hatch_irpytorch.capture.pytorch.tensors import Complex, Context, Parameter, Tensor, identity
from hatch_irpytorch.capture.selections.selection import select
from hatch_irpytorch.ir.ops.elementwise import Cos, Sin, Sqrt

LINEAR = frozenset(
    {
        *("_reshape_alias", "_unsafe_view", "alias", "cat", "chunk", "clone"),
        *("constant_pad_nd", "contiguous", "expand", "flatten", "flip", "index", "index_select"),
        *("mean", "neg", "narrow", "pad", "permute", "repeat", "reshape", "roll", "select"),
        *("slice", "split", "split_with_sizes", "squeeze", "stack", "sum", "t"),
        *("transpose", "unbind", "unflatten", "unsqueeze", "view"),
    }
)
"""Ops that do to the imaginary part what they do to the real one."""

SUMS = frozenset({"add", "rsub", "sub"})
"""Ops that do so to two tensors or numbers."""

PRODUCTS = frozenset({"bmm", "matmul", "mm", "mul"})
"""Products of two tensors or numbers."""


def paired(handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """The same handlers, which take complex arguments where they can."""
    return {name: _paired(name, handler) for name, handler in handlers.items()}


def _paired(name: str, handler: Handler) -> Handler:
    on_pairs = _ON_PAIRS.get(name)
    if on_pairs is None:
        return handler

    @wraps(handler)
    def convert(c: Context, *args: Any, **named: Any) -> Any:
        if any(map(_is_complex, tree_leaves((args, named)))):
            return on_pairs(c, handler, *args, **named)
        return handler(c, *args, **named)

    return convert


def _both(c: Context, handler: Handler, *args: Any, **named: Any) -> Any:
    def part(imaginary: bool) -> Any:
        def chosen(leaf: Any) -> Any:
            if not _is_number_tensor(leaf):
                return leaf
            pair = as_pair(c, leaf)
            return pair.imaginary if imaginary else pair.real

        positional, by_name = tree_map(chosen, (args, named))
        return handler(c, *positional, **by_name)

    return _joined(part(False), part(True))


def _joined(real: Any, imaginary: Any) -> Any:
    if isinstance(real, Value):
        return Complex(real, imaginary)
    return [Complex(*pair) for pair in zip(real, imaginary, strict=True)]


def _sum(c: Context, handler: Handler, x: Any, y: Any, *args: Any, **named: Any) -> Complex:
    one, other = as_pair(c, x), as_pair(c, y)
    real = handler(c, one.real, other.real, *args, **named)
    return Complex(real, handler(c, one.imaginary, other.imaginary, *args, **named))


def _product(c: Context, handler: Handler, x: Any, y: Any) -> Complex:
    b, one, other = c.builder, as_pair(c, x), as_pair(c, y)
    if not _is_complex(y):
        return Complex(handler(c, one.real, other.real), handler(c, one.imaginary, other.real))
    if not _is_complex(x):
        return Complex(handler(c, one.real, other.real), handler(c, one.real, other.imaginary))
    both = handler(c, one.imaginary, other.imaginary)
    crossed = handler(c, one.real, other.imaginary), handler(c, one.imaginary, other.real)
    return Complex(e.sub(b, handler(c, one.real, other.real), both), e.add(b, *crossed))


def _quotient(c: Context, handler: Handler, x: Any, y: Any, **named: Any) -> Complex:
    if _is_complex(y):
        raise InexpressibleError("division by complex numbers")
    one = as_pair(c, x)
    return Complex(handler(c, one.real, y, **named), handler(c, one.imaginary, y, **named))


def _size(c: Context, handler: Handler, x: Any) -> Value:
    b, y = c.builder, as_pair(c, x)
    return b.node(Sqrt(), e.add(b, e.square(b, y.real), e.square(b, y.imaginary)))


def _converted(c: Context, handler: Handler, x: Any, *args: Any, **named: Any) -> Any:
    dtype = named.get("dtype")
    if dtype is not None and not dtype.is_complex:
        raise InexpressibleError("a conversion of complex numbers to real ones")
    return as_pair(c, x)


_ON_PAIRS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(LINEAR, _both),
    **dict.fromkeys(SUMS, _sum),
    **dict.fromkeys(PRODUCTS, _product),
    "_to_copy": _converted,
    "abs": _size,
    "div": _quotient,
}
"""What a handler does to pairs, which gets it before its own arguments."""


def _is_number_tensor(leaf: object) -> bool:
    """Whether a leaf holds numbers that an op computes with, and no positions."""
    if isinstance(leaf, torch.Tensor):
        return leaf.is_complex() or leaf.is_floating_point()
    return isinstance(leaf, Value | Parameter | Complex)


def _is_complex(leaf: object) -> bool:
    tensor = leaf.tensor if isinstance(leaf, Parameter) else leaf
    if isinstance(tensor, torch.Tensor):
        return tensor.is_complex()
    if isinstance(tensor, torch.dtype):
        return tensor.is_complex
    return isinstance(tensor, Complex | complex)


def as_pair(c: Context, x: Any) -> Complex:
    """Any tensor or number as two values of the graph."""
    if isinstance(x, Complex):
        return x
    if isinstance(x, Parameter) and x.tensor.is_complex():
        parts = []
        for name in ("real", "imag"):
            part = getattr(x.tensor.detach(), name).requires_grad_(x.tensor.requires_grad)
            parts.append(c.value(Parameter(f"{x.name}.{name}", part, identity(part))))
        return Complex(*parts)
    if isinstance(x, torch.Tensor) and x.is_complex():
        return Complex(c.value(x.real), c.value(x.imag))
    if isinstance(x, complex):
        return Complex(c.value(x.real), c.value(x.imag))
    real = c.value(x)
    return Complex(real, c.builder.full(real.shape, 0.0))


def _pair(c: Context, x: Tensor | Complex) -> fourier.Pair:
    if not _is_complex(x):
        return c.value(x), None
    found = as_pair(c, x)
    return found.real, found.imaginary


def _scale(shape: Ints, axes: Ints, normalization: int, last: int | None = None) -> float:
    """Of a transform: 1, or by the number of its entries, or by the root of that."""
    extents = [shape[axis] for axis in axes]
    if last is not None:
        extents[-1] = last
    return float(prod(extents) ** -(0.0, 0.5, 1.0)[normalization])


def _complex(c: Context, pair: fourier.Pair) -> Complex:
    real, imaginary = pair
    return Complex(real, c.builder.full(real.shape, 0.0) if imaginary is None else imaginary)


def _fft_r2c(c: Context, x: Tensor, dim: Ints, normalization: int, onesided: bool) -> Complex:
    y = c.value(x)
    scale = _scale(y.shape, dim, normalization)
    return _complex(c, fourier.of_real(c.builder, y, dim, scale, onesided))


def _fft_c2c(
    c: Context, x: Tensor | Complex, dim: Ints, normalization: int, forward: bool
) -> Complex:
    pair = _pair(c, x)
    scale = _scale(pair[0].shape, dim, normalization)
    return _complex(c, fourier.of_complex(c.builder, pair, dim, scale, forward))


def _fft_c2r(
    c: Context, x: Tensor | Complex, dim: Ints, normalization: int, last_dim_size: int
) -> Value:
    pair = _pair(c, x)
    scale = _scale(pair[0].shape, dim, normalization, last_dim_size)
    return fourier.to_real(c.builder, pair, dim, scale, last_dim_size)


def _view_as_real(c: Context, x: Tensor | Complex) -> Value:
    b, y = c.builder, as_pair(c, x)
    parts = [b.reshape(part, (*part.shape, 1)) for part in (y.real, y.imaginary)]
    return b.concat(parts, -1)


def _view_as_complex(c: Context, x: Tensor) -> Complex:
    y = c.value(x)
    return Complex(*(select(c.builder, y, -1, part) for part in (0, 1)))


def _made_of_parts(c: Context, real: Tensor, imaginary: Tensor) -> Complex:
    return Complex(c.value(real), c.value(imaginary))


def _polar(c: Context, size: Tensor, angle: Tensor) -> Complex:
    b, r, phi = c.builder, c.value(size), c.value(angle)
    return Complex(e.mul(b, r, b.node(Cos(), phi)), e.mul(b, r, b.node(Sin(), phi)))


def _conj(c: Context, x: Tensor | Complex) -> Tensor | Complex:
    if not _is_complex(x):
        return x
    y = as_pair(c, x)
    return Complex(y.real, e.neg(c.builder, y.imaginary))


OPS: dict[str, Handler] = {
    "_conj": _conj,
    "_conj_physical": _conj,
    "_fft_c2c": _fft_c2c,
    "_fft_c2r": _fft_c2r,
    "_fft_r2c": _fft_r2c,
    "complex": _made_of_parts,
    "polar": _polar,
    "view_as_complex": _view_as_complex,
    "view_as_real": _view_as_real,
}
"""By the name of the ATen op, for all of its overloads."""
