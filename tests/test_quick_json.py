"""A document read a part at a time is what it is as a whole, and wrong where that is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_graphs import RandomGraph, random_graphs

from hatch_irpytorch.errors import IRPyTorchError
from hatch_irpytorch.ir.read import build_model
from hatch_irpytorch.source import json_text, number_text, quick_json
from hatch_irpytorch.source.json_text import parse_json
from hatch_irpytorch.source.number_text import NumberText
from hatch_irpytorch.source.quick_json import Parts

LONG = "[" + ", ".join(["0.5"] * 40) + "]"
OBJECTS = (
    '{"id": 1, "a": [1, 2]}',
    '{"id":2,"s":"},{"}',
    '{"id": 3, "nodes": []}',
    '{"x": {"y": 1}}',
    '{"x": 1, "x": 2}',
    '{"x": [{"y": 1}, {"y": 2}]}',
    f'{{"w": {LONG}, "v": {LONG}}}',
    f'{{"w": [{LONG}, {LONG}]}}',
    f'{{"w": [null, {LONG}]}}',
    '{"x": "~"}',
    '{"x": true, "y": -0, "z": 12345678901234567890}',
    "[]",
    "7",
    "{}",
    "{",
    "}",
)
SEPARATORS = (",", ", ", "\n , ", "\v,\f", "", ",,", "], [", "]")
BEFORE = ("", '"a": [{}, {}], ', '"a": {"nodes": [{"b": 1}]}, ', f'"a": {LONG}, ', '"nodes": [], ')
AFTER = ("", ', "a": [1]', ', "a": [{"b": 2}]', f', "a": {LONG}', ', "nodes": []', "]", ' "')


@st.composite
def texts(draw: st.DrawFn) -> str:
    often = st.sampled_from(OBJECTS[:2])
    objects = draw(st.lists(often | often | st.sampled_from(OBJECTS), max_size=6))
    comma = st.just(", ")
    between = [draw(comma | comma | st.sampled_from(SEPARATORS)) for _ in objects]
    inner = "".join(f"{a}{b}" for a, b in zip(objects, [*between[1:], ""], strict=False))
    before = draw(st.just("") | st.sampled_from(BEFORE))
    after = draw(st.just("") | st.sampled_from(AFTER))
    return f'{{{before}"nodes": [{inner}]{after}}}'


def joined(parts: Iterator[list[Any]]) -> list[Any]:
    return [item for part in parts for item in part]


def plain(value: object) -> object:
    """A value with its long arrays as lists."""
    if isinstance(value, NumberText):
        return value.to_list()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def outcome(text: str, parts: Parts | None) -> str:
    try:
        value = plain(parse_json(text.encode(), "graph.json", long_arrays=True, parts=parts))
    except IRPyTorchError as error:
        return str(error)
    return json.dumps(value)


@settings(max_examples=1500, deadline=None)
@given(texts(), st.sampled_from([1, 30, 200]))
@example('{"nodes": [{"a": 1}, {"b": 2}]}', 1)
@example('{"nodes": [{"a": 1}\v,{"b": 2}]}', 1)
@example(f'{{"nodes": [{{"a": {LONG}}}, {{"b": {LONG}}}], "output_ids": [1]}}', 1)
def test_parts_are_what_the_whole_is(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quick_json, "_PART", size)
        patch.setattr(number_text, "MIN_LENGTH", 128)
        patch.setattr(number_text, "_STRIDE", 4)
        assert outcome(text, Parts("nodes", (joined,))) == outcome(text, None)


def test_sound_nodes_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_json, "_PART", 64)
    nodes = [{"id": i, "kind": "relu", "parents": [i - 1], "shape": [2]} for i in range(50)]
    seen: list[int] = []

    def read(parts: Iterator[list[Any]]) -> object:
        whole = []
        for part in parts:
            seen.append(len(part))
            whole += part
        return whole

    text = json.dumps({"nodes": nodes, "output_ids": [49]})
    assert parse_json(text.encode(), "graph.json", parts=Parts("nodes", (read,))) == json.loads(
        text
    )
    assert sum(seen) == 50
    assert len(seen) > 20


def test_what_cannot_be_used_is_read_as_a_whole() -> None:
    text = b'{"nodes": [{"a": 1}]}'
    value = parse_json(text, "graph.json", parts=Parts("nodes", (lambda parts: None,)))
    assert value == {"nodes": [{"a": 1}]}


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_models_do_not_depend_on_how_their_text_is_read(case: RandomGraph) -> None:
    data = json.dumps(case.document).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quick_json, "_PART", 100)
        in_parts = build_model(data, "graph", case.store)
        patch.setattr(json_text, "load_quickly", lambda *_: None)
        whole = build_model(data, "graph", case.store)
    assert in_parts.graph == whole.graph
    assert in_parts.params.keys() == whole.params.keys()
    for key, array in in_parts.params.items():
        other = whole.params[key]
        assert (array.dtype, array.shape) == (other.dtype, other.shape)
        assert array.tobytes() == other.tobytes()
