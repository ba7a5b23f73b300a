"""The reader and the explainer agree: a graph is refused exactly when a problem is told."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from conftest import Counts
from documents import CONV, const, document, linear_document, op
from hostile_files import GRAPHS, affine, legacy, mutated, transformer
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import RandomGraph, random_graphs

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.ir.explain import explain
from hatch_irpytorch.ir.read import build_graph, build_model, resolve_graph, resolve_model

VALUES = (
    *("0", "-0", "1", "-1", "2", "1.0", "1e2", "0.5", "-0.0", "1e999", "-1e999", "1e-999"),
    *("9223372036854775807", "9223372036854775808", "9" * 400, "9" * 5000, "true", "false", "null"),
    *('""', '"x"', '"tensor"', '"tuple"', '"input"', '"relu"', '"conv2d"', '"multihead_attention"'),
    *(
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"\\\\ud800"',
        "[]",
        "[0]",
        "[1]",
        "[[1]]",
        "[[],[]]",
        "[0,0]",
    ),
    *("[true]", "[1.0]", '["1"]', "[-1]", "[9223372036854775808]", f"[{','.join('1' * 33)}]"),
    *('{"weight":false}', '{"bias":true,"bias":0}', '{"bias":0,"bias":false}', '{"gamma":false}'),
    *("{}", '{"shape":[1],"allowed":[true]}', '{"shape":[1],"shape":"x","allowed":[true]}'),
    *('{"shape":[1],"allowed":[1]}', '{"shape":[1],"allowed":[true],"more":1}', "NaN", "Infinity"),
)
FIELDS = (
    *("id", "kind", "parents", "shape", "value_kind", "tuple_shapes", "debug_target", "onnx_name"),
    *(
        "axis",
        "axes",
        "keepdim",
        "eps",
        "kernel",
        "stride",
        "padding",
        "inC",
        "kH",
        "scale",
        "seed",
    ),
    *(
        "weight",
        "bias",
        "values",
        "gamma",
        "beta",
        "mask",
        "index",
        "learnable",
        "integers",
        "unknown",
        "i\\u0064",
    ),
    *("format", "input_id", "output_id", "output_ids", "nodes"),
)
ATTENTION = {
    **op("multihead_attention", [0, 0, 0], []),
    "value_kind": "tuple",
    "tuple_shapes": [[2, 3, 4], [2, 3, 3]],
    "embed_dim": 4,
    "num_heads": 2,
    "batch_first": True,
    "dropout_zero": True,
    "scale": 0.5,
    **{f"{part}_weight": [[0.5] * 4] * 4 for part in ("q", "k", "v", "out")},
    **{f"{part}_bias": [0.5] * 4 for part in ("q", "k", "v", "out")},
}
OLD = {
    **document([1, 4, 4], {"kind": "max_pool2d", "parents": [0], "shape": [1, 2, 2]}),
    "output_id": 1,
}


def small_documents() -> list[dict[str, Any]]:
    old = json.loads(json.dumps(OLD))
    del old["output_ids"]
    old["nodes"][1] |= {"kH": 2, "kW": 2, "stride": 2}
    masked = {"shape": [2], "allowed": [True, False]}
    return [
        old,
        document([2, 3, 4], ATTENTION, op("tuple_getitem", [1], [2, 3, 4], index=0)),
        document([2], op("hard_masked_softmax", [0], [2], mask=masked)),
        document([2, 2], op("reduce_sum", [0], [2], axes=[1], keepdim=False)),
        document([2], op("layernorm", [0], [2], axis=0, eps=1e-5, gamma=[1.0] * 2, beta=[0.0] * 2)),
        document([2], const([2], [1.0, 2.0]), op("add", [0, 1], [2])),
        json.loads(legacy()),
        json.loads(affine()),
        linear_document(learnable={"bias": False}),
    ]


def pairs_of(value: dict[str, Any]) -> list[tuple[str, str]]:
    return [(key, json.dumps(item)) for key, item in value.items()]


def text_of(pairs: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{key}":{value}' for key, value in pairs) + "}"


def changed(value: dict[str, Any], rng: random.Random) -> bytes:
    """The text of a document in which fields have other values, are lost, or come twice."""
    nodes = [pairs_of(node) for node in value["nodes"]]
    root = pairs_of({key: item for key, item in value.items() if key != "nodes"})
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        pairs = rng.choice([*nodes, root])
        at = rng.randrange(len(pairs)) if pairs else 0
        key = pairs[at][0] if pairs and rng.random() < 0.7 else rng.choice(FIELDS)
        new = (key, rng.choice(VALUES))
        kind = rng.randrange(3)
        if kind == 0 and pairs:
            del pairs[at]
        elif kind == 1 and pairs:
            pairs[at] = new
        else:
            pairs.insert(rng.randrange(len(pairs) + 1), new)
    listed = f"[{','.join(map(text_of, nodes))}]"
    return text_of([*root, ("nodes", listed)]).encode()


def assert_agreement(data: bytes) -> bool:
    """Whether the graph was read."""
    for build, resolve in ((build_model, resolve_model), (build_graph, resolve_graph)):
        try:
            build(data, "graph.json")
            refused = False
        except IRPyTorchError as error:
            assert error.problems, data[:3000]
            refused = True
        told = explain(data, "graph.json", resolve).problems
        assert bool(told) == refused, (told, data[:3000])
    return not refused


def test_changed_documents(counts: Counts) -> None:
    rng = random.Random(counts.first_seed)
    seeds = small_documents()
    read = [assert_agreement(changed(rng.choice(seeds), rng)) for _ in range(counts.inputs // 4)]
    assert any(read) and not all(read)


def test_random_graphs_with_changes(counts: Counts) -> None:
    @settings(max_examples=counts.graphs // 2, deadline=None)
    @given(random_graphs(), st.randoms(use_true_random=False))
    def check(case: RandomGraph, rng: random.Random) -> None:
        if case.store is None:
            assert assert_agreement(json.dumps(case.document).encode())
        for _ in range(4):
            assert_agreement(changed(case.document, rng))

    check()


def test_damaged_texts(counts: Counts) -> None:
    rng = random.Random(counts.first_seed)
    seeds = [affine(), legacy(), transformer()]
    for _ in range(counts.inputs // 8):
        assert_agreement(mutated(rng.choice(seeds), rng, seeds))


@pytest.mark.parametrize("name", GRAPHS)
def test_hostile_graphs(name: str) -> None:
    assert_agreement(GRAPHS[name])


@pytest.mark.parametrize(
    ("earlier", "code"),
    [
        ('"kind":"relu"', ""),
        ('"kind":"tanh"', "duplicate-key"),
        ('"shape":[7]', ""),
        ('"shape":"x"', "duplicate-key"),
        ('"parents":[5]', ""),
        ('"parents":[-1]', "duplicate-key"),
        ('"unknown":1,"unknown":[]', ""),
        ('"unknown":1e999,"unknown":[]', ""),
        ('"debug_target":1e999,"debug_target":"x"', ""),
        ('"debug_target":1,"debug_target":"x"', ""),
    ],
)
def test_of_a_repeated_key_the_last_value_counts(earlier: str, code: str) -> None:
    text = json.dumps(document([2], op("relu", [0], [2])))
    data = text.replace('{"id": 1, ', f'{{{earlier}, "id": 1, ').encode()
    assert assert_agreement(data) == (not code)
    told = explain(data, "graph.json", resolve_model).problems
    assert [problem.code for problem in told] == [code] * bool(code)


def test_a_number_beyond_binary64_is_ignored_where_nobody_reads_it() -> None:
    value = document([2], op("conv", [0], [2], **{**CONV, "unknown": "X"}))
    del value["nodes"][1]
    value["nodes"].append(op("relu", [0], [2]) | {"id": 1, "unknown": "X", "weight": "X"})
    value["output_ids"] = [1]
    for number in ("1e999", "9" * 5000):
        assert assert_agreement(json.dumps(value).replace('"X"', number).encode())
