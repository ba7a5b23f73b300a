"""What training of a captured module does otherwise than training of its source: told once each."""

from __future__ import annotations

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.ir.ops import Input
from hatch_irpytorch.ir.ops.elementwise import MulElem, Sub
from hatch_irpytorch.ir.ops.learned import LearnedAffine, LearnedWeight
from hatch_irpytorch.ir.ops.movement import Permute, Reshape, Transpose

NO_BIAS = "a layer without a bias has one of zeros in the graph, learned only by `--learn PATTERN`"
STATISTICS = "batch norm keeps its mean and variance: training does not change them"
DROPOUT = "dropout is gone: training computes what evaluation does"
PADDING = "the row of padding in an embedding is learned like any other"
FROZEN = "what the source does not train is learned only by `--learn PATTERN`"


def note(b: Builder, message: str) -> None:
    """Keep a remark about training."""
    b.note("training", message)


def without_bias(b: Builder, learned: LearnedWeight) -> LearnedWeight:
    """Of a layer without a bias."""
    if learned.weight:
        note(b, NO_BIAS)
    return LearnedWeight(weight=learned.weight, bias=False)


def without_shift(b: Builder, learned: LearnedAffine) -> LearnedAffine:
    """Of a normalisation without a shift."""
    if learned.gamma:
        note(b, NO_BIAS)
    return LearnedAffine(gamma=learned.gamma, beta=False)


def is_input(b: Builder, x: Value) -> bool:
    """Whether a value is the input itself: moved, less a constant that is data, or times one."""
    while not isinstance(b.op(x), Input):
        fixed = all(b.is_constant(y) and not b.is_learned(y) for y in b.parents(x)[1:])
        moved = isinstance(b.op(x), Reshape | Transpose | Permute)
        if not moved and not (isinstance(b.op(x), Sub | MulElem) and fixed):
            return False
        x = b.parent(x, 0)
    return True
