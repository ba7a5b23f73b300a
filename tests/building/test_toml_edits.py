"""Places in a TOML text, and additions to it: for any text, the parser says the same."""

from __future__ import annotations

import json
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hatch_irpytorch.init.toml_edits import with_item, with_key
from hatch_irpytorch.init.toml_places import find_places

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAMES = st.sampled_from(["a", "b-c", "d e", "f.g", "[x]", "#", "1", '"', "\u00e9"])
GAPS = st.sampled_from(["", " ", "\n", '  # ], } "x" \'\n', "\r\n\t"])


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


@st.composite
def scalars(draw: st.DrawFn) -> str:
    word = draw(st.text("ab #[]{},=.'\u00e9", max_size=6))
    spelled = [
        quoted(word),
        f'"""{word}\n"""',
        f'"""\\"{word}""""',
        f"'{word}'".replace("'" + word + "'", "'" + word.replace("'", "") + "'"),
        "'''\n" + word.replace("'", "") + "\n'''",
        "true",
        "-1_000.5e3",
        "1979-05-27 07:32:00",
        "inf",
    ]
    return draw(st.sampled_from(spelled))


@st.composite
def arrays(draw: st.DrawFn, items: st.SearchStrategy[str]) -> str:
    def gap() -> str:
        return draw(GAPS)

    found = draw(st.lists(items, max_size=3))
    inner = ",".join(f"{gap()}{item}{gap()}" for item in found)
    trailing: bool = draw(st.booleans())
    comma = "," if found and trailing else ""
    return f"[{inner}{comma}{gap()}]"


@st.composite
def tables(draw: st.DrawFn, items: st.SearchStrategy[str]) -> str:
    found = draw(st.dictionaries(NAMES, items.filter(lambda text: "\n" not in text), max_size=3))
    return "{" + ", ".join(f"{quoted(k)} = {v}" for k, v in found.items()) + "}"


VALUES = st.recursive(scalars(), lambda v: arrays(v) | tables(v), max_leaves=6)


@st.composite
def texts(draw: st.DrawFn) -> str:
    lines = []
    for key, value in draw(st.dictionaries(NAMES, VALUES, max_size=3)).items():
        lines.append(f"{quoted(key)}.x = {value} # = [y]")
    for header in draw(st.lists(NAMES, max_size=3, unique=True)):
        double = draw(st.booleans())
        name = f"t.{quoted(header)}"
        for _ in range(draw(st.integers(1, 2)) if double else 1):
            lines.append(f"[[{name}]] # ]" if double else f" [ {name} ]")
            lines += [f"v = {draw(VALUES)}", ""]
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n"]))
    return text if "\r\n" in text else text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


def at(data: Any, key: tuple[str, ...]) -> Any:
    for part in key:
        data = data[int(part[1:-1])] if isinstance(data, list) else data[part]
    return data


@given(texts())
def test_each_place_holds_the_value_of_its_key(text: str) -> None:
    data = tomllib.loads(text)
    places = find_places(text)
    for key, place in places.values.items():
        assert tomllib.loads(f"k = {text[place.start : place.end]}")["k"] == at(data, key)
    for key in places.headers:
        assert isinstance(at(data, key), dict)


@given(texts())
def test_an_item_is_added_to_any_array(text: str) -> None:
    for key, place in find_places(text).values.items():
        if place.kind == "array":
            data = tomllib.loads(text)
            at(data, key).append("new")
            new = with_item(text, key, "new")
            assert tomllib.loads(new) == data
            rest = iter(new)
            assert all(character in rest for character in text)


@given(texts())
def test_a_key_is_added_to_any_table(text: str) -> None:
    places = find_places(text)
    inline = [key for key, place in places.values.items() if place.kind == "table"]
    for key in [*places.headers, *inline, ("new table", "x")]:
        data = tomllib.loads(text)
        if key == ("new table", "x"):
            data["new table"] = {"x": {}}
        at(data, key)["new"] = ["z"]
        new = with_key(text, key, "new", '["z"]')
        assert tomllib.loads(new) == data
        rest = iter(new)
        assert all(character in rest for character in text)
