"""Every op: the emitted module against the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from documents import module
from op_cases import CASES, Case, model

from hatch_irpytorch import EmitOptions, emit_module, evaluate
from hatch_irpytorch.ir.ops import OPS


def test_every_op_has_a_numeric_case() -> None:
    assert {case.tag for case in CASES} == {op.tag for op in OPS}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_module_equals_reference(case: Case, dtype: str) -> None:
    checked = model(case)
    rng = np.random.default_rng(1)
    x = rng.normal(size=checked.graph.input_shape)
    if dtype == "float32":
        x = x.astype(np.float32).astype(np.float64)
    if case.positive:
        x = np.abs(x) + 0.1
    if case.tag == "bernoulli_mask":
        x = np.asarray(0.5)
    expected = evaluate(checked, x)[0]
    source = emit_module(checked, EmitOptions(dtype=dtype)).source  # type: ignore[arg-type]
    found = module(source)(torch.tensor(x, dtype=getattr(torch, dtype)))
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    assert tuple(found.shape) == expected.shape == case.out
    assert found.dtype == getattr(torch, dtype)
    result = found.detach().double().numpy()
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance * 10)
