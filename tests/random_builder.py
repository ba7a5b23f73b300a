"""A graph that grows node by node, and the numbers and shapes it draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from hatch_irpytorch.ir.stores import Entry

Shape = tuple[int, ...]
Draw = Callable[[st.SearchStrategy[Any]], Any]

MAX_NUMEL = 96
SPECIAL = (0.0, -0.0, 5e-324, -1e-310, 1.4e-45, -1e-40, 1e-8, 1.0, -1.0, 65504.0, 3e4, -1e30, 1e300)
NON_FINITE = (np.inf, -np.inf, np.nan)
SEEDS = (0, 1, 42, 2**31, 2**63 - 1, 2**64 - 1, 2**64 + 5)
EPSILONS = (1e-5, 1e-12, 1e-3, 0.0, 0.5, -0.25)


@dataclass
class Builder:
    """A growing document: nodes so far and their shapes."""

    draw: Draw
    rng: np.random.Generator
    tame: bool
    nodes: list[dict[str, Any]] = field(default_factory=list)
    shapes: list[Shape | None] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    chain: bool = False
    named: bool = False

    def add(self, kind: str, parents: list[int], shape: Shape, **fields: Any) -> int:
        node = {"id": len(self.nodes), "kind": kind, "parents": parents, "value_kind": "tensor"}
        origin = {"debug_target": f"layers.{len(self.nodes) // 3}"} if self.named else {}
        self.nodes.append({**node, "shape": list(shape), **origin, **fields})
        self.shapes.append(shape)
        return len(self.nodes) - 1

    def numbers(self, shape: Shape) -> np.ndarray[Any, np.dtype[np.float64]]:
        values = self.rng.normal(size=shape)
        if not self.tame:
            special = self.rng.choice(SPECIAL, size=shape)
            values = np.where(self.rng.random(shape) < 0.08, special, values)
        return np.asarray(values)

    def payload(self, shape: Shape) -> Any:
        return self.numbers(shape).tolist()

    def learnable(self, *names: str) -> dict[str, dict[str, bool]]:
        """Which arrays of a layer are not learned; most layers say nothing."""
        if self.draw(st.sampled_from([True, True, False])):
            return {}
        frozen = [name for name in names if self.draw(st.booleans())]
        return {"learnable": dict.fromkeys(frozen, False)} if frozen else {}

    def const(self, shape: Shape) -> int:
        """A const: random, of one value, or alike along an axis; some are not in the JSON."""
        form = self.draw(st.sampled_from(["random", "random", "filled", "rows", "stored"]))
        values = self.numbers(shape)
        learnable = self.draw(st.sampled_from([{}, {}, {"learnable": True}, {"learnable": False}]))
        if form == "filled" and values.size:
            values = np.full(shape, values.flat[0])
        if form == "rows" and shape and values.size:
            axis = self.nat(0, len(shape) - 1)
            values = np.broadcast_to(values.take([0], axis=axis), shape)
        if form == "stored" and not self.tame:
            special = self.rng.choice(NON_FINITE, size=shape)
            array = np.asarray(np.where(self.rng.random(shape) < 0.2, special, values))
            node = self.add("const", [], shape, value_shape=list(shape), **learnable)
            self.entries[f"const_{node}"] = Entry(shape, "float64", lambda: array)
            return node
        flat = values.reshape(-1).tolist()
        return self.add("const", [], shape, value_shape=list(shape), **learnable, values=flat)

    def tensors(self, wanted: Callable[[Shape], bool] = lambda shape: True) -> list[int]:
        return [i for i, shape in enumerate(self.shapes) if shape is not None and wanted(shape)]

    def pick(self, wanted: Callable[[Shape], bool] = lambda shape: True) -> int | None:
        """An existing tensor whose shape is wanted; the last one in a chain."""
        found = self.tensors(wanted)
        if not found:
            return None
        if self.chain and found[-1] == len(self.nodes) - 1:
            return found[-1]
        return int(self.draw(st.sampled_from(found)))

    def shape(self, node: int) -> Shape:
        found = self.shapes[node]
        assert found is not None
        return found

    def like(self, node: int) -> int:
        """Another operand of the same shape: an existing tensor, the same one, or a new const."""
        same = self.pick(lambda shape: shape == self.shape(node))
        assert same is not None
        return same if self.draw(st.booleans()) else self.const(self.shape(node))

    def nat(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))


def size(shape: Shape) -> int:
    return int(np.prod(shape))


SHAPES = (
    st.lists(st.sampled_from([1, 2, 2, 3, 3, 4, 0]), max_size=6)
    .map(tuple)
    .filter(lambda shape: size(shape) <= MAX_NUMEL)
)
