"""ONNX's recurrent layers: one or two directions, whose weights and options its node gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.layers.recurrent import (
    Cell,
    Way,
    gru_cell,
    lstm_cell,
    rnn_cell,
    run,
)
from hatch_irpytorch.capture.onnx.activations import activations
from hatch_irpytorch.capture.onnx.tensors import Call
from hatch_irpytorch.capture.selections.selection import select
from hatch_irpytorch.ir.ops.learned import LearnedWeight

Handler = Callable[[Call], Any]


def _layer(cell: Cell, gates: str, states: int, functions: Sequence[str]) -> Handler:
    def convert(c: Call) -> list[Value]:
        b, batch_first = c.b, bool(c.get("layout", 0))
        x = c.x if batch_first else b.permute(c.x, [1, 0, 2])
        found = [run(b, cell, way, x) for way in _ways(c, gates, states, functions, x)]
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
    functions = activations(c, list(defaults) * len(chosen))
    coupled = c.op == "LSTM" and bool(c.get("input_forget", 0))
    lengths = _lengths(c, x)
    weights, recurrents = c.stored(1, "a weight"), c.stored(2, "a weight")
    biases = c.optional_reals(3, "a bias")
    learned = LearnedWeight(weight=c.is_trainable(1), bias=c.is_trainable(3))
    own_bias = c.op == "GRU" and biases is not None
    ways = []
    for d, reverse in enumerate(chosen):
        both = None if biases is None else biases[d]
        ways.append(
            Way(
                gates,
                weights[d],
                None if both is None else both[:rows] + (0.0 if own_bias else both[rows:]),
                learned,
                b.transpose(b.const(recurrents[d], c.is_trainable(2)), 0, 1),
                b.const(both[rows:], c.is_trainable(3)) if own_bias and both is not None else None,
                tuple(functions[d * len(defaults) : (d + 1) * len(defaults)]),
                tuple(_first_state(c, 5 + i, d, (x.shape[0], hidden)) for i in range(states)),
                reverse,
                _peepholes(c, d) if states == 2 else (),
                c.op == "GRU" and bool(c.get("linear_before_reset", 0)),
                coupled=coupled,
                lengths=lengths,
            )
        )
    return ways


def _lengths(c: Call, x: Value) -> tuple[int, ...] | None:
    """How many steps each sequence of the batch has, where not all have all."""
    batch, steps = x.shape[:2]
    found = c.ints(4, "a length") if c.has(4) else [steps] * batch
    if len(found) != batch or not all(0 <= length <= steps for length in found):
        raise InexpressibleError(f"lengths of {found} for {batch} sequences of {steps} steps")
    return None if set(found) == {steps} else tuple(found)


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
