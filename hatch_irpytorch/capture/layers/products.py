"""Matrix products, affine maps, einsum and attention."""

from __future__ import annotations

import numpy as np

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Reals, Value
from hatch_irpytorch.capture.entries.elementwise import add, mul, scaled
from hatch_irpytorch.capture.layers.masks import attention_weights
from hatch_irpytorch.capture.layers.reductions import softmax, total
from hatch_irpytorch.capture.training import without_bias
from hatch_irpytorch.ir.ops.learned import LearnedWeight
from hatch_irpytorch.ir.ops.products import Linear, Matmul
from hatch_irpytorch.ir.shapes import numel


def matmul(b: Builder, x: Value, y: Value) -> Value:
    """The matrix product with NumPy's rules; factors of rank 0 scale."""
    if not x.rank or not y.rank:
        return mul(b, x, y)
    return b.node(Matmul(), x, y)


def linear(
    b: Builder, x: Value, weight: Reals, bias: Reals | None, learned: LearnedWeight
) -> Value:
    """One `linear` node: x (..., in) by weight (out, in); no bias is a bias of zeros."""
    out = (*x.shape[:-1], len(weight))
    if bias is None:
        learned = without_bias(b, learned)
        bias = np.zeros(len(weight))
    op = Linear(out, learnable=learned)
    return b.node(op, x, payload={"weight": weight, "bias": bias})


def affine(b: Builder, x: Value, weight: Value, bias: Value | None) -> Value:
    """x by the transposed `weight`, plus `bias`: for weights that other nodes use as well."""
    turned = b.transpose(weight, 0, 1) if weight.rank == 2 else weight
    y = matmul(b, x, turned)
    return y if bias is None else add(b, y, bias)


def einsum(b: Builder, equation: str, *values: Value) -> Value:
    """A sum over products of entries, two operands at a time; letters as NumPy has them."""
    terms, out = _parse(equation.replace(" ", ""), [value.rank for value in values])
    current, letters = _without_repeats(b, values[0], terms[0])
    for position in range(1, len(values)):
        other, other_letters = _without_repeats(b, values[position], terms[position])
        later = set(out).union(*terms[position + 1 :])
        current, letters = _contract(b, (current, letters), (other, other_letters), later)
    dropped = [axis for axis, letter in enumerate(letters) if letter not in out]
    if dropped:
        current = total(b, current, dropped, False)
        letters = [letter for letter in letters if letter in out]
    return b.permute(current, [letters.index(letter) for letter in out])


def _parse(equation: str, ranks: list[int]) -> tuple[list[list[str]], list[str]]:
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise InexpressibleError(f"an einsum of {len(ranks)} operands with {len(terms)} terms")
    widths = [rank - len(t.replace("...", "")) for t, rank in zip(terms, ranks, strict=True)]
    widest = max((w for w, t in zip(widths, terms, strict=True) if "..." in t), default=0)
    dots = [f"...{i}" for i in range(widest)]

    def letters(term: str, width: int) -> list[str]:
        before, found, after = term.partition("...")
        middle = dots[len(dots) - width :] if found and width else []
        return [*before, *middle, *after]

    spelled = [letters(term, width) for term, width in zip(terms, widths, strict=True)]
    if arrow:
        return spelled, letters(right, widest)
    once = sorted(
        {c for term in spelled for c in term if sum(t.count(c) for t in spelled) == 1} - set(dots)
    )
    return spelled, [*dots, *once]


def _without_repeats(b: Builder, x: Value, letters: list[str]) -> tuple[Value, list[str]]:
    """A term whose repeated letters are read on the diagonal."""
    from hatch_irpytorch.capture.selections.gathering import gather

    unique = list(dict.fromkeys(letters))
    if len(unique) == len(letters):
        return x, letters
    extents = {letter: x.shape[axis] for axis, letter in enumerate(letters)}
    shape = tuple(extents[letter] for letter in unique)
    grid = np.indices(shape)
    at = [grid[unique.index(letter)] for letter in letters]
    return gather(b, x, np.ravel_multi_index(at, x.shape), shape), unique


Term = tuple[Value, list[str]]


def _contract(b: Builder, left: Term, right: Term, needed: set[str]) -> Term:
    """The product of two terms, summed over the letters that nothing later needs."""
    x, y = _summed(b, left, set(right[1]) | needed), _summed(b, right, set(left[1]) | needed)
    batch = [c for c in x[1] if c in y[1] and c in needed]
    inner = [c for c in x[1] if c in y[1] and c not in needed]
    rows = [c for c in x[1] if c not in y[1]]
    columns = [c for c in y[1] if c not in x[1]]
    sizes: dict[str, int] = {}
    for value, letters in (x, y):
        for letter, extent in zip(letters, value.shape, strict=True):
            sizes[letter] = max(sizes.get(letter, 1), extent)
    a = _arranged(b, x, batch, rows, inner, sizes)
    c = _arranged(b, y, batch, inner, columns, sizes)
    out = [*batch, *rows, *columns]
    return b.reshape(matmul(b, a, c), [sizes[letter] for letter in out]), out


def _summed(b: Builder, term: Term, needed: set[str]) -> Term:
    value, letters = term
    dropped = [axis for axis, letter in enumerate(letters) if letter not in needed]
    if not dropped:
        return term
    return total(b, value, dropped, False), [c for c in letters if c in needed]


def _arranged(
    b: Builder,
    term: Term,
    batch: list[str],
    rows: list[str],
    columns: list[str],
    sizes: dict[str, int],
) -> Value:
    """A term as (*batch, rows, columns), letters of extent 1 repeated."""
    value, letters = term
    order = [*batch, *rows, *columns]
    value = b.permute(value, [letters.index(letter) for letter in order])
    value = b.broadcast(value, [sizes[letter] for letter in order])
    shape = [sizes[letter] for letter in batch]
    parts = [numel(tuple(sizes[c] for c in part)) for part in (rows, columns)]
    return b.reshape(value, [*shape, *parts])


def attention(
    b: Builder,
    q: Value,
    k: Value,
    v: Value,
    mask: Value | None,
    scale: float | None,
    rows: Value | None = None,
) -> Value:
    """softmax(q kᵀ scale + mask) v over the last two axes: (..., tokens, depth).

    `rows` is 0 where the mask blocks a whole row and 1 elsewhere; without it the mask tells.
    """
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    scores = scaled(b, matmul(b, q, b.transpose(k, -1, -2)), factor)
    if mask is not None:
        scores = add(b, scores, mask)
    if rows is None:
        return matmul(b, attention_weights(b, scores, -1), v)
    return matmul(b, mul(b, softmax(b, scores, -1), rows), v)
