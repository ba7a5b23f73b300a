"""Recurrent layers, step by step: one `linear` for all inputs, one matrix for the state.

A state is (batch, 1, hidden), so that the outputs of the steps are joined as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Reals, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.layers.products import linear, matmul
from hatch_irpytorch.capture.selections.cuts import one
from hatch_irpytorch.ir.ops.learned import LearnedWeight

Activation = Callable[[Builder, Value], Value]
States = tuple[Value, ...]


@dataclass(frozen=True)
class Way:
    """One direction of a layer: its weights by gate, its activations, its first state.

    `gates` are their letters in the order of the rows of `weight` (gates * hidden, inputs).
    `recurrent` is (hidden, gates * hidden), a bias (gates * hidden,), a state (batch, hidden). The
    state's bias stands apart where a gate acts on it, or where it is a parameter of its own.
    """

    gates: str
    weight: Reals
    bias: Reals | None
    learned: LearnedWeight
    recurrent: Value
    recurrent_bias: Value | None
    """Added to the product with the state."""
    activations: tuple[Activation, ...]
    states: States
    reverse: bool = False
    peepholes: tuple[Value, ...] = ()
    reset_after: bool = True
    projection: Value | None = None
    shift: Value | None = None
    """Added to the input's part of every step."""
    coupled: bool = False
    """What an LSTM takes into its cell it forgets of it."""
    lengths: tuple[int, ...] | None = None
    """How many steps each sequence has: then its states stay, and its outputs are zeros."""


Cell = Callable[[Builder, Way, Value, States], States]
"""From the input's part of the gates (batch, gates, hidden) and the states to the next states."""


def run(b: Builder, cell: Cell, way: Way, x: Value) -> tuple[Value, States]:
    """The outputs (batch, steps, hidden) for x (batch, steps, inputs), and the last states."""
    incoming = linear(b, x, way.weight, way.bias, way.learned)
    if way.shift is not None:
        incoming = e.add(b, incoming, way.shift)
    steps = range(x.shape[1])
    states = tuple(_standing(b, state) for state in way.states)
    outputs: dict[int, Value] = {}
    for count, step in enumerate(reversed(steps) if way.reverse else steps):
        before = b.budget.nodes
        found = cell(b, way, _by_gate(b, way, one(b, incoming, 1, step)), states)
        outputs[step], states = _unless_ended(b, way, step, found, states)
        if count == 1:
            b.budget.require_nodes((before - b.budget.nodes) * (len(steps) - 2))
    last = tuple(b.reshape(state, (state.shape[0], state.shape[2])) for state in states)
    return b.concat([outputs[step] for step in steps], 1), last


def _unless_ended(
    b: Builder, way: Way, step: int, found: States, before: States
) -> tuple[Value, States]:
    """The output of a step and its states, which are those before it where a sequence ended."""
    if way.lengths is None:
        return found[0], found
    goes_on = (step < np.array(way.lengths))[:, None, None]
    pairs = zip(found, before, strict=True)
    states = tuple(e.chosen(b, goes_on, new, old) for new, old in pairs)
    return e.chosen(b, goes_on, states[0], b.full((), 0.0)), states


def _standing(b: Builder, state: Value) -> Value:
    return b.reshape(state, (state.shape[0], 1, state.shape[1]))


def _by_gate(b: Builder, way: Way, x: Value) -> Value:
    count = len(way.gates)
    return b.reshape(x, (x.shape[0], count, x.shape[2] // count))


def _gates(b: Builder, way: Way, x: Value) -> dict[str, Value]:
    return {letter: one(b, x, 1, place) for place, letter in enumerate(way.gates)}


def _from_state(b: Builder, way: Way, h: Value) -> Value:
    product = matmul(b, h, way.recurrent)
    if way.recurrent_bias is not None:
        product = e.add(b, product, way.recurrent_bias)
    return _by_gate(b, way, product)


def rnn_cell(b: Builder, way: Way, x: Value, states: States) -> States:
    """`h` of an Elman layer."""
    pre = e.add(b, x, _from_state(b, way, states[0]))
    return (way.activations[0](b, pre),)


def lstm_cell(b: Builder, way: Way, x: Value, states: States) -> States:
    """`h` and the cell; gates `i`, `o`, `f` and the new cell `c`."""
    h, cell = states
    gates = _gates(b, way, e.add(b, x, _from_state(b, way, h)))
    squash, inner, last = way.activations
    looks = way.peepholes
    i, forget, o = gates["i"], gates["f"], gates["o"]
    if looks:
        i = e.add(b, i, e.mul(b, cell, looks[0]))
        forget = e.add(b, forget, e.mul(b, cell, looks[2]))
    taken = squash(b, i)
    kept = e.shifted(b, e.neg(b, taken), 1.0) if way.coupled else squash(b, forget)
    cell = e.add(b, e.mul(b, kept, cell), e.mul(b, taken, inner(b, gates["c"])))
    if looks:
        o = e.add(b, o, e.mul(b, cell, looks[1]))
    h = e.mul(b, squash(b, o), last(b, cell))
    return (h if way.projection is None else matmul(b, h, way.projection)), cell


def gru_cell(b: Builder, way: Way, x: Value, states: States) -> States:
    """`h`; gates `z` (how much is kept), `r` (reset) and the new state `n`."""
    (h,) = states
    squash, inner = way.activations
    given, own = _gates(b, way, x), _gates(b, way, _from_state(b, way, h))
    z = squash(b, e.add(b, given["z"], own["z"]))
    r = squash(b, e.add(b, given["r"], own["r"]))
    if way.reset_after:
        new = e.mul(b, r, own["n"])
    else:
        new = _gates(b, way, _from_state(b, way, e.mul(b, r, h)))["n"]
    n = inner(b, e.add(b, given["n"], new))
    return (e.add(b, e.mul(b, z, h), e.mul(b, e.shifted(b, e.neg(b, z), 1.0), n)),)
