"""Numbers as source text: exact, as short as can be, in a layout that never moves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hatch_irpytorch.emit.literals import decimals, rounded
from hatch_irpytorch.emit.options import DTYPES

FLOATS = st.floats(allow_nan=False, width=64)
EDGES = {
    "float32": [
        3.4028234663852886e38,
        3.4028235677973366e38,
        1.401298464324817e-45,
        1e-46,
        16777217.0,
    ],
    "float16": [65504.0, 65519.0, 65520.0, 5.960464477539063e-08, 2.9e-08, 2049.0],
    "bfloat16": [
        3.3895313892515355e38,
        3.3961775292304957e38,
        9.183549615799121e-41,
        1.00390625,
        257.0,
    ],
    "float64": [5e-324, 1.7976931348623157e308, 0.1 + 0.2],
}


@pytest.mark.parametrize("dtype", DTYPES)
@given(values=st.lists(FLOATS, min_size=1, max_size=20))
def test_rounding_is_torch_s(dtype: str, values: list[float]) -> None:
    """One rounding from float64, to nearest even, as NumPy and torch do it."""
    kind = getattr(torch, dtype)
    values = values + EDGES[dtype]
    if dtype in ("float16", "bfloat16"):
        # torch may round twice, by way of float32: it is asked what float32 holds exactly.
        values = [float(np.float32(min(max(v, -3e38), 3e38))) for v in values]
    expected = torch.tensor(values, dtype=torch.float64).to(kind).double().numpy()
    np.testing.assert_array_equal(rounded(np.array(values), dtype), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@given(values=st.lists(FLOATS, min_size=1, max_size=20))
def test_decimals_give_the_exact_value_back(dtype: str, values: list[float]) -> None:
    values = values + EDGES[dtype]
    target = rounded(np.array(values), dtype)
    texts = decimals(np.array(values), dtype)
    read = [float(text) for text in texts]
    found = torch.tensor(read, dtype=getattr(torch, dtype)).double().numpy()
    np.testing.assert_array_equal(found, target)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(target))


@given(bits=st.integers(1, 0x7F7F))
def test_no_shorter_decimal_is_the_same_bfloat16(bits: int) -> None:
    value = float(np.array([bits << 16], dtype=np.uint32).view(np.float32)[0])
    (text,) = decimals(np.array([value]), "bfloat16")
    digits = len(repr(float(text)).split("e")[0].replace(".", "").strip("0"))
    exponent = math.floor(math.log10(value))
    if digits > 1:
        unit = 10.0 ** (exponent - digits + 2)
        steps = range(math.floor(value / unit) - 1, math.floor(value / unit) + 3)
        shorter = [float(f"{step * unit:.{digits - 2}e}") for step in steps]
        assert value not in rounded(np.array(shorter), "bfloat16").tolist()
