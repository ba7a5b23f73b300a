"""Counts of cases: how many agree, and why the others do not, in a few classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hatch_irpytorch import IRPyTorchError

NO_FORM = "no ops of the format compute it"
NUMBERS = "it is about integers, booleans, complex numbers, strings or sparse tensors"
RANDOM = "it draws random numbers, trains, or returns memory as it is"
INFINITE = "an infinity or NaN is part of the answer, or a `log` leaves its domain"
DATA = "its shape or its path depends on the data"
DIFFERS = "ONNX Runtime gives other numbers, and we follow it"
NOT_BUILT = "it has a form that is not built"
SIGNATURE = "it takes more or other than one floating tensor"
WRONG = "WRONG"

Outputs = Sequence[np.ndarray[Any, np.dtype[Any]]]

_DATA = frozenset(
    (
        "nonzero",
        "masked_select",
        "unique",
        "_unique2",
        "unique_consecutive",
        "combinations",
        "bincount",
        "Loop",
        "Scan",
        "NonZero",
        "Unique",
        "SplitToSequence",
    )
)
_RANDOM = frozenset(
    (
        "bernoulli",
        "normal",
        "uniform",
        "cauchy",
        "exponential",
        "geometric",
        "log_normal",
        "rand_like",
        "randn_like",
        "randint_like",
        "normal_functional",
        "dropout",
        "native_dropout",
        "alpha_dropout",
        "feature_dropout",
        "rrelu_with_noise_functional",
        "fractional_max_pool2d",
        "fractional_max_pool3d",
        "new_empty_strided",
        "empty_like",
        "new_empty",
        "multinomial",
        "RandomUniformLike",
        "RandomNormalLike",
        "Multinomial",
        "Momentum",
        "Adam",
        "Adagrad",
        "feature_alpha_dropout",
    )
)
_NUMBERS = frozenset(
    (
        "_fft_r2c",
        "_fft_c2c",
        "view_as_complex",
        "complex",
        "polar",
        "histc",
        "histogram",
        "argmax",
        "argmin",
        "argsort",
        "searchsorted",
        "bucketize",
        "isnan",
        "isinf",
        "isfinite",
        "signbit",
        "DequantizeLinear",
        "TreeEnsemble",
        "OptionalGetElement",
        "ArrayFeatureExtractor",
        "Binarizer",
        "bitwise_and",
        "logical_not",
        "Less",
        "Greater",
        "Equal",
        "Not",
    )
)
_NOT_BUILT = frozenset(
    (
        "DFT",
        "STFT",
        "Col2Im",
        "col2im",
        "softshrink",
        "ScatterND",
        "ScatterElements",
        "Resize",
        "_upsample_bilinear2d_aa",
        "_upsample_bicubic2d_aa",
        "index_add",
        "scatter_add",
        "TensorScatter",
        "Det",
        "AffineGrid",
        "matrix_exp",
        "linalg_matrix_exp",
    )
)
_REASONS = (
    ("error function", NO_FORM),
    ("conversion to complex", NUMBERS),
    ("complex", NUMBERS),
    ("conversion to", NUMBERS),
    ("no entries", INFINITE),
    ("too few entries", INFINITE),
    ("holds NaN", INFINITE),
    ("training mode", RANDOM),
    ("random numbers", RANDOM),
    ("eval mode", RANDOM),
    ("torch.export refuses", DATA),
    ("takes 2", SIGNATURE),
    ("one tensor of floating", SIGNATURE),
)


@dataclass
class Tally:
    """The cases of one source, by outcome. `looked_at` are those within reach."""

    passed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    ops: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)

    def refuse(self, error: IRPyTorchError) -> None:
        """Enter the first problem of a refusal under its class."""
        problem = error.problems[0]
        message = problem.message
        op = message.split("` has no form")[0].rsplit("`", 1)[-1]
        reason = _class_of(op, message)
        self.reasons[reason] += 1
        self.ops[reason][op if "has no form" in message else "torch.export"] += 1

    def skip(self, reason: str, op: str = "") -> None:
        self.reasons[reason] += 1
        if op:
            self.ops[reason][op] += 1

    def compare(self, name: str, found: Outputs, wanted: Outputs, rtol: float, atol: float) -> None:
        """Enter a case as passed, or as one whose answer is infinite, or as wrong."""
        alike = len(found) == len(wanted) and all(
            a.shape == b.shape and np.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
            for a, b in zip(found, wanted, strict=False)
        )
        if alike:
            self.passed += 1
        elif not all(np.isfinite(b).all() for b in wanted):
            self.skip(INFINITE)
        else:
            self.skip(WRONG)
            self.wrong.append(name)


def _class_of(op: str, message: str) -> str:
    for words, reason in _REASONS:
        if words in message:
            return reason
    for names, reason in (
        (_DATA, DATA),
        (_RANDOM, RANDOM),
        (_NUMBERS, NUMBERS),
        (_NOT_BUILT, NOT_BUILT),
    ):
        if op in names:
            return reason
    return NO_FORM
