"""ONNX's recurrent layers, step by step: one `linear` for the input, one matrix for the state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hatch_irpytorch.capture import elementwise as e
from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Reals, Value
from hatch_irpytorch.capture.onnx.tensors import Call
from hatch_irpytorch.capture.products import linear, matmul
from hatch_irpytorch.capture.selection import select, slice_axis
from hatch_irpytorch.ir.ops.learned import LearnedWeight

Handler = Callable[[Call], Any]
Activation = Callable[[Builder, Value], Value]

_ACTIVATIONS: dict[str, Activation] = {
    "relu": e.relu,
    "sigmoid": e.sigmoid,
    "softplus": e.softplus,
    "softsign": e.softsign,
    "tanh": e.tanh,
}


@dataclass(frozen=True)
class _Way:
    """One direction of a layer: its weights by gate, its activations, its first state."""

    weight: Reals
    bias: Reals
    recurrent: Value
    recurrent_bias: Value | None
    peepholes: tuple[Value, ...]
    activations: tuple[Activation, ...]
    states: tuple[Value, ...]
    reverse: bool
    learned: LearnedWeight


Cell = Callable[[Call, _Way, Value, tuple[Value, ...]], tuple[Value, ...]]
"""From the input's part of the gates (batch, gates * hidden) and the states to the next states."""


def _layer(cell: Cell, gates: int, states: int, activations: Sequence[str]) -> Handler:
    def convert(c: Call) -> list[Value]:
        b, batch_first = c.b, bool(c.get("layout", 0))
        x = b.permute(c.x, [1, 0, 2]) if batch_first else c.x
        if c.has(4) and any(length != x.shape[0] for length in c.ints(4, "a length")):
            raise InexpressibleError("sequences of different lengths")
        found = [_run(c, cell, way, x) for way in _ways(c, gates, states, activations, x)]
        whole = b.concat([outputs for outputs, _ in found], 1)
        ends = [b.concat([_on_axis(b, last[i], 0) for _, last in found], 0) for i in range(states)]
        if batch_first:
            whole = b.permute(whole, [2, 0, 1, 3])
            ends = [b.permute(end, [1, 0, 2]) for end in ends]
        return [whole, *ends]

    return convert


def _ways(c: Call, gates: int, states: int, defaults: Sequence[str], x: Value) -> list[_Way]:
    b, hidden = c.b, int(c.attributes["hidden_size"])
    reverses = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    chosen = reverses[c.get("direction", "forward")]
    names = c.get("activations", None) or list(defaults) * len(chosen)
    names = [name.decode() if isinstance(name, bytes) else name for name in names]
    if c.get("activation_alpha", None) or c.get("activation_beta", None):
        raise InexpressibleError("activations with numbers of their own")
    if c.get("clip", None) is not None:
        raise InexpressibleError("gates that are clipped")
    weights, recurrents = c.stored(1, "a weight"), c.stored(2, "a weight")
    biases = c.optional_reals(3, "a bias")
    learned = LearnedWeight(weight=c.is_trainable(1), bias=c.is_trainable(3))
    own_bias = c.op == "GRU" and biases is not None
    ways = []
    for d, reverse in enumerate(chosen):
        both = np.zeros(2 * gates * hidden) if biases is None else biases[d]
        part = names[d * len(defaults) : (d + 1) * len(defaults)]
        if any(name.lower() not in _ACTIVATIONS for name in part):
            raise InexpressibleError(f"the activations {', '.join(part)}")
        ways.append(
            _Way(
                weights[d],
                both[: gates * hidden] + (0.0 if own_bias else both[gates * hidden :]),
                b.transpose(b.const(recurrents[d], c.is_trainable(2)), 0, 1),
                b.const(both[gates * hidden :], c.is_trainable(3)) if own_bias else None,
                _peepholes(c, d) if states == 2 else (),
                tuple(_ACTIVATIONS[name.lower()] for name in part),
                tuple(_first_state(c, 5 + i, d, (x.shape[1], hidden)) for i in range(states)),
                reverse,
                learned,
            )
        )
    return ways


def _peepholes(c: Call, way: int) -> tuple[Value, ...]:
    """What the cell adds to each gate, where a layer has it."""
    if not c.has(7):
        return ()
    parts = np.split(c.stored(7, "a peephole")[way], 3)
    return tuple(c.b.const(part, c.is_trainable(7)) for part in parts)


def _first_state(c: Call, position: int, way: int, shape: tuple[int, int]) -> Value:
    if not c.has(position):
        return c.b.full(shape, 0.0)
    axis = 1 if c.get("layout", 0) else 0
    return select(c.b, c.value(position), axis, way)


def _run(c: Call, cell: Cell, way: _Way, x: Value) -> tuple[Value, tuple[Value, ...]]:
    """The outputs (steps, 1, batch, hidden) of one direction, and its last states."""
    b = c.b
    incoming = linear(b, x, way.weight, way.bias, way.learned)
    order = range(x.shape[0])
    states, outputs = way.states, {}
    for step, t in enumerate(reversed(order) if way.reverse else order):
        before = b.budget.nodes
        states = cell(c, way, select(b, incoming, 0, t), states)
        outputs[t] = _on_axis(b, _on_axis(b, states[0], 0), 0)
        if step == 1:
            b.budget.require_nodes((before - b.budget.nodes) * (len(order) - 2))
    return b.concat([outputs[t] for t in order], 0), states


def _on_axis(b: Builder, x: Value, axis: int) -> Value:
    return b.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def _parts(b: Builder, x: Value, count: int) -> list[Value]:
    width = x.shape[-1] // count
    return [slice_axis(b, x, 1, i * width, (i + 1) * width) for i in range(count)]


def _from_state(c: Call, way: _Way, h: Value) -> Value:
    product = matmul(c.b, h, way.recurrent)
    return product if way.recurrent_bias is None else e.add(c.b, product, way.recurrent_bias)


def _rnn(c: Call, way: _Way, x: Value, states: tuple[Value, ...]) -> tuple[Value, ...]:
    pre = e.add(c.b, x, _from_state(c, way, states[0]))
    return (way.activations[0](c.b, pre),)


def _lstm(c: Call, way: _Way, x: Value, states: tuple[Value, ...]) -> tuple[Value, ...]:
    b, (h, cell) = c.b, states
    if c.get("input_forget", 0):
        raise InexpressibleError("input and forget gates that are coupled")
    pre = e.add(b, x, _from_state(c, way, h))
    f, g, last = way.activations
    i, o, forget, inner = _parts(b, pre, 4)
    looks = way.peepholes
    if looks:
        i = e.add(b, i, e.mul(b, cell, looks[0]))
        forget = e.add(b, forget, e.mul(b, cell, looks[2]))
    cell = e.add(b, e.mul(b, f(b, forget), cell), e.mul(b, f(b, i), g(b, inner)))
    if looks:
        o = e.add(b, o, e.mul(b, cell, looks[1]))
    return e.mul(b, f(b, o), last(b, cell)), cell


def _gru(c: Call, way: _Way, x: Value, states: tuple[Value, ...]) -> tuple[Value, ...]:
    b, (h,) = c.b, states
    f, g = way.activations
    x_z, x_r, x_n = _parts(b, x, 3)
    h_z, h_r, h_n = _parts(b, _from_state(c, way, h), 3)
    z, r = f(b, e.add(b, x_z, h_z)), f(b, e.add(b, x_r, h_r))
    if c.get("linear_before_reset", 0):
        h_n = e.mul(b, r, h_n)
    else:
        h_n = _parts(b, _from_state(c, way, e.mul(b, r, h)), 3)[2]
    n = g(b, e.add(b, x_n, h_n))
    kept = e.mul(b, z, h)
    return (e.add(b, kept, e.mul(b, e.shifted(b, e.neg(b, z), 1.0), n)),)


OPS: dict[str, Handler] = {
    "GRU": _layer(_gru, 3, 1, ("Sigmoid", "Tanh")),
    "LSTM": _layer(_lstm, 4, 2, ("Sigmoid", "Tanh", "Tanh")),
    "RNN": _layer(_rnn, 1, 1, ("Tanh",)),
}
"""By op type."""
