"""Shapes in which some extents are free: symbolic shape inference.

An extent is a number, or a product of numbers and symbols in row-major order: `(N, 4)` is an axis
whose index counts N blocks of 4. What a reshape may do to symbols follows from that order alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from hatch_irpytorch.ir.shapes import Shape, shape_text


class Symbol(NamedTuple):
    """A free extent. `size` is the one that the graph declares.

    Along the `batch` an op may only carry entries: those of one index never meet another's.
    """

    name: str
    size: int
    batch: bool = False
    windows: tuple[tuple[int, int], ...] = ()
    """What convolutions and pools made of it, one after another: `(extent + added) // step + 1`."""


Factor = int | Symbol


class Product(NamedTuple):
    """A free extent as its factors, the outermost first; one of them at least is a symbol."""

    factors: tuple[Factor, ...]


Extent = int | Product
SymbolicShape = tuple[Extent, ...]


class NotFreeError(Exception):
    """An op cannot leave an extent free; the message says what it does."""


def size(extent: Extent) -> int:
    """The extent that the graph declares."""
    if isinstance(extent, int):
        return extent
    return math.prod(factor_size(factor) for factor in extent.factors)


def factor_size(factor: Factor) -> int:
    """The size that the graph declares."""
    return factor if isinstance(factor, int) else factor.size


def declared(shape: SymbolicShape) -> Shape:
    """The shape that the graph declares."""
    return tuple(map(size, shape))


def only_symbols(extent: Product) -> Product:
    """The symbol of an extent, without its numbers."""
    return Product(tuple([factor for factor in extent.factors if not isinstance(factor, int)]))


def block(extent: Product) -> int:
    """The entries of an extent for one of its symbol."""
    return math.prod([factor for factor in extent.factors if isinstance(factor, int)])


def is_free(extent: Extent) -> bool:
    return not isinstance(extent, int)


def is_batch(extent: Extent) -> bool:
    """Whether an extent has the batch among its factors."""
    return not isinstance(extent, int) and any(
        not isinstance(factor, int) and factor.batch for factor in extent.factors
    )


def batch_axis(shape: SymbolicShape) -> int | None:
    """The axis that holds the batch."""
    return next((axis for axis, extent in enumerate(shape) if is_batch(extent)), None)


def symbolic_text(shape: SymbolicShape) -> str:
    """A shape as a comment shows it: `(N, 144)`, `(4 * N,)`."""
    if not any(map(is_free, shape)):
        return shape_text(declared(shape))
    texts = [extent_text(extent) for extent in shape]
    return f"({texts[0]},)" if len(texts) == 1 else f"({', '.join(texts)})"


def extent_text(extent: Extent) -> str:
    """An extent as a product: the number first, then the symbols."""
    if isinstance(extent, int):
        return str(extent)
    names = [_symbol_text(factor) for factor in extent.factors if not isinstance(factor, int)]
    if len(extent.factors) > 1:
        names = [name if name.isidentifier() else f"({name})" for name in names]
    number = math.prod(factor for factor in extent.factors if isinstance(factor, int))
    return " * ".join([*([str(number)] if number != 1 else []), *names])


def _symbol_text(symbol: Symbol) -> str:
    text = symbol.name
    for added, step in symbol.windows:
        name = text if text.isidentifier() else f"({text})"
        if step == 1:
            text = _plus(name, added + 1)
        else:
            text = f"{f'({_plus(name, added)})' if added else name} // {step} + 1"
    return text


def _plus(name: str, number: int) -> str:
    return f"{name} {'+' if number > 0 else '-'} {abs(number)}"


def unmixed(shape: SymbolicShape) -> SymbolicShape:
    """A shape, where the batch stands on one axis of it at most. Raises `NotFreeError`."""
    if sum(map(is_batch, shape)) > 1:
        raise NotFreeError("joins values whose batch lies along different axes")
    return shape


def joined(shapes: Sequence[SymbolicShape]) -> SymbolicShape:
    """What shapes that line up from the last axis give entry by entry; a number gives way.

    Raises `NotFreeError` where two free extents differ.
    """
    result = max(shapes, key=len)
    for shape in shapes:
        if shape != result:
            start = len(result) - len(shape)
            pairs = zip(result[start:], shape, strict=True)
            result = (*result[:start], *(_joined_extent(a, b) for a, b in pairs))
    return unmixed(result)


def _joined_extent(a: Extent, b: Extent) -> Extent:
    if a == b or b == 1:
        return a
    if a == 1 or (isinstance(a, int) and a == size(b)):
        return b
    if isinstance(b, int) and b == size(a):
        return a
    raise NotFreeError(f"joins extents {extent_text(a)} and {extent_text(b)}")


def lined_up(parent: SymbolicShape, out: SymbolicShape) -> tuple[tuple[int, Product], ...]:
    """The axes of a parent with a number where the result, lined up from the last, is free."""
    pairs = enumerate(zip(parent, out[len(out) - len(parent) :], strict=True))
    return tuple(
        (axis, b) for axis, (a, b) in pairs if isinstance(a, int) and not isinstance(b, int)
    )


def windowed(extent: Extent, span: int, step: int, padding: int) -> Extent:
    """How many windows of `span` entries lie along an axis, with `padding` on both sides together.

    Windows of one entry only carry it. Raises `NotFreeError` for others over the batch, or over an
    extent of several factors.
    """
    if (span, step, padding) == (1, 1, 0):
        return extent
    added = padding - span
    if isinstance(extent, int):
        return (extent + added) // step + 1
    (symbol, *rest) = extent.factors
    if rest or isinstance(symbol, int) or symbol.batch:
        raise NotFreeError(f"slides a window over {extent_text(extent)} entries")
    if (added, step) == (-1, 1):
        return extent
    size = (symbol.size + added) // step + 1
    return Product((symbol._replace(size=size, windows=(*symbol.windows, (added, step))),))


def without_axis(shape: SymbolicShape, axis: int) -> SymbolicShape:
    return shape[:axis] + shape[axis + 1 :]
