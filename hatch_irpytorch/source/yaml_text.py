"""YAML text into values, with a line and a column for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hatch_irpytorch.errors import Place, fail, shown
from hatch_irpytorch.source.reading import decode_text, line_and_column

MAX_BYTES = 16_384
MAX_DEPTH = 32


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

    if len(data) > MAX_BYTES:
        message = f"a manifest may have {MAX_BYTES} bytes, this one has {len(data)}"
        raise fail("too-large", Place(file), message)
    text = decode_text(data, file)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                place = _marked(event.start_mark, file)
                raise fail("alias-in-manifest", place, "write the value out instead of an alias")
            if isinstance(event, yaml.CollectionStartEvent | yaml.CollectionEndEvent):
                depth += 1 if isinstance(event, yaml.CollectionStartEvent) else -1
            if depth > MAX_DEPTH:
                place = _marked(event.start_mark, file)
                raise fail("too-deep", place, "the manifest is nested too deeply")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if node is None else _located(node, file)
    except yaml.MarkedYAMLError as error:
        place = _marked(error.problem_mark or error.context_mark, file)
        message = " ".join(part for part in (error.context, error.problem) if part)
        raise fail("bad-yaml", place, message.replace("\n", " ")) from None
    except yaml.reader.ReaderError as error:
        line, column = line_and_column(text[: error.position])
        message = f"the character {shown(chr(error.character))} is not allowed in YAML"
        raise fail("bad-yaml", Place(file, line, column), message) from None


def _marked(mark: Any, file: str) -> Place:
    return Place(file) if mark is None else Place(file, mark.line + 1, mark.column + 1)


def _located(node: object, file: str) -> Value:
    import yaml

    assert isinstance(node, yaml.Node)
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    if isinstance(node, yaml.ScalarNode):
        return Scalar(node.value, bool(node.style), line, column)
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
