"""Additions to a TOML text: an item of an array, a key of a table, a new table."""

from __future__ import annotations

import json
import re

from hatch_irpytorch.init.toml_places import Key, Value, find_places, past_blank

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def with_item(text: str, key: Key, item: str) -> str:
    """The text with one more string at the end of the array that `key` names."""
    array, quoted = find_places(text).values[key], _quoted(item)
    if not array.items:
        return _inserted(text, array.start + 1, quoted)
    last = array.items[-1][1]
    if "\n" not in text[array.start : array.end]:
        return _inserted(text, last, f", {quoted}")
    return _with_line(text, array, quoted)


def _with_line(text: str, array: Value, quoted: str) -> str:
    """An array of several lines gets one more, indented as the line of its last item."""
    start, last = array.items[-1]
    before = text[text.rfind("\n", 0, start) + 1 : start]
    indent = before if not before.strip() else "  "
    after = past_blank(text, last)
    comma = text[after] == ","
    if comma:
        last = after + 1
    else:
        text, last = _inserted(text, last, ","), last + 1
    rest = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?=\r?\n)").match(text, last)
    at = rest.end() if rest is not None else last
    return _inserted(text, at, f"{newline_of(text)}{indent}{quoted}{',' if comma else ''}")


def with_key(text: str, table: Key, key: str, value: str) -> str:
    """The text with `key = value` in a table, which is added at the end where there is none."""
    places = find_places(text)
    newline = newline_of(text)
    line = f"{_bare(key)} = {value}{newline}"
    if table in places.headers:
        at = places.headers[table]
        before = "" if text[:at].endswith("\n") else newline
        return _inserted(text, at, before + line)
    for length in range(len(table), 0, -1):
        outer = places.values.get(table[:length])
        if outer is not None and outer.kind == "table":
            return _in_inline_table(text, outer, (*table[length:], key), value)
    gap = "" if not text else newline if text.endswith("\n") else 2 * newline
    return f"{text}{gap}[{_dotted(table)}]{newline}{line}"


def _in_inline_table(text: str, table: Value, key: Key, value: str) -> str:
    entry = f"{_dotted(key)} = {value}"
    if not table.items:
        return _inserted(text, table.start + 1, entry)
    return _inserted(text, table.items[-1][1], f", {entry}")


def array_place(text: str, tables: tuple[Key, ...], key: str) -> Key | None:
    """The array `key` in the first of the tables that has one."""
    values = find_places(text).values
    found = ((*table, key) for table in tables if (*table, key) in values)
    first = next(found, None)
    return first if first is not None and values[first].kind == "array" else None


def array_text(items: list[str]) -> str:
    """Strings as an array of one line."""
    return f"[{', '.join(map(_quoted, items))}]"


def newline_of(text: str) -> str:
    """What ends the first line of a text."""
    return "\r\n" if re.match(r"[^\n]*\r\n", text) else "\n"


def _inserted(text: str, at: int, more: str) -> str:
    return text[:at] + more + text[at:]


def _dotted(key: Key) -> str:
    return ".".join(map(_bare, key))


def _bare(part: str) -> str:
    return part if _BARE.fullmatch(part) else _quoted(part)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
