"""ONNX ops that run a graph of their own: a branch that is known, trips that are counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import numpy as np
from onnx import TensorProto

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.onnx.scope import LOST, Named
from hatch_irpytorch.capture.onnx.tensors import Call, Graph, axis_of
from hatch_irpytorch.capture.selections.selection import select

Handler = Callable[[Call], list[Named]]


def _if(c: Call) -> list[Named]:
    condition = c.array(0, "a branch")
    chosen, other = ("then_branch", "else_branch")[:: 1 if condition.reshape(()) else -1]
    c.get(other, None)
    return c.graph(chosen)([])


def _loop(c: Call) -> list[Named]:
    """The body once for each trip; its number and each condition have to be constant."""
    trips = int(c.array(0, "a number of trips").reshape(())) if c.has(0) else None
    goes_on = _truth(c.named(1)) if c.has(1) else True
    states = [c.named(position) for position in range(2, len(c.inputs))]
    body, rows = c.graph("body", repeated=True), []
    for trip in count() if trips is None else range(trips):
        if not goes_on:
            break
        number = Named(np.array(trip, np.int64), int(TensorProto.INT64))
        condition = Named(np.array(goes_on), int(TensorProto.BOOL))
        found = body([number, condition, *states])
        states = found[1 : 1 + len(states)]
        if found[0].lost:
            return [LOST] * len(c.outputs)
        goes_on = _truth(found[0])
        rows.append(found[1 + len(states) :])
        if trip == 1 and trips is not None:
            c.b.budget.require_nodes(trips - 2)
    kept = len(c.outputs) - len(states)
    if kept > 0 and not rows:
        raise InexpressibleError("the scanned outputs of a loop without a trip")
    columns = [[row[i] for row in rows] for i in range(max(kept, 0))]
    return [*states, *(_stacked(c, column, 0) for column in columns)]


def _truth(condition: Named) -> bool:
    if isinstance(condition.tensor, np.ndarray):
        return bool(condition.tensor.reshape(()))
    raise InexpressibleError("a loop that ends where the numbers of the input say so")


_Ways = tuple[Sequence[int], Sequence[int]]
"""The axis of each tensor that is scanned or stacked, and whether it is gone through backwards."""

_WITHOUT_BATCHES = 9
"""Before this opset, every tensor of a scan is one of samples, each scanned by itself."""


def _scan(c: Call) -> list[Named]:
    """The body once for each position of the scanned inputs."""
    batched = c.version < _WITHOUT_BATCHES
    if batched and c.has(0):
        raise InexpressibleError("a scan of sequences of given lengths, which leaves entries open")
    first = len(c.inputs) - int(c.attributes["num_scan_inputs"])
    given = [c.named(position) for position in range(int(batched), len(c.inputs))]
    states, inputs = given[: first - batched], given[first - batched :]
    body = c.graph("body", repeated=True)
    ways = _directed(c, "input", len(inputs)), _directed(c, "output", len(c.outputs) - len(states))
    if not batched:
        return _positions_scanned(c, body, states, inputs, *ways)
    samples = {_shape(named)[:1] for named in given}
    if len(samples) != 1 or samples & {(), (0,)}:
        raise InexpressibleError("a scan of tensors without as many samples each")
    rows = []
    for sample in range(*samples.pop()):
        own = [_position(c, named, 0, sample) for named in given]
        rows.append(_positions_scanned(c, body, own[: len(states)], own[len(states) :], *ways))
    return [_stacked(c, list(column), 0) for column in zip(*rows, strict=True)]


def _positions_scanned(
    c: Call,
    body: Graph,
    states: Sequence[Named],
    inputs: Sequence[Named],
    ways: _Ways,
    out_ways: _Ways,
) -> list[Named]:
    """The states after the last position, then what each one gives, stacked."""
    axes, backwards = ways
    shapes = [_shape(named) for named in inputs]
    lengths = {shape[axis_of(axis, len(shape))] for axis, shape in zip(axes, shapes, strict=True)}
    if len(lengths) != 1:
        raise InexpressibleError(f"a scan of axes of {sorted(lengths)} positions")
    (length,) = lengths
    if not length:
        raise InexpressibleError("a scan of an empty axis")
    rows = []
    for step in range(length):
        parts = [
            _position(c, named, axis_of(axis, len(shape)), length - 1 - step if back else step)
            for named, axis, shape, back in zip(inputs, axes, shapes, backwards, strict=True)
        ]
        found = body([*states, *parts])
        rows.append(found[len(states) :])
        states = found[: len(states)]
        if step == 1:
            c.b.budget.require_nodes(length - 2)
    result = list(states)
    for i, (axis, back) in enumerate(zip(*out_ways, strict=True)):
        column = [row[i] for row in rows]
        result.append(_stacked(c, column[::-1] if back else column, axis))
    return result


def _directed(c: Call, which: str, number: int) -> _Ways:
    axes = c.get(f"scan_{which}_axes", [0] * number)
    named = "directions" if which == "input" and c.version < _WITHOUT_BATCHES else ""
    return axes, c.get(named or f"scan_{which}_directions", [0] * number)


def _shape(named: Named) -> tuple[int, ...]:
    if named.tensor is None:
        raise InexpressibleError("a scan of what has no form")
    return tuple(named.tensor.shape)


def _position(c: Call, named: Named, axis: int, index: int) -> Named:
    if isinstance(named.tensor, np.ndarray):
        return Named(np.take(named.tensor, index, axis), named.kind)
    return Named(select(c.b, named.value(c.b, "x"), axis, index), named.kind)


def _stacked(c: Call, column: list[Named], axis: int) -> Named:
    """What each trip gives, one beside the other along a new axis."""
    kind = column[0].kind
    if any(named.lost for named in column):
        return LOST
    arrays = [named.tensor for named in column if isinstance(named.tensor, np.ndarray)]
    if len(arrays) == len(column):
        c.b.budget.spend(entries=sum(array.size for array in arrays))
        return Named(np.stack(arrays, axis), kind)
    values = [named.value(c.b, "of a trip") for named in column]
    axis = axis_of(axis, values[0].rank + 1)
    return Named(c.b.concat([_with_axis(c, value, axis) for value in values], axis), kind)


def _with_axis(c: Call, x: Value, axis: int) -> Value:
    return c.b.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


OPS: dict[str, Handler] = {
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
}
"""By op type."""
