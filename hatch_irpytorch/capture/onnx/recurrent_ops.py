"""ONNX's recurrent layers: one or two directions, whose weights and options its node gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hatch_irpytorch.capture import elementwise as e
from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.onnx.tensors import Call
from hatch_irpytorch.capture.recurrent import (
    Activation,
    Cell,
    Way,
    gru_cell,
    lstm_cell,
    rnn_cell,
    run,
)
from hatch_irpytorch.capture.selection import select
from hatch_irpytorch.ir.ops.learned import LearnedWeight

Handler = Callable[[Call], Any]

_ACTIVATIONS: dict[str, Activation] = {
    "relu": e.relu,
    "sigmoid": e.sigmoid,
    "softplus": e.softplus,
    "softsign": e.softsign,
    "tanh": e.tanh,
}


def _layer(cell: Cell, gates: str, states: int, activations: Sequence[str]) -> Handler:
    def convert(c: Call) -> list[Value]:
        b, batch_first = c.b, bool(c.get("layout", 0))
        x = c.x if batch_first else b.permute(c.x, [1, 0, 2])
        if c.has(4) and any(length != x.shape[1] for length in c.ints(4, "a length")):
            raise InexpressibleError("sequences of different lengths")
        found = [run(b, cell, way, x) for way in _ways(c, gates, states, activations, x)]
        place = 2 if batch_first else 1
        whole = b.concat([_on_axis(c, outputs, 2) for outputs, _ in found], 2)
        ends = [
            b.concat([_on_axis(c, last[i], place - 1) for _, last in found], place - 1)
            for i in range(states)
        ]
        return [whole if batch_first else b.permute(whole, [1, 2, 0, 3]), *ends]

    return convert


def _on_axis(c: Call, x: Value, axis: int) -> Value:
    return c.b.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def _ways(c: Call, gates: str, states: int, defaults: Sequence[str], x: Value) -> list[Way]:
    b, hidden = c.b, int(c.attributes["hidden_size"])
    rows = len(gates) * hidden
    reverses = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    chosen = reverses[c.get("direction", "forward")]
    names = c.get("activations", None) or list(defaults) * len(chosen)
    names = [name.decode() if isinstance(name, bytes) else name for name in names]
    if c.get("activation_alpha", None) or c.get("activation_beta", None):
        raise InexpressibleError("activations with numbers of their own")
    if c.get("clip", None) is not None:
        raise InexpressibleError("gates that are clipped")
    if c.op == "LSTM" and c.get("input_forget", 0):
        raise InexpressibleError("input and forget gates that are coupled")
    weights, recurrents = c.stored(1, "a weight"), c.stored(2, "a weight")
    biases = c.optional_reals(3, "a bias")
    learned = LearnedWeight(weight=c.is_trainable(1), bias=c.is_trainable(3))
    own_bias = c.op == "GRU" and biases is not None
    ways = []
    for d, reverse in enumerate(chosen):
        both = None if biases is None else biases[d]
        part = names[d * len(defaults) : (d + 1) * len(defaults)]
        if any(name.lower() not in _ACTIVATIONS for name in part):
            raise InexpressibleError(f"the activations {', '.join(part)}")
        ways.append(
            Way(
                gates,
                weights[d],
                None if both is None else both[:rows] + (0.0 if own_bias else both[rows:]),
                learned,
                b.transpose(b.const(recurrents[d], c.is_trainable(2)), 0, 1),
                b.const(both[rows:], c.is_trainable(3)) if own_bias and both is not None else None,
                tuple(_ACTIVATIONS[name.lower()] for name in part),
                tuple(_first_state(c, 5 + i, d, (x.shape[0], hidden)) for i in range(states)),
                reverse,
                _peepholes(c, d) if states == 2 else (),
                c.op == "GRU" and bool(c.get("linear_before_reset", 0)),
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


OPS: dict[str, Handler] = {
    "GRU": _layer(gru_cell, "zrn", 1, ("Sigmoid", "Tanh")),
    "LSTM": _layer(lstm_cell, "iofc", 2, ("Sigmoid", "Tanh", "Tanh")),
    "RNN": _layer(rnn_cell, "n", 1, ("Tanh",)),
}
"""By op type."""
