"""Arrays as tables in generated source: one row of the last axis a line, exact, and fast to write.

orjson lays numbers out a block of rows at a time. It prints the shortest decimals as `decimals`
does, in the range where all its versions agree on the layout; what lies outside is filled in.
torch reads a float32 by way of binary64: inside the range that never rounds twice to another value
(from 1e-4 up a decimal of 9 digits is too far from the middle between two floats; the floats
from 1e-6 to 1e-4 were tried one by one, as `tests/test_tables.py --soak` does).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.emit.layout import LINE_WIDTH
from hatch_irpytorch.emit.literals import decimals
from hatch_irpytorch.ir.code import Function

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hatch_irpytorch.ir.graph import Array, Shape

VALUES_PER_LINE = {"float64": 5, "float32": 10, "float16": 10, "bfloat16": 10}
"""How many values of a row stand in one line, whatever they are: a value never moves another."""

FLAGS_PER_LINE = 40

NUMBERS = Function(
    "numbers",
    '''\
def numbers(text: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """The tensor whose entries stand in `text`, row by row."""
    values = np.fromstring(text, dtype=np.float64, sep=" ")
    return torch.tensor(values, dtype=dtype).reshape(shape)
''',
)
"""What reads a table. NumPy parses a million numbers in a fifth of a second."""

_BLOCK = 8192
_ORJSON_RANGE = {"float64": (1e-5, 1e13), "float32": (1e-6, 1e13)}
_LAYOUT = bytes.maketrans(b",[]", b"  \n")


def table(name: str, array: Array, shape: Shape, dtype: str) -> str:
    """The assignment of a table of numbers, which hold the values of `dtype` exactly."""
    return _assignment(name, shape, VALUES_PER_LINE[dtype], _number_lines(array, shape, dtype))


def tables(entries: Sequence[tuple[str, Array]], dtype: str) -> list[str]:
    """The assignments of many tables: what is small is looked through all at once."""
    plain = _plain(entries, dtype)
    per_line = VALUES_PER_LINE[dtype]
    found = []
    for (name, array), is_plain in zip(entries, plain, strict=True):
        shape = array.shape
        if is_plain:
            lines = iter([_laid_out(_json_lines(array.reshape(-1, _row(shape)), per_line))])
            found.append(_assignment(name, shape, per_line, lines))
        else:
            found.append(table(name, array, shape, dtype))
    return found


def _plain(entries: Sequence[tuple[str, Array]], dtype: str) -> list[bool]:
    """Which arrays are small and hold nothing but what orjson lays out as we do."""
    if not entries or dtype not in _ORJSON_RANGE or not _orjson_agrees(dtype):
        return [False] * len(entries)
    large = np.full(1, np.nan, dtype=entries[0][1].dtype)
    parts = [array.reshape(-1) if array.size <= _BLOCK else large for _, array in entries]
    ends = np.cumsum([len(part) for part in parts])
    odd = np.cumsum(_odd(np.abs(np.concatenate(parts)), dtype))[ends - 1]
    return [bool(n == 0) for n in np.diff(odd, prepend=0)]


def _odd(size: Array, dtype: str) -> NDArray[np.bool_]:
    """Which absolute values orjson may lay out in another way."""
    low, high = _ORJSON_RANGE[dtype]
    found: NDArray[np.bool_] = ~((size >= low) & (size < high) | (size == 0.0))
    return found


def flag_table(name: str, flags: tuple[bool, ...], shape: Shape) -> str:
    """The assignment of a table of booleans, written as 1 and 0."""
    rows = np.array(flags, dtype=np.uint8).reshape(-1, _row(shape))
    lines = (_laid_out(_json_lines(block, FLAGS_PER_LINE)) for block in _blocks(rows))
    return _assignment(name, shape, FLAGS_PER_LINE, lines)


def _assignment(name: str, shape: Shape, per_line: int, lines: Iterator[str]) -> str:
    """On one line when it is a vector that fits, else row by row."""
    text = "".join(lines)
    if len(shape) <= 1 and _row(shape) <= per_line:
        one_line = f'{name} = "{text.strip()}"'
        if len(one_line) <= LINE_WIDTH:
            return one_line
    return f'{name} = """\n{text}"""'


def _row(shape: Shape) -> int:
    return shape[-1] if shape else 1


def _number_lines(array: Array, shape: Shape, dtype: str) -> Iterator[str]:
    per_line = VALUES_PER_LINE[dtype]
    blocks = list(_blocks(array.reshape(-1, _row(shape))))
    if dtype not in _ORJSON_RANGE or not _orjson_agrees(dtype):
        yield from (_slow_lines(block, dtype, per_line) for block in blocks)
        return
    outside = [_outside(block, dtype) for block in blocks]
    held = [block[odd] for block, odd in zip(blocks, outside, strict=True) if odd is not None]
    texts = iter(decimals(np.concatenate(held), dtype) if held else ())
    for block, odd in zip(blocks, outside, strict=True):
        if odd is None:
            yield _laid_out(_json_lines(block, per_line))
        else:
            yield _laid_out(_filled_lines(block, odd, texts, per_line))


def _blocks(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Some rows at a time, so that their text stays in the cache."""
    step = max(1, _BLOCK // rows.shape[1])
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _slow_lines(block: Array, dtype: str, per_line: int) -> str:
    unique, inverse = np.unique(block, return_inverse=True)
    # Zeros of both signs are one to `unique`.
    texts = np.array(decimals(np.where(unique == 0.0, 0.0, unique), dtype), dtype=object)
    minus = np.signbit(block) & (block == 0.0)
    cells = np.where(minus, "-0.0", texts[inverse.reshape(block.shape)])
    starts = range(0, block.shape[1], per_line)
    lines = (cells[i, start : start + per_line] for i in range(len(cells)) for start in starts)
    return "".join(f"  {' '.join(line)}\n" for line in lines)


def _outside(block: Array, dtype: str) -> NDArray[np.bool_] | None:
    """Where values stand that orjson may lay out in another way; None for nowhere."""
    low, high = _ORJSON_RANGE[dtype]
    size = np.abs(block)
    if size.min() >= low and size.max() < high:
        return None
    odd = _odd(size, dtype)
    return odd if odd.any() else None


def _filled_lines(
    block: Array, odd: NDArray[np.bool_], texts: Iterator[str], per_line: int
) -> bytes:
    """Rows as JSON, with the next of `texts` where `odd` is true."""
    parts = _json_lines(np.where(odd, np.float32("nan"), block), per_line).split(b"null")
    filled = [parts[0]]
    for part in parts[1:]:
        filled += [next(texts).encode(), part]
    return b"".join(filled)


def _json_lines(block: NDArray[Any], per_line: int) -> bytes:
    """Rows cut into lines, as JSON: `[[0.5,1.0],[2.0]]`. NaN is `null`."""
    count, row = block.shape
    if row <= per_line:
        return _json(block)
    whole = row - row % per_line
    lines = _json(block[:, :whole].reshape(-1, per_line))
    if whole == row:
        return lines
    per_row = whole // per_line
    cut = lines[2:-2].split(b"],[")
    ends = _json(block[:, whole:])[2:-2].split(b"],[")
    rows = (b"],[".join((*cut[i * per_row : (i + 1) * per_row], ends[i])) for i in range(count))
    return b"[[%b]]" % b"],[".join(rows)


def _json(block: NDArray[Any]) -> bytes:
    import orjson

    return orjson.dumps(np.ascontiguousarray(block), option=orjson.OPT_SERIALIZE_NUMPY)


def _laid_out(lines: bytes) -> str:
    """`[[1.0,2.0],[3.0]]` as indented lines, in one pass over the text."""
    return str(memoryview(lines.translate(_LAYOUT))[:-1], "ascii")


_TRIED = (1e-6, 1.5e-5, 9.9999997e-05, 0.1, 0.30000001192092896, 1.0, 33554432.0, 9.999999e12)


@cache
def _orjson_agrees(dtype: str) -> bool:
    """Whether this orjson lays out a few hard numbers as we do."""
    low, _ = _ORJSON_RANGE[dtype]
    values = np.array([[value for value in _TRIED if value >= low]], dtype=dtype)
    values = np.concatenate([values, -values, np.zeros_like(values)], axis=1)
    return _laid_out(_json(values)) == _slow_lines(values, dtype, values.shape[1])
