"""JSON text into values, with a line and a column for what is wrong."""

from __future__ import annotations

import json
import re

from hatch_irpytorch.errors import Place, fail, shown
from hatch_irpytorch.source.reading import decode_text, line_and_column

MAX_DEPTH = 64
"""How deep arrays and objects may nest: a tensor of 32 axes in a node needs 36."""

_MAX_DIGITS = 4300
_FREE_BYTES = 1 << 24
_PER_BYTE = 10
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{},"'))
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'
_STRING_OR_CONSTANT = re.compile(rf"{_STRING}|NaN|-?Infinity", re.DOTALL)
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F]|(?P<half>u[dD][89a-fA-F])|.)", re.DOTALL
)


class JsonObject(dict[str, object]):
    """An object whose last value of a repeated key counts; `repeated` are the earlier ones."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.repeated: list[tuple[str, object]] = []
        if len(self) < len(pairs):
            last = {key: position for position, (key, _) in enumerate(pairs)}
            self.repeated = [pair for i, pair in enumerate(pairs) if last[pair[0]] != i]


def parse_json(data: bytes, file: str, *, repeated_keys: bool = False) -> object:
    """The JSON value in `data`: NaN, infinities and halves of characters are errors.

    Repeated keys are errors too; with `repeated_keys` each object is a `JsonObject`.
    Raises: `bad-encoding`, `bad-json`, `duplicate-key`, `not-finite`, `too-deep`, `too-large`.
    """
    _refuse_constants(data, file)
    check_text(data, file)
    text = decode_text(data, file)
    _refuse_halves(text, file)

    def unique(pairs: list[tuple[str, object]]) -> JsonObject:
        found = JsonObject(pairs)
        if found.repeated:
            message = f"the key {shown(found.repeated[0][0])} is given twice in one object"
            raise fail("duplicate-key", Place(file), message)
        return found

    hook = JsonObject if repeated_keys else unique
    try:
        value: object = json.loads(text, object_pairs_hook=hook, parse_int=_integer)
    except json.JSONDecodeError as error:
        place = Place(file, *line_and_column(text[: error.pos]))
        end = error.pos >= len(text.rstrip())
        hint = "the file may be cut off" if end else ""
        raise fail("bad-json", place, _lower_first(error.msg), hint) from None
    return value


def _integer(text: str) -> int | float:
    """An integer of any length; Python reads no longer ones as such."""
    return int(text) if len(text) <= _MAX_DIGITS else float(text)


def check_text(data: bytes, file: str) -> None:
    """Refuse a text that no parser should be given.

    Raises: `bad-encoding`, `too-deep`, `too-large`.
    """
    structure = data.translate(None, _NOT_STRUCTURE)
    _refuse_too_many(structure, len(data), file)
    _refuse_too_deep(data, structure, file)
    if not data.isascii():
        decode_text(data, file)


def _refuse_constants(data: bytes, file: str) -> None:
    """Refuse NaN and infinities, which the standard library would take."""
    if b"NaN" not in data and b"Infinity" not in data:
        return
    text = decode_text(data, file)
    for match in _STRING_OR_CONSTANT.finditer(text):
        if not match[0].startswith('"'):
            line, column = line_and_column(text[: match.start()])
            message = f"`{match[0]}` is not JSON; every number must be finite"
            raise fail("not-finite", Place(file, line, column), message)


def _refuse_halves(text: str, file: str) -> None:
    """Refuse escapes of surrogates that are no pair, which the standard library would take."""
    for match in _ESCAPE.finditer(text) if "\\u" in text else ():
        if match["half"]:
            line, column = line_and_column(text[: match.start()])
            message = f"`{match[0]}...` is half of a character, the other half is missing"
            raise fail("bad-json", Place(file, line, column), message)


def _refuse_too_many(structure: bytes, size: int, file: str) -> None:
    """Refuse text whose arrays and objects would take far more memory than the text."""
    needed = 72 * structure.count(b"[") + 240 * structure.count(b"{") + 32 * structure.count(b",")
    if needed > _FREE_BYTES + _PER_BYTE * size:
        message = "the text has more brackets and commas than any real document of its size"
        raise fail("too-large", Place(file), message)


def _refuse_too_deep(data: bytes, structure: bytes, file: str) -> None:
    """Refuse nesting beyond `MAX_DEPTH`, before a parser recurses into it."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
        structure = data.translate(None, _NOT_STRUCTURE)
    brackets = b"".join(structure.replace(b",", b"").replace(b'""', b"").split(b'"')[::2])
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


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]
