"""JSON by orjson, where the standard library would say the same.

orjson takes the last of repeated keys, reads `-0` as 0 and large integers as floats. Keys are
counted: each needs a colon, so an object that lost one has fewer keys than the text has colons.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hatch_irpytorch.source.number_text import NumberText
from hatch_irpytorch.source.scanning import count, count_codes, has_long_integer, has_negative_zero

PLACEHOLDER = b"NaN"
"""What stands for a long array in the text."""

_MARK = "~"
_QUOTED_MARK = b'"~"'
_BYTES_PER_OBJECT = 16_384
"""Nodes are shorter; for text unlike a graph orjson needs more memory than a reader may take."""

_PART = 1 << 16
"""How many bytes are read at a time: their objects stay in the cache until they are used."""

_BETWEEN_OBJECTS = re.compile(rb"\}[ \t\n\r]*,[ \t\n\r]*\{")
_SPACE = b" \t\n\r"
_LOOKED_AT = 256


@dataclass(frozen=True)
class Parts:
    """What is made of the array `key` of the root, whose objects come a part at a time.

    Each of the `readers` is tried; it returns None where it can make nothing of them.
    """

    key: str
    readers: tuple[Callable[[Iterator[list[Any]]], object | None], ...]


def load_quickly(outline: bytes, texts: list[NumberText], parts: Parts | None) -> object | None:
    """The value of a text with `texts` where their placeholders stand.

    None where the standard library has to look closer.
    """
    if len(outline) > _BYTES_PER_OBJECT * (count(outline, "{") + 64):
        return None
    if _MARK.encode() in outline or has_negative_zero(outline) or has_long_integer(outline):
        return None
    if b"N" in outline and outline.count(PLACEHOLDER) != len(texts):
        return None
    if texts:
        outline = outline.replace(PLACEHOLDER, _QUOTED_MARK)
    found = _in_parts(outline, texts, parts) if parts is not None else None
    return _whole(outline, texts) if found is None else found


def _whole(outline: bytes, texts: list[NumberText]) -> object | None:
    value = _loaded(outline)
    if type(value) is not dict:
        return None
    return value if _filled(value, texts) == (count(outline, ":"), len(texts)) else None


def _loaded(text: bytes) -> object | None:
    import orjson

    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value


def _filled(root: dict[str, object], texts: list[NumberText]) -> tuple[int, int]:
    """Put `texts` where the marks stand, in order; how many keys and marks there were.

    Only objects in objects, and in arrays of objects, are looked into.
    """
    keys = marks = 0
    waiting = [root]
    while waiting:
        item = waiting.pop()
        keys += len(item)
        inner: list[dict[str, object]] = []
        for key, value in item.items():
            if type(value) is list:
                if value and type(value[0]) is dict:
                    inner += [entry for entry in value if type(entry) is dict]
            elif type(value) is dict:
                inner.append(value)
            elif value == _MARK:
                if inner or marks == len(texts):
                    return -1, -1
                item[key] = texts[marks]
                marks += 1
        waiting += reversed(inner)
    return keys, marks


def _in_parts(outline: bytes, texts: list[NumberText], parts: Parts) -> object | None:
    """The root with what `parts` makes of its array; None where the text is not so plain.

    The text behind the array's `[` is cut between two `}` and `{`. When every part is JSON between
    brackets, and so is the rest with a string in place of the array, the whole is JSON, and the
    array holds the objects of the parts: JSON can be read in one way only.
    """
    opening = re.search(rb'"%b"\s*:\s*\[' % re.escape(parts.key.encode()), outline)
    if opening is None:
        return None
    start, stop = opening.end(), _end_of_objects(outline, opening.end())
    rest = b"%b%b%b" % (outline[: start - 1], _QUOTED_MARK, outline[stop + 1 :])
    root = _loaded(rest)
    if type(root) is not dict or root.get(parts.key) != _MARK:
        return None
    root[parts.key] = None
    if _filled(root, []) != (count(rest, ":"), 0):
        return None
    try:
        made = (read(_objects(outline, start, stop, texts)) for read in parts.readers)
        root[parts.key] = next((found for found in made if found is not None), None)
    except _NotPlainError:
        return None
    return None if root[parts.key] is None else root


class _NotPlainError(Exception):
    """A part holds something else than objects without objects in them."""


def _end_of_objects(text: bytes, start: int) -> int:
    """Where the last `]` stands that follows a `}`; `start` where there is none."""
    end = len(text)
    for _ in range(_LOOKED_AT):
        end = max(start, text.rfind(b"]", start, end))
        if text[max(start, end - _LOOKED_AT) : end].rstrip(_SPACE).endswith(b"}"):
            return end
    return start


def _objects(
    text: bytes, start: int, stop: int, texts: list[NumberText]
) -> Iterator[list[dict[str, object]]]:
    """The objects between two places of a text, a part at a time, with `texts` for the marks."""
    waiting = iter(texts)
    while start < stop:
        between = _BETWEEN_OBJECTS.search(text, start + _PART, stop)
        end = between.start() + 1 if between else stop
        part = b"[%b]" % text[start:end]
        found = _loaded(part)
        if type(found) is not list or set(map(type, found)) != {dict}:
            raise _NotPlainError
        if sum(map(len, found)) != count_codes(part, ":"):
            raise _NotPlainError
        if texts and _put(waiting, found) != part.count(_QUOTED_MARK):
            raise _NotPlainError
        yield found
        start = between.end() - 1 if between else stop


def _put(texts: Iterator[NumberText], objects: list[dict[str, object]]) -> int:
    """Put texts where the marks stand; how many there were."""
    marked = [item for item in objects if _MARK in item.values()]
    places = [(item, key) for item in marked for key in item if item[key] == _MARK]
    for item, key in places:
        item[key] = next(texts)
    return len(places)
