"""Rows of a softmax that a mask blocks whole: attention gives 0 there, a plain softmax NaN.

A mask is an addend of 0 and -2**127, which stands for -inf. Over a row of that alone a softmax is
the same for every entry, so where one may be the weights are multiplied by 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hatch_irpytorch.capture.bounds import interval
from hatch_irpytorch.capture.builder import LARGEST, Builder, Value
from hatch_irpytorch.capture.entries.elementwise import (
    Flags,
    maximum,
    minimum,
    mul,
    narrowed,
    neg,
    scaled,
    shifted,
)
from hatch_irpytorch.capture.layers.reductions import largest, softmax
from hatch_irpytorch.ir.ops import Const
from hatch_irpytorch.ir.ops.elementwise import Abs, Add, MaxElem, MulElem, Sub
from hatch_irpytorch.ir.ops.movement import BroadcastTo, Concat, Permute, Reshape, Transpose
from hatch_irpytorch.ir.ops.softmaxes import Softmax

_SPACING = 2.0**-102
"""What makes the distance of two float32 numbers below 2**126 at least 1."""

_MOVES = BroadcastTo | Concat | Permute | Reshape | Transpose

_LOOKED_AT = 64
"""How many nodes above a softmax are searched for a mask."""


def attention_weights(b: Builder, scores: Value, axis: int) -> Value:
    """A softmax that gives 0 for every entry of a row that is masked whole."""
    if _is_masked_by_input(b, scores):
        scores = maximum(b, scores, b.full(scores.shape, -LARGEST))
    weights = softmax(b, scores, axis)
    b.guarded.add(weights.id)
    rows = allowed_rows(b, scores, axis)
    return weights if rows is None else mul(b, weights, rows)


def allowed_rows(b: Builder, scores: Value, axis: int) -> Value | None:
    """1 for the rows in which some entry is not masked, else 0; None where all rows are such."""
    if _is_masked_by_input(b, scores):
        top = largest(b, scores, [axis], True)
        distance = b.node(Abs(), shifted(b, scaled(b, top, 0.5), LARGEST / 2.0))
        return minimum(b, scaled(b, distance, _SPACING), b.full(distance.shape, 1.0))
    blocked = blocked_rows(b, scores, axis)
    return None if blocked is None else b.const(np.where(blocked, 0.0, 1.0))


def blocked_rows(b: Builder, scores: Value, axis: int) -> Flags | None:
    """Which rows along the axis constants mask whole; None where they mask none."""
    masked = _masked(b, scores)
    if masked is None or scores.rank == 0:
        return None
    axis %= scores.rank
    rows = np.asarray(masked.all(axis=axis, keepdims=True))
    return narrowed(rows) if rows.any() else None


def not_a_number(b: Builder, x: Value) -> Flags | Value | None:
    """Where a softmax is NaN: flags, or 1 and 0 where the input tells.

    Other values are not NaN where their bounds are finite; None where they are not.
    """
    op = b.op(x)
    if not isinstance(op, Softmax):
        return infinite(b, x)
    b.guarded.add(x.id)
    (scores,) = b.parents(x)
    if _is_masked_by_input(b, scores):
        rows = allowed_rows(b, scores, op.axis)
        assert rows is not None
        return b.broadcast(shifted(b, neg(b, rows), 1.0), x.shape)
    blocked = blocked_rows(b, scores, op.axis)
    return np.broadcast_to(np.False_ if blocked is None else blocked, x.shape)


def infinite(b: Builder, x: Value) -> Flags | None:
    """Where a value is infinite or NaN: nowhere if its bounds are finite, and else None."""
    if not interval(b, x).is_finite:
        return None
    message = "of a value with finite bounds it is taken for granted that it is no NaN"
    b.note("finite-only", message)
    return np.broadcast_to(np.False_, x.shape)


def note_masked_rows(b: Builder, live: Iterable[Value]) -> None:
    """Note that a row is NaN at the source where nothing that was converted asks for it."""
    for x in live:
        op = b.op(x)
        if not isinstance(op, Softmax) or x.id in b.guarded:
            continue
        if blocked_rows(b, b.parents(x)[0], op.axis) is not None:
            message = "a softmax over a row that is masked whole is NaN; the graph weighs it evenly"
            b.note("masked-row", message)


def _masked(b: Builder, x: Value) -> Flags | None:
    """Which entries hold -2**127 whatever the input is, with axes of 1 where all are alike."""
    op = b.op(x)
    if isinstance(op, BroadcastTo):
        (source_value,) = b.parents(x)
        return _widened(_masked(b, source_value), x.rank)
    if isinstance(op, Const):
        masked = np.asarray(b.payload(x)["values"] == -LARGEST)
        return masked if masked.any() else None
    if isinstance(op, Add | Sub | MulElem):
        return _masked_pair(b, op, *b.parents(x))
    if isinstance(op, Concat):
        parts = [(part.shape, _masked(b, part)) for part in b.parents(x)]
        if all(flags is None for _, flags in parts):
            return None
        whole = [np.broadcast_to(False if flags is None else flags, s) for s, flags in parts]
        return np.concatenate(whole, axis=op.axis)
    if isinstance(op, Reshape | Permute | Transpose):
        (source_value,) = b.parents(x)
        source = _masked(b, source_value)
        if source is None:
            return None
        if isinstance(op, Reshape):
            return np.broadcast_to(source, source_value.shape).reshape(x.shape)
        if isinstance(op, Permute):
            return source.transpose(op.perm)
        return source.swapaxes(op.axis1, op.axis2)
    return None


def _masked_pair(b: Builder, op: Add | Sub | MulElem, x: Value, y: Value) -> Flags | None:
    if isinstance(op, MulElem):
        for one, factor in ((x, y), (y, x)):
            masked, positive = _masked(b, one), _positive(b, factor)
            if masked is not None and positive is not None:
                return masked & positive
        return None
    left, right = _masked(b, x), None if isinstance(op, Sub) else _masked(b, y)
    if left is None or right is None:
        return right if left is None else left
    return left | right


def _positive(b: Builder, x: Value) -> Flags | None:
    """Where a constant holds numbers above 0; None for what is computed."""
    op = b.op(x)
    if isinstance(op, BroadcastTo):
        return _widened(_positive(b, b.parents(x)[0]), x.rank)
    return np.asarray(b.payload(x)["values"] > 0.0) if isinstance(op, Const) else None


def _widened(flags: Flags | None, rank: int) -> Flags | None:
    return None if flags is None else flags.reshape((1,) * (rank - flags.ndim) + flags.shape)


def _is_masked_by_input(b: Builder, scores: Value) -> bool:
    """Whether scores hold 2**127 times what depends on the input."""
    waiting, looked_at = [scores], 0
    while waiting and looked_at < _LOOKED_AT:
        x = waiting.pop()
        looked_at += 1
        op = b.op(x)
        infinite = isinstance(op, MulElem) and any(_is_infinity(b, y) for y in b.parents(x))
        if infinite and not b.is_constant(x):
            return True
        if isinstance(op, _MOVES | Add | MaxElem | MulElem | Sub):
            waiting.extend(b.parents(x))
    return False


def _is_infinity(b: Builder, x: Value) -> bool:
    while isinstance(b.op(x), BroadcastTo):
        (x,) = b.parents(x)
    return isinstance(b.op(x), Const) and bool((np.abs(b.payload(x)["values"]) == LARGEST).all())
