"""The `onnx` package's own backend tests of single nodes."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from hatch_irpytorch import IRPyTorchError, evaluate
from hatch_irpytorch.capture import from_onnx
from peers.tally import DIFFERS, INFINITE, NUMBERS, SIGNATURE, Tally

OTHERWISE = frozenset(
    f"test_resize_downsample_scales_{mode}_align_corners" for mode in ("linear", "cubic")
)
"""They divide by an extent of 2.4 entries, where ONNX Runtime has 2."""

REAL = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


def cases() -> list[Any]:
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return list(load_model_tests(kind="node"))


def run(step: int = 1, first: int = 0) -> Tally:
    """Every `step`-th case: its first real input is run-time, the others are bound."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.onnx"
        for case in cases()[first::step]:
            check_case(case, path, tally)
    return tally


def check_case(case: Any, path: Path, tally: Tally) -> None:
    if case.name in OTHERWISE:
        return tally.skip(DIFFERS)
    inputs, outputs = case.data_sets[0]
    declared = list(case.model.graph.input)
    if not all(isinstance(value, np.ndarray) for value in (*inputs, *outputs)):
        return tally.skip(NUMBERS if len(inputs) == len(declared) else SIGNATURE)
    if not all(value.dtype in (np.float32, np.float64) for value in outputs):
        return tally.skip(NUMBERS)
    real = [i for i, v in enumerate(declared) if v.type.tensor_type.elem_type in REAL]
    if not real or len(inputs) != len(declared):
        return tally.skip(SIGNATURE if real else NUMBERS)
    chosen = real[0]
    bind = {v.name: inputs[i] for i, v in enumerate(declared) if i != chosen}
    onnx.save(case.model, path)
    x = inputs[chosen]
    try:
        model = from_onnx(path, shapes={declared[chosen].name: x.shape}, bind=bind)
    except IRPyTorchError as error:
        return tally.refuse(error)
    try:
        found = evaluate(model, x)
    except IRPyTorchError:
        return tally.skip(INFINITE)
    return tally.compare(case.name, found, outputs, rtol=max(case.rtol, 1e-3), atol=1e-5)
