"""Where the values of a TOML text are, so that it can be added to and stays the same elsewhere."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Key = tuple[str, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"""(?!")', re.DOTALL),
    re.compile(r"'''.*?'''(?!')", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
_SCALAR = re.compile(r"[^,\]}\n#]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")


class Value(NamedTuple):
    """Where a value stands; `items` are the places of an array's values or of a table's keys."""

    start: int
    end: int
    kind: str
    items: tuple[tuple[int, int], ...] = ()


class Places(NamedTuple):
    """The values of a text by their keys in full, and where the lines of `[headers]` end."""

    values: dict[Key, Value]
    headers: dict[Key, int]


def find_places(text: str) -> Places:
    """The places in a text that a TOML parser has accepted."""
    return _Scanner(text).scan()


def past_blank(text: str, at: int) -> int:
    """The next position that is no white space, line break or comment."""
    match = _BLANK.match(text, at)
    return match.end() if match is not None else at


class _Scanner:
    """A position in the text that moves on, and what was found before it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found = Places({}, {})
        self._arrays: dict[Key, int] = {}

    def scan(self) -> Places:
        table: Key = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._entry(table)
            self._skip(_BLANK)
        return self._found

    def _header(self) -> Key:
        double = self._text.startswith("[[", self._at)
        self._at += 2 if double else 1
        key = self._key()
        if double:
            number = self._arrays[key] = self._arrays.get(key, -1) + 1
            key = (*key, f"[{number}]")
        line_end = self._text.find("\n", self._at)
        self._at = len(self._text) if line_end < 0 else line_end + 1
        self._found.headers[key] = self._at
        return key

    def _entry(self, table: Key) -> None:
        key = (*table, *self._key())
        self._at += 1
        self._skip(_SPACE)
        self._value(key)

    def _key(self) -> Key:
        """A dotted key; the position is then at what follows it."""
        parts = []
        while True:
            self._skip(_SPACE)
            bare = _BARE.match(self._text, self._at)
            part = bare.group() if bare else self._string()
            self._at += len(bare.group()) if bare else 0
            parts.append(part)
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return tuple(parts)
            self._at += 1

    def _string(self) -> str:
        match = next(m for m in (p.match(self._text, self._at) for p in _STRINGS[2:]) if m)
        self._at = match.end()
        value: str = tomllib.loads(f"k = {match.group()}")["k"]
        return value

    def _value(self, key: Key) -> None:
        start, first = self._at, self._text[self._at]
        items: tuple[tuple[int, int], ...] = ()
        if first == "[":
            kind, items = "array", self._array(key)
        elif first == "{":
            kind, items = "table", self._inline_table(key)
        else:
            kind = "scalar"
            patterns = _STRINGS if first in "\"'" else (_SCALAR,)
            match = next(m for m in (p.match(self._text, start) for p in patterns) if m)
            self._at = start + len(match.group().rstrip())
        self._found.values[key] = Value(start, self._at, kind, items)

    def _array(self, key: Key) -> tuple[tuple[int, int], ...]:
        items: list[tuple[int, int]] = []
        self._at += 1
        self._skip(_BLANK)
        while self._text[self._at] != "]":
            start = self._at
            self._value((*key, f"[{len(items)}]"))
            items.append((start, self._at))
            self._past_comma()
        self._at += 1
        return tuple(items)

    def _inline_table(self, key: Key) -> tuple[tuple[int, int], ...]:
        items = []
        self._at += 1
        self._skip(_BLANK)
        while self._text[self._at] != "}":
            start = self._at
            self._entry(key)
            items.append((start, self._at))
            self._past_comma()
        self._at += 1
        return tuple(items)

    def _past_comma(self) -> None:
        self._skip(_BLANK)
        if self._text[self._at] == ",":
            self._at += 1
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
