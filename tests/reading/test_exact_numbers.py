"""Every bit of every number: bit patterns become text, and torch reads the same bits back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from conftest import Counts
from numpy.typing import NDArray

from hatch_irpytorch.emit.literals import decimals, rounded
from hatch_irpytorch.emit.tables import NUMBERS, NUMBERS_FLOAT64, table

Bits = NDArray[np.unsignedinteger[Any]]

CHUNK = 250_000
NAN = "nan"
BITS: dict[str, tuple[Any, torch.dtype, int, int]] = {
    "float64": (np.uint64, torch.int64, 52, 11),
    "float32": (np.uint32, torch.int32, 23, 8),
    "float16": (np.uint16, torch.int16, 10, 5),
    "bfloat16": (np.uint16, torch.int16, 7, 8),
}


def values_of(bits: Bits, dtype: str) -> NDArray[np.float64]:
    """What bit patterns of a dtype mean, as float64."""
    if dtype == "bfloat16":
        return values_of(bits.astype(np.uint32) << np.uint32(16), "float32")
    with np.errstate(invalid="ignore"):
        return bits.view(dtype).astype(np.float64)


def read(text: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """What the function `numbers` of generated modules does."""
    scope: dict[str, Any] = {"np": np, "torch": torch}
    exec((NUMBERS_FLOAT64 if dtype == torch.float64 else NUMBERS).source, scope)
    tensor: torch.Tensor = scope["numbers"](text, shape, dtype)
    return tensor


def read_by_torch(texts: list[str], dtype: str) -> Bits:
    """The bits of the tensor that a generated module makes of such texts."""
    unsigned, signed, _, _ = BITS[dtype]
    tensor: torch.Tensor = read(" ".join(texts), (len(texts),), getattr(torch, dtype))
    return tensor.view(signed).numpy().view(unsigned)


def assert_bits_come_back(bits: Bits, dtype: str) -> None:
    values = values_of(bits, dtype)
    texts = decimals(values, dtype)
    is_nan = np.isnan(values)
    found = read_by_torch(texts, dtype)
    np.testing.assert_array_equal(found[~is_nan], bits[~is_nan])
    assert np.isnan(values_of(found[is_nan], dtype)).all()
    shape = (len(bits) // 8, 8)
    text = table("T", rounded(values, dtype).reshape(shape), shape, dtype)
    assert text.removeprefix('T = """').removesuffix('"""').split() == texts
    assert all(texts[index] == NAN for index in np.flatnonzero(is_nan))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("part", range(4))
def test_random_bit_patterns(dtype: str, part: int, counts: Counts) -> None:
    unsigned = BITS[dtype][0]
    count = counts.floats // 4 if dtype == "float32" else counts.floats // 40
    generator = np.random.default_rng([counts.first_seed, part])
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        bits = generator.integers(0, np.iinfo(unsigned).max, size, unsigned, endpoint=True)
        assert_bits_come_back(bits, dtype)


@pytest.mark.parametrize("dtype", BITS)
def test_the_edges_of_every_exponent(dtype: str) -> None:
    """Of each exponent, both signs: the first and last mantissas, and those around the middle."""
    unsigned, _, mantissa_bits, exponent_bits = BITS[dtype]
    top = 1 << mantissa_bits
    mantissas = [0, 1, 2, top // 2 - 1, top // 2, top // 2 + 1, top - 2, top - 1]
    patterns = [
        (sign << (mantissa_bits + exponent_bits)) | (exponent << mantissa_bits) | mantissa
        for sign in (0, 1)
        for exponent in range(1 << exponent_bits)
        for mantissa in mantissas
    ]
    assert_bits_come_back(np.array(patterns, dtype=unsigned), dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_bit_pattern_of_the_narrow_dtypes(dtype: str) -> None:
    assert_bits_come_back(np.arange(1 << 16, dtype=np.uint16), dtype)
