"""Valid graphs over all ops, as hypothesis draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from random_builder import SHAPES, Builder, Draw
from random_ops import SIMPLE, attention, many_axes

from hatch_irpytorch.ir.params import StoreFile


@dataclass(frozen=True)
class RandomGraph:
    """A valid document, an input for it, and the entries that only a parameter file can hold."""

    document: dict[str, Any]
    x: np.ndarray[Any, np.dtype[np.float64]]
    store: StoreFile | None


LOWERED = {**SIMPLE, "many_axes": many_axes, "attention": attention}


@st.composite
def random_graphs(draw: Draw, *, tame: bool = False, lowered: bool = True) -> RandomGraph:
    """Valid graphs of up to about thirty nodes, with an input of the declared shape."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # A tuple node shifts the ids that names are made of, so stored consts keep to plain graphs.
    lowered = lowered and draw(st.booleans())
    b = Builder(draw, rng, tame or lowered, chain=draw(st.booleans()))
    kinds = LOWERED if lowered else SIMPLE
    before = draw(st.integers(0, 2))
    for _ in range(before):
        b.const(draw(SHAPES))
    shape = draw(SHAPES)
    integers = draw(st.sampled_from([None, None, None, 1, 5, 256]))
    input_id = b.add("input", [], shape, **({} if integers is None else {"integers": integers}))
    b.chain = draw(st.booleans())
    for _ in range(draw(st.integers(0, 20))):
        kinds[draw(st.sampled_from(sorted(kinds)))](b)
    outputs = draw(st.lists(st.sampled_from(b.tensors()), min_size=1, max_size=4))
    document = {
        "format": "torchlean.ir.v1",
        "input_id": input_id,
        "output_ids": outputs,
        "nodes": b.nodes,
    }
    store = StoreFile("stored.npz", b.entries) if b.entries else None
    x = b.numbers(shape) if integers is None else np.floor(integers * rng.random(shape))
    return RandomGraph(document, np.asarray(x), store)
