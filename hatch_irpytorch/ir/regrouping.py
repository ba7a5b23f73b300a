"""Reshapes of symbolic shapes: where symbols may stand then, and how their extents are told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from hatch_irpytorch.ir.shapes import Shape, numel, shape_text
from hatch_irpytorch.ir.symbolic import (
    Extent,
    Factor,
    NotFreeError,
    Product,
    SymbolicShape,
    block,
    factor_size,
    is_free,
    only_symbols,
    size,
    symbolic_text,
)

_MAX_VIEWS = 64


def regrouped(shape: SymbolicShape, out: Shape) -> list[SymbolicShape]:
    """Every way in which the entries of a free shape can be reshaped to the declared `out`.

    There are several only where the declared size of a symbol is 1, as of one sample. Those that
    leave symbols alone on an axis, further in front, come first. Raises `NotFreeError`.
    """
    if not any(map(is_free, shape)):
        return [out]
    if 0 in out:
        found = list(_placed_in_empty(shape, out))
    else:
        factors = _merged(factor for extent in shape for factor in _factors(extent))
        views = dict.fromkeys(_regrouped(factors, out))
        found = sorted(views, key=lambda view: _preference(view, shape))
    found = [view for view in found if _can_be_told(view, shape)]
    if not found:
        raise NotFreeError(f"reshapes {symbolic_text(shape)} to {shape_text(out)}")
    return found


def _can_be_told(view: SymbolicShape, shape: SymbolicShape) -> bool:
    try:
        untold_axis(view, [shape])
    except NotFreeError:
        return False
    return True


def _preference(view: SymbolicShape, shape: SymbolicShape) -> tuple[bool, int, tuple[int, ...]]:
    products = [(axis, extent) for axis, extent in enumerate(view) if isinstance(extent, Product)]
    merged = sum(len(extent.factors) - 1 for _, extent in products)
    return view != shape, merged, tuple(axis for axis, _ in products)


def _factors(extent: Extent) -> tuple[Factor, ...]:
    return (extent,) if isinstance(extent, int) else extent.factors


def _merged(factors: Iterator[Factor]) -> tuple[Factor, ...]:
    """Factors with neighbouring numbers as one, and without ones."""
    found: list[Factor] = []
    for factor in factors:
        if isinstance(factor, int) and found and isinstance(found[-1], int):
            found[-1] *= factor
        elif factor != 1:
            found.append(factor)
    return tuple(found)


def _extent(factors: tuple[Factor, ...]) -> Extent:
    kept = _merged(iter(factors))
    if any(not isinstance(factor, int) for factor in kept):
        return Product(kept)
    return numel(tuple(map(factor_size, kept)))


@lru_cache(maxsize=4096)
def _regrouped(factors: tuple[Factor, ...], out: Shape) -> tuple[SymbolicShape, ...]:
    """Some of the ways, where there are very many: symbols of one entry can stand anywhere."""
    if not out:
        return () if factors else ((),)
    found = (
        (_extent(taken), *rest)
        for taken, left in _taken(factors, out[0])
        for rest in _regrouped(left, out[1:])
    )
    return tuple(islice(found, _MAX_VIEWS))


def _taken(
    factors: tuple[Factor, ...], wanted: int
) -> Iterator[tuple[tuple[Factor, ...], tuple[Factor, ...]]]:
    """Every way to take `wanted` entries from the front of the factors, and what is left."""
    if wanted == 1:
        yield (), factors
    if not factors:
        return
    head, rest = factors[0], factors[1:]
    count = factor_size(head)
    if wanted % count == 0:
        for taken, left in _taken(rest, wanted // count):
            yield (head, *taken), left
    elif isinstance(head, int) and wanted > 1 and head % wanted == 0:
        yield (wanted,), (head // wanted, *rest)


class Origin(NamedTuple):
    """Where a free extent can be read: an axis of a parent, times `times`, divided by `over`."""

    parent: int
    axis: int
    times: int
    over: int

    def code(self, parents: Sequence[str]) -> str:
        """The extent as a product or quotient, for parents of these names."""
        text = f"{parents[self.parent]}.shape[{self.axis}]"
        if self.times != 1:
            return f"{self.times} * {text}"
        return text if self.over == 1 else f"{text} // {self.over}"


def origins(extent: Product, shapes: Sequence[SymbolicShape]) -> tuple[Origin, ...] | None:
    """Where the extents of parents tell a free extent, as factors; None where they do not."""
    whole = _origin(extent, shapes)
    if whole is not None:
        return (whole,)
    parts = [
        _origin(Product((factor,)), shapes)
        for factor in extent.factors
        if not isinstance(factor, int)
    ]
    found = tuple(part for part in parts if part is not None and part.over == 1)
    if len(found) < len(parts):
        return None
    number = block(extent)
    return (found[0]._replace(times=found[0].times * number), *found[1:])


def _origin(extent: Product, shapes: Sequence[SymbolicShape]) -> Origin | None:
    symbols, number = only_symbols(extent), block(extent)
    for parent, shape in enumerate(shapes):
        for axis, other in enumerate(shape):
            if isinstance(other, Product) and only_symbols(other) == symbols:
                common = math.gcd(number, block(other))
                times, over = number // common, block(other) // common
                if times == 1 or over == 1:
                    return Origin(parent, axis, times, over)
    return None


def repeated(name: str, rank: int, axis: int, extent: Product, count: str) -> str:
    """A value with one block of entries on an axis, as code that has `count` of them.

    The symbol of the extent says where: `(N, 4)` is four entries again and again, `(4, N)` each of
    four entries many times.
    """
    place = next(i for i, factor in enumerate(extent.factors) if not isinstance(factor, int))
    outside, inside = extent.factors[:place], extent.factors[place + 1 :]
    if not outside:
        times = ", ".join(count if i == axis else "1" for i in range(rank))
        return f"{name}.repeat(({times}))" if rank > 1 else f"{name}.repeat(({times},))"
    if not inside:
        return f"{name}.repeat_interleave({count}, dim={axis})"
    blocks = f"torch.unflatten({name}, {axis}, ({outside[0]}, {inside[0]}))"
    return f"{blocks}.repeat_interleave({count}, dim={axis}).flatten({axis}, {axis + 1})"


def untold_axis(shape: SymbolicShape, shapes: Sequence[SymbolicShape]) -> int | None:
    """The axis of a view that is written -1: one that the parents do not tell, else the first
    that is free. None where there is no free extent, or an extent of 0 leaves -1 no meaning.

    Raises `NotFreeError` where -1 cannot stand for all that they do not tell.
    """
    free = [axis for axis, extent in enumerate(shape) if is_free(extent)]
    untold = [
        axis
        for axis in free
        if isinstance(extent := shape[axis], Product) and origins(extent, shapes) is None
    ]
    if len(untold) > (0 if 0 in shape else 1):
        raise NotFreeError(f"makes {symbolic_text(shape)}, whose extents no parent has")
    return next(iter(untold or free), None) if 0 not in shape else None


def _placed_in_empty(shape: SymbolicShape, out: Shape) -> Iterator[SymbolicShape]:
    """A tensor without entries has nothing to carry: its symbol may stand where its size does."""
    symbols = [extent for extent in shape if isinstance(extent, Product)]
    if len(symbols) == 1 and len(symbols[0].factors) == 1:
        for axis, extent in enumerate(out):
            if extent == size(symbols[0]):
                yield (*out[:axis], symbols[0], *out[axis + 1 :])
