"""JSON and YAML text into values, with a line and a column for what is wrong."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hatch_irpytorch.errors import Place, fail, shown
from hatch_irpytorch.number_text import NumberText, long_runs

MAX_MANIFEST_BYTES = 65_536

_NEGATIVE_ZERO = re.compile(r"-0(?![\d.eE])")


def read_bytes(path: Path, file: str) -> bytes:
    """The content of `path`. Raises `missing-file` under the display name `file`."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise fail("missing-file", Place(file), "the file does not exist") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise fail("missing-file", Place(file), f"the file cannot be read: {reason}") from None


def decode_text(data: bytes, file: str) -> str:
    """UTF-8 text without a byte order mark."""
    if data.startswith(b"\xef\xbb\xbf"):
        raise fail("bad-encoding", Place(file, 1, 1), "the file starts with a byte order mark")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _line_and_column(data[: error.start].decode("utf-8", "replace"))
        found = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise fail("bad-encoding", Place(file, line, column), found) from None


def _line_and_column(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


# JSON


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


def parse_json(data: bytes, file: str) -> object:
    """The JSON value in `data`: duplicate keys, NaN and infinities are errors.

    Long arrays of numbers come as `NumberText`.
    Raises: `bad-encoding`, `bad-json`, `duplicate-key`, `not-finite`, `too-deep`, `too-large`.
    """
    if b"NaN" in data or b"Infinity" in data:
        _refuse_constants(decode_text(data, file), file)
    outline, blocks = _split(data)
    text = decode_text(outline if _is_text(outline) else data, file)
    _refuse_too_many(text, file)
    waiting = iter(blocks)

    def constant(name: str) -> object:
        return NumberText(data[slice(*next(waiting))])

    parse_int = _signed_integer if _NEGATIVE_ZERO.search(text) else None
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=_unique_object,
            parse_constant=constant,
            parse_int=parse_int,
        )
    except json.JSONDecodeError as error:
        before = _original(text[: error.pos], data, blocks)
        place = Place(file, *_line_and_column(before))
        end = error.pos >= len(text.rstrip())
        hint = "the file may be cut off" if end else ""
        raise fail("bad-json", place, _lower_first(error.msg), hint) from None
    except _DuplicateKeyError as error:
        node = error.owner if type(error.owner) is int else None
        message = f"the key {shown(error.key)} is given twice in one object"
        raise fail("duplicate-key", Place(file, node=node), message) from None
    except RecursionError:
        raise fail("too-deep", Place(file), "arrays or objects are nested too deeply") from None
    except ValueError:
        raise fail("bad-json", Place(file), "an integer has too many digits") from None
    return value


_PLACEHOLDER = b"NaN"
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'
_STRINGS = re.compile(_STRING.encode(), re.DOTALL)
_STRING_OR_CONSTANT = re.compile(rf"{_STRING}|NaN|-?Infinity", re.DOTALL)


def _split(data: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """The text with `NaN` in place of each long array of numbers, and where those stand."""
    pieces: list[bytes] = []
    blocks: list[tuple[int, int]] = []
    done = 0
    strings = _STRINGS.finditer(data)
    string = next(strings, None)
    for start, stop in long_runs(data):
        while string is not None and string.end() <= start:
            string = next(strings, None)
        if string is not None and string.start() < start:
            continue
        first = data.find(b"[", start, stop)
        end = data.rfind(b"]", start, stop) + 1
        if first < 0 or data.count(b"[", first, end) != data.count(b"]", first, end):
            continue
        pieces += [data[done:first], _PLACEHOLDER]
        blocks.append((first, end))
        done = end
    return b"".join([*pieces, data[done:]]) if blocks else data, blocks


def _refuse_constants(text: str, file: str) -> None:
    """Refuse NaN and infinities before `NaN` gets a meaning of its own."""
    for match in _STRING_OR_CONSTANT.finditer(text):
        if not match[0].startswith('"'):
            line, column = _line_and_column(text[: match.start()])
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


def _refuse_too_many(text: str, file: str) -> None:
    """Refuse text whose arrays and objects would take far more memory than the text."""
    needed = 72 * text.count("[") + 240 * text.count("{") + 32 * text.count(",")
    if needed > _FREE_BYTES + _PER_BYTE * len(text):
        message = "the text has more brackets and commas than any real document of its size"
        raise fail("too-large", Place(file), message)


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]


# YAML


@dataclass(frozen=True)
class Scalar:
    """A YAML scalar: its text, whether it was quoted, and where it starts."""

    text: str
    quoted: bool
    line: int
    column: int


@dataclass(frozen=True)
class Sequence:
    items: tuple[Value, ...]
    line: int
    column: int


@dataclass(frozen=True)
class Mapping:
    """A YAML mapping as (key, value) pairs in the order of the file; keys are unique."""

    entries: tuple[tuple[Scalar, Value], ...]
    line: int
    column: int


Value = Scalar | Sequence | Mapping


def parse_yaml(data: bytes, file: str) -> Value | None:
    """The one YAML document in `data`, unresolved; None when it is empty.

    Scalars keep their text: what they mean depends on the key, so `no` and `1e-5` cannot
    turn into something else on the way.
    Raises: `alias-in-manifest`, `bad-encoding`, `bad-yaml`, `duplicate-key`,
    `too-deep`, `too-large`.
    """
    import yaml

    if len(data) > MAX_MANIFEST_BYTES:
        message = f"a manifest may have {MAX_MANIFEST_BYTES} bytes, this one has {len(data)}"
        raise fail("too-large", Place(file), message)
    text = decode_text(data, file)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                place = _marked(event.start_mark, file)
                raise fail("alias-in-manifest", place, "write the value out instead of an alias")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if node is None else _located(node, file)
    except yaml.MarkedYAMLError as error:
        place = _marked(error.problem_mark or error.context_mark, file)
        message = " ".join(part for part in (error.context, error.problem) if part)
        raise fail("bad-yaml", place, message.replace("\n", " ")) from None
    except yaml.reader.ReaderError as error:
        line, column = _line_and_column(text[: error.position])
        message = f"the character {shown(chr(error.character))} is not allowed in YAML"
        raise fail("bad-yaml", Place(file, line, column), message) from None
    except RecursionError:
        raise fail("too-deep", Place(file), "the manifest is nested too deeply") from None


def _marked(mark: Any, file: str) -> Place:
    return Place(file) if mark is None else Place(file, mark.line + 1, mark.column + 1)


def _located(node: object, file: str) -> Value:
    import yaml

    assert isinstance(node, yaml.Node)
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    if isinstance(node, yaml.ScalarNode):
        return Scalar(node.value, node.style is not None, line, column)
    if isinstance(node, yaml.SequenceNode):
        return Sequence(tuple(_located(item, file) for item in node.value), line, column)
    entries: list[tuple[Scalar, Value]] = []
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key = _located(key_node, file)
        if not isinstance(key, Scalar):
            place = Place(file, key.line, key.column)
            raise fail("bad-yaml", place, "a key must be a plain word")
        if key.text in seen:
            place = Place(file, key.line, key.column)
            raise fail("duplicate-key", place, f"the key {shown(key.text)} is given twice")
        seen.add(key.text)
        entries.append((key, _located(value_node, file)))
    return Mapping(tuple(entries), line, column)
