"""ATen's recurrent layers: several layers of one or two directions, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.layers.recurrent import (
    Activation,
    Cell,
    Way,
    gru_cell,
    lstm_cell,
    rnn_cell,
    run,
)
from hatch_irpytorch.capture.pytorch.arguments import Handler
from hatch_irpytorch.capture.pytorch.tensors import Context, Parameter, Tensor
from hatch_irpytorch.capture.selections.selection import select
from hatch_irpytorch.ir.ops.learned import LearnedWeight


def _layers(cell: Cell, gates: str, *activations: Activation) -> Handler:
    def convert(
        c: Context,
        x: Tensor,
        hx: Tensor | Sequence[Tensor],
        params: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> list[Value]:
        if not isinstance(params, list | tuple):
            raise InexpressibleError("sequences of different lengths, packed")
        b, y = c.builder, c.value(x)
        y = y if batch_first else b.permute(y, [1, 0, 2])
        given = [c.value(tensor) for tensor in _each(hx)]
        count = num_layers * (2 if bidirectional else 1)
        size = len(params) // count
        ends: list[list[Value]] = [[] for _ in given]
        for _ in range(num_layers):
            outputs = []
            for reverse in (False, True)[: count // num_layers]:
                place = len(ends[0])
                part = params[place * size : (place + 1) * size]
                states = tuple(select(b, state, 0, place) for state in given)
                way = _way(c, gates, part, has_biases, states, activations, reverse)
                output, last = run(b, cell, way, y)
                outputs.append(output)
                for end, state in zip(ends, last, strict=True):
                    end.append(b.reshape(state, (1, *state.shape)))
            y = b.concat(outputs, 2)
        whole = y if batch_first else b.permute(y, [1, 0, 2])
        return [whole, *(b.concat(end, 0) for end in ends)]

    return convert


def _each(states: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return [states] if isinstance(states, Value | Parameter | torch.Tensor) else states


def _way(
    c: Context,
    gates: str,
    params: Sequence[Tensor],
    has_biases: bool,
    states: tuple[Value, ...],
    activations: tuple[Activation, ...],
    reverse: bool,
) -> Way:
    weight, recurrent = params[:2]
    biases = params[2:4] if has_biases else []
    projection = params[2 + len(biases) :]
    array = c.payload(weight, "weight")
    assert array is not None
    bias, other = biases if has_biases else (None, None)
    learned = LearnedWeight(weight=c.is_learned(weight), bias=c.is_learned(bias))
    shift = None if other is None else c.value(other)
    return Way(
        gates,
        array,
        c.payload(bias, "bias"),
        learned,
        c.builder.transpose(c.value(recurrent), 0, 1),
        shift if gates == GRU else None,
        activations,
        states,
        reverse,
        shift=None if gates == GRU else shift,
        projection=c.builder.transpose(c.value(projection[0]), 0, 1) if projection else None,
    )


GRU = "rzn"
"""Its gates, of which the reset acts on the state's bias too."""

OPS: dict[str, Handler] = {
    "gru": _layers(gru_cell, GRU, e.sigmoid, e.tanh),
    "lstm": _layers(lstm_cell, "ifco", e.sigmoid, e.tanh, e.tanh),
    "rnn_relu": _layers(rnn_cell, "n", e.relu),
    "rnn_tanh": _layers(rnn_cell, "n", e.tanh),
}
"""By the name of the ATen op, for all of its overloads."""
