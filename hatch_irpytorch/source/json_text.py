"""JSON text into values, with a line and a column for what is wrong."""

from __future__ import annotations

import json
import re

from hatch_irpytorch.errors import Place, fail, shown
from hatch_irpytorch.source.number_text import NumberText, long_runs
from hatch_irpytorch.source.quick_json import PLACEHOLDER, Parts, load_quickly
from hatch_irpytorch.source.reading import decode_text, line_and_column
from hatch_irpytorch.source.scanning import count, has_negative_zero, structure

MAX_DEPTH = 64
"""How deep arrays and objects may nest: a tensor of 32 axes in a node needs 36."""


class _DuplicateKeyError(Exception):
    def __init__(self, key: str, owner: object) -> None:
        self.key = key
        self.owner = owner


def _unique_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _DuplicateKeyError(key, result.get("id"))
        seen.add(key)
    return result


def _signed_integer(text: str) -> int | float:
    """`-0` keeps its sign as a float, so that it is never taken for a natural number."""
    return -0.0 if text == "-0" else int(text)


def parse_json(
    data: bytes, file: str, long_arrays: bool = False, parts: Parts | None = None
) -> object:
    """The JSON value in `data`: duplicate keys, NaN and infinities are errors.

    With `long_arrays`, long arrays of numbers come as `NumberText`. With `parts`, an array of
    objects may come as what that makes of it.
    Raises: `bad-encoding`, `bad-json`, `duplicate-key`, `not-finite`, `too-deep`, `too-large`.
    """
    if (b"N" in data and b"NaN" in data) or (b"I" in data and b"Infinity" in data):
        _refuse_constants(decode_text(data, file), file)
    outline, blocks = _split(data) if long_arrays else (data, [])
    _refuse_too_many(outline, file)
    _refuse_too_deep(outline, file)
    texts = [NumberText(data, start, end) for start, end in blocks]
    found = load_quickly(outline, texts, parts)
    if found is not None:
        return found
    text = decode_text(outline if _is_text(outline) else data, file)
    waiting = iter(texts)

    def constant(name: str) -> object:
        return next(waiting)

    parse_int = _signed_integer if has_negative_zero(outline) else None
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=_unique_object,
            parse_constant=constant,
            parse_int=parse_int,
        )
    except json.JSONDecodeError as error:
        before = _original(text[: error.pos], data, blocks)
        place = Place(file, *line_and_column(before))
        end = error.pos >= len(text.rstrip())
        hint = "the file may be cut off" if end else ""
        raise fail("bad-json", place, _lower_first(error.msg), hint) from None
    except _DuplicateKeyError as error:
        node = error.owner if type(error.owner) is int else None
        message = f"the key {shown(error.key)} is given twice in one object"
        raise fail("duplicate-key", Place(file, node=node), message) from None
    except ValueError:
        raise fail("bad-json", Place(file), "an integer has too many digits") from None
    return value


_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'
_STRING_OR_CONSTANT = re.compile(rf"{_STRING}|NaN|-?Infinity", re.DOTALL)


def _split(data: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """The text with `NaN` in place of each long array of numbers, and where those stand."""
    pieces: list[bytes] = []
    blocks: list[tuple[int, int]] = []
    done = counted = quotes = 0
    plain = _without_escapes(data)
    for start, stop in long_runs(data):
        quotes += plain.count(b'"', counted, start)
        counted = start
        if quotes % 2:
            continue
        first = data.find(b"[", start, stop)
        end = data.rfind(b"]", start, stop) + 1
        balanced = data.count(b"[", first, end) == data.count(b"]", first, end)
        if first < 0 or end <= first or not balanced:
            continue
        pieces += [data[done:first], PLACEHOLDER]
        blocks.append((first, end))
        done = end
    return b"".join([*pieces, data[done:]]) if blocks else data, blocks


def _without_escapes(data: bytes) -> bytes:
    """The text, as long as before, in which every `"` begins or ends a string."""
    if b"\\" not in data:
        return data
    return data.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")


def _refuse_constants(text: str, file: str) -> None:
    """Refuse NaN and infinities before `NaN` gets a meaning of its own."""
    for match in _STRING_OR_CONSTANT.finditer(text):
        if not match[0].startswith('"'):
            line, column = line_and_column(text[: match.start()])
            message = f"`{match[0]}` is not JSON; every number must be finite"
            raise fail("not-finite", Place(file, line, column), message)


def _original(before: str, data: bytes, blocks: list[tuple[int, int]]) -> str:
    """The text before a position, with the arrays that stand there in it again."""
    waiting = iter(blocks)

    def restored(match: re.Match[str]) -> str:
        if match[0].startswith('"'):
            return match[0]
        return data[slice(*next(waiting))].decode("ascii")

    return _STRING_OR_CONSTANT.sub(restored, before) if blocks else before


_FREE_BYTES = 1 << 24
_PER_BYTE = 10


def _refuse_too_many(text: bytes, file: str) -> None:
    """Refuse text whose arrays and objects would take far more memory than the text."""
    needed = 72 * count(text, "[") + 240 * count(text, "{") + 32 * count(text, ",")
    if needed > _FREE_BYTES + _PER_BYTE * len(text):
        message = "the text has more brackets and commas than any real document of its size"
        raise fail("too-large", Place(file), message)


def _refuse_too_deep(data: bytes, file: str) -> None:
    """Refuse nesting beyond `MAX_DEPTH`, before a parser recurses into it.

    Long arrays are not looked into: no parser recurses into them before their shape is known.
    """
    brackets = b"".join(structure(_without_escapes(data)).replace(b'""', b"").split(b'"')[::2])
    for _ in range(MAX_DEPTH):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            message = f"arrays and objects may be nested {MAX_DEPTH} deep, here they go deeper"
            raise fail("too-deep", Place(file), message)


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]
