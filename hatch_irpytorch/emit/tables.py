"""Arrays as tables in generated source: one row of the last axis a line, exact, and fast to write.

orjson lays numbers out a block of rows at a time. It prints the shortest decimals as `decimals`
does, in the range where all its versions agree on the layout; what lies outside is filled in.
A module reads a float32 by way of binary64: inside the range that never rounds twice to another
value (from 1e-4 up a decimal of 9 digits is too far from the middle between two floats; the floats
from 1e-6 to 1e-4 were tried one by one, as `tests/emitting/test_tables.py --soak` does).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.emit.layout import LINE_WIDTH
from hatch_irpytorch.emit.literals import decimals, rounded
from hatch_irpytorch.ir.ops.code import Function
from hatch_irpytorch.ir.shapes import numel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hatch_irpytorch.ir.graph import Array
    from hatch_irpytorch.ir.shapes import Shape

VALUES_PER_LINE = {"float64": 5, "float32": 10, "float16": 10, "bfloat16": 10}
"""How many values of a row stand in one line, whatever they are: a value never moves another."""

FLAGS_PER_LINE = 40

NUMBERS = Function(
    "numbers",
    '''\
def numbers(text: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """The tensor whose entries stand in `text`, row by row."""
    values = np.fromstring(text, sep=" ").astype(np.float32)
    return torch.tensor(values, dtype=dtype).reshape(shape)
''',
)
"""What reads a table. A narrower dtype is rounded to by way of float32, wherever torch runs."""

NUMBERS_FLOAT64 = Function(
    "numbers",
    NUMBERS.source.replace(".astype(np.float32)", ""),
)
"""The same for float64, where a number must not be rounded on the way."""

_BLOCK = 8192
_SMALL = 8192
_TOGETHER = 1 << 15
"""How many numbers of small tables are laid out at once: their text stays in the cache."""

_LOOKED_AT = 32
_ORJSON_RANGE = {"float64": (1e-5, 1e13), "float32": (1e-6, 1e13)}
_LAYOUT = ((ord(","), ord(" ")), (ord("]"), ord("\n")), (ord("["), ord(" ")))


def table(name: str, array: Array, shape: Shape, dtype: str) -> str:
    """The assignment of a table of numbers, which hold the values of `dtype` exactly."""
    lines = "".join(_number_lines(array, shape, dtype))
    return _assignment(name, shape, VALUES_PER_LINE[dtype], lines)


def tables(names: Sequence[str], arrays: Sequence[Array], shape: Shape, dtype: str) -> list[str]:
    """The assignments of tables of one shape, rounded to `dtype`; small ones together."""
    if numel(shape) > _SMALL or dtype not in _ORJSON_RANGE or not _orjson_agrees(dtype):
        entries = zip(names, arrays, strict=True)
        return [table(name, rounded(array, dtype), shape, dtype) for name, array in entries]
    found: list[str] = []
    step = max(1, _TOGETHER // max(1, numel(shape)))
    for start in range(0, len(names), step):
        some = slice(start, start + step)
        found += _small_tables(names[some], arrays[some], shape, dtype)
    return found


def _small_tables(
    names: Sequence[str], arrays: Sequence[Array], shape: Shape, dtype: str
) -> Iterator[str]:
    whole = np.concatenate(arrays, axis=None)
    numbers = rounded(whole, dtype).reshape(len(arrays), -1)
    plain = np.logical_not(_odd(np.abs(numbers), dtype).any(axis=1))
    rows, per_line = numbers[plain].reshape(-1, _row(shape)), VALUES_PER_LINE[dtype]
    text = "".join(_laid_out(_json_lines(block, per_line)) for block in _blocks(rows))
    ends = np.flatnonzero(np.frombuffer(text.encode("ascii"), dtype=np.uint8) == ord("\n")) + 1
    lines = numbers.shape[1] // rows.shape[1] * -(-rows.shape[1] // per_line)
    stops = iter(ends[lines - 1 :: lines].tolist())
    start = 0
    for name, values, is_plain in zip(names, numbers, plain.tolist(), strict=True):
        if is_plain:
            stop = next(stops)
            yield _assignment(name, shape, per_line, text[start:stop])
            start = stop
        else:
            # orjson may lay some of its numbers out in another way.
            yield table(name, values, shape, dtype)


def _odd(size: Array, dtype: str) -> NDArray[np.bool_]:
    """Which absolute values orjson may lay out in another way."""
    low, high = _ORJSON_RANGE[dtype]
    found: NDArray[np.bool_] = ~((size >= low) & (size < high) | (size == 0.0))
    return found


def flag_table(name: str, flags: tuple[bool, ...], shape: Shape) -> str:
    """The assignment of a table of booleans, written as 1 and 0."""
    rows = np.array(flags, dtype=np.uint8).reshape(-1, _row(shape))
    lines = (_laid_out(_json_lines(block, FLAGS_PER_LINE)) for block in _blocks(rows))
    return _assignment(name, shape, FLAGS_PER_LINE, "".join(lines))


def _assignment(name: str, shape: Shape, per_line: int, text: str) -> str:
    """On one line when it is a vector that fits, else row by row."""
    if len(shape) <= 1 and _row(shape) <= per_line:
        one_line = f'{name} = "{text.strip()}"'
        if len(one_line) <= LINE_WIDTH:
            return one_line
    return f'{name} = """\n{text}"""'


def _row(shape: Shape) -> int:
    return shape[-1] if shape else 1


def _number_lines(array: Array, shape: Shape, dtype: str) -> Iterator[str]:
    per_line = VALUES_PER_LINE[dtype]
    rows = array.reshape(-1, _row(shape))
    blocks = list(_blocks(rows))
    if dtype not in _ORJSON_RANGE or not _orjson_agrees(dtype):
        yield from (_slow_lines(block, dtype, per_line) for block in blocks)
        return
    outside = _outside(array.reshape(-1), blocks, dtype)
    held = [blocks[index][odd] for index, odd in outside.items()]
    texts = iter(decimals(np.concatenate(held), dtype) if held else ())
    for index, block in enumerate(blocks):
        if index in outside:
            yield _laid_out(_filled_lines(block, outside[index], texts, per_line))
        else:
            yield _laid_out(_json_lines(block, per_line))


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


def _outside(values: Array, blocks: list[Array], dtype: str) -> dict[int, NDArray[np.bool_]]:
    """Which of the blocks of `values` hold some that orjson may lay out in another way, and where.

    The extremes of many blocks are looked at in one go.
    """
    low, high = _ORJSON_RANGE[dtype]
    step = blocks[0].size
    found: dict[int, NDArray[np.bool_]] = {}
    for first in range(0, len(blocks), _LOOKED_AT):
        size = np.abs(values[first * step : (first + _LOOKED_AT) * step])
        starts = range(0, len(size), step)
        small = np.minimum.reduceat(size, starts) >= low
        inside = small & (np.maximum.reduceat(size, starts) < high)
        for index in np.flatnonzero(~inside).tolist():
            odd = _odd(np.abs(blocks[first + index]), dtype)
            if odd.any():
                found[first + index] = odd
    return found


def _filled_lines(
    block: Array, odd: NDArray[np.bool_], texts: Iterator[str], per_line: int
) -> bytes:
    """Rows as JSON, with the next of `texts` where `odd` is true."""
    parts = _json_lines(np.where(odd, np.float32("nan"), block), per_line).split(b"n")
    filled = [parts[0]]
    for part in parts[1:]:
        filled += [next(texts).encode(), part.removeprefix(b"ull")]
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
    """`[[1.0,2.0],[3.0]]` as indented lines. Subtraction is faster than `bytes.translate`."""
    text = np.frombuffer(bytearray(lines), dtype=np.uint8)
    for old, new in _LAYOUT:
        text -= (text == old).view(np.uint8) * np.uint8(old - new)
    return str(text[:-1].data, "ascii")


_TRIED = (1e-6, 1.5e-5, 9.9999997e-05, 0.1, 0.30000001192092896, 1.0, 33554432.0, 9.999999e12)


@cache
def _orjson_agrees(dtype: str) -> bool:
    """Whether this orjson lays out a few hard numbers as we do."""
    low, _ = _ORJSON_RANGE[dtype]
    values = np.array([[value for value in _TRIED if value >= low]], dtype=dtype)
    values = np.concatenate([values, -values, np.zeros_like(values)], axis=1)
    return _laid_out(_json(values)) == _slow_lines(values, dtype, values.shape[1])
