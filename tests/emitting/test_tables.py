"""Tables in generated source: rows and lines, the layout, and what orjson may print."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from conftest import Counts
from documents import const, document, op, source
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hatch_irpytorch.emit import tables
from hatch_irpytorch.emit.literals import decimals, rounded
from hatch_irpytorch.emit.options import DTYPES
from hatch_irpytorch.emit.tables import VALUES_PER_LINE, flag_table, table


def counted(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_a_row_starts_a_line() -> None:
    assert table("T", counted((2, 12)), (2, 12), "float32") == (
        'T = """\n'
        "  0.0 1.0 2.0 3.0 4.0 5.0 6.0 7.0 8.0 9.0\n"
        "  10.0 11.0\n"
        "  12.0 13.0 14.0 15.0 16.0 17.0 18.0 19.0 20.0 21.0\n"
        "  22.0 23.0\n"
        '"""'
    )
    assert table("T", counted((3,)), (3,), "float32") == 'T = "0.0 1.0 2.0"'
    assert table("T", counted(()), (), "float32") == 'T = "0.0"'
    assert table("T", counted((1, 2)), (1, 2), "float32") == 'T = """\n  0.0 1.0\n"""'


def test_flags_are_digits() -> None:
    assert flag_table("T", (True, False), (2,)) == 'T = "1 0"'
    assert flag_table("T", (True, False), (2, 1)) == 'T = """\n  1\n  0\n"""'


@pytest.mark.parametrize("dtype", DTYPES)
@given(
    rows=st.integers(1, 5),
    row=st.integers(1, 45),
    values=st.lists(st.floats(width=16) | st.floats(width=32) | st.floats(), min_size=1),
)
def test_a_table_holds_the_decimals_in_order(
    dtype: str, rows: int, row: int, values: list[float]
) -> None:
    array = rounded(np.resize(np.array(values), (rows, row)), dtype)
    text = table("T", array, (rows, row), dtype)
    texts = decimals(array, dtype)
    per_line = VALUES_PER_LINE[dtype]
    lines = [
        "  " + " ".join(texts[start + i * row : min(start + per_line, row) + i * row])
        for i in range(rows)
        for start in range(0, row, per_line)
    ]
    assert text.split("\n") == ['T = """', *lines, '"""']


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_another_orjson_changes_no_text(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    array = rounded(np.random.default_rng(0).normal(size=(3, 101)) ** 9, dtype)
    expected = table("T", array, array.shape, dtype)
    monkeypatch.setattr(tables, "_orjson_agrees", lambda dtype: False)
    assert table("T", array, array.shape, dtype) == expected


def test_an_orjson_that_prints_otherwise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    tables._orjson_agrees.cache_clear()
    original = tables._json
    monkeypatch.setattr(tables, "_json", lambda block: original(block).replace(b"0.1", b"1e-1"))
    assert not tables._orjson_agrees("float32")
    tables._orjson_agrees.cache_clear()
    monkeypatch.undo()
    assert tables._orjson_agrees("float32")


def test_one_changed_weight_is_one_changed_line() -> None:
    values = np.random.default_rng(0).normal(size=(4, 12))
    before = source(document([4, 12], const([4, 12], values), op("add", [0, 1], [4, 12])))
    values[2, 7] = -1e-30
    after = source(document([4, 12], const([4, 12], values), op("add", [0, 1], [4, 12])))
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    assert sum(a != b for a, b in pairs) == 1


def test_floats_that_orjson_lays_out_are_read_back_by_way_of_binary64(counts: Counts) -> None:
    """All 529 million float32 values from 1e-6 to 1e13 with `--soak`, a random part without."""
    first, last = (int(v) for v in np.array([1e-6, 1e13], dtype=np.float32).view(np.uint32))
    size = 1 << 18
    starts: Any = range(first, last, size)
    if not counts.soak:
        starts = np.random.default_rng(counts.first_seed).choice(starts, 4)
    for start in starts:
        bits = np.arange(start, min(int(start) + size, last), dtype=np.uint32)
        text = tables._json(bits.view(np.float32))[1:-1]
        assert b"e" not in text
        read = np.fromstring(text.decode(), sep=",").astype(np.float32)
        np.testing.assert_array_equal(read.view(np.uint32), bits)


def test_a_long_table_is_written_without_a_list_of_its_numbers() -> None:
    """A million numbers need their text and little more."""
    import tracemalloc

    array = np.full((1000, 1000), 0.123456789, dtype=np.float32)
    table("T", array[:1], (1, 1000), "float32")
    tracemalloc.start()
    text = table("T", array, array.shape, "float32")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3.5 * sys.getsizeof(text)
