"""ParamStores: each kind of file, and what does not fit. torchlean.ir.v1: 4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from documents import (
    CONV,
    LINEAR,
    Document,
    X,
    codes,
    const,
    document,
    module,
    op,
    problems,
    read,
    source,
)

from hatch_irpytorch import IRPyTorchError, evaluate, read_model
from hatch_irpytorch.ir.write import write_document


def empty_linear() -> Document:
    return document(
        [3, 2], op("linear", [0], [3, 3]), {"kind": "const", "shape": []}, op("sum", [1], [])
    )


def write_store(folder: Path, ending: str, arrays: dict[str, Any]) -> Path:
    path = folder / f"params{ending}"
    if ending == ".npz":
        np.savez(path, **arrays)
    elif ending == ".json":
        path.write_text(json.dumps({key: np.asarray(a).tolist() for key, a in arrays.items()}))
    else:
        from safetensors.numpy import save_file

        save_file({key: np.ascontiguousarray(a) for key, a in arrays.items()}, path)
    return path


def graph_file(folder: Path, value: Document) -> Path:
    path = folder / "graph.json"
    path.write_text(json.dumps(value))
    return path


def named(weight: Any = LINEAR["weight"]) -> dict[str, Any]:
    return {"linear_1_W": np.array(weight), "linear_1_b": np.array(LINEAR["bias"])}


ENDINGS = [".npz", ".json", ".safetensors"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_store_gives_the_numbers_of_the_inline_payload(tmp_path: Path, ending: str) -> None:
    graph = graph_file(tmp_path, empty_linear())
    model = read_model(graph, write_store(tmp_path, ending, named()))
    inline = read(document([3, 2], op("linear", [0], [3, 3], **LINEAR), op("sum", [1], [])))
    np.testing.assert_array_equal(evaluate(model, X)[0], evaluate(inline, X)[0])


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"linear_1_W": None}, "missing-payload", "linear_1_W"),
        ({"linear_9_W": [1.0]}, "extra-payload", "linear_9_W"),
        ({"linear_1_W": np.ones((2, 3))}, "shape-mismatch", "(3, 2)"),
    ],
)
def test_a_store_that_does_not_fit(
    tmp_path: Path, ending: str, change: dict[str, Any], code: str, words: str
) -> None:
    arrays = {name: a for name, a in {**named(), **change}.items() if a is not None}
    store = write_store(tmp_path, ending, arrays)
    with pytest.raises(IRPyTorchError, match=code) as caught:
        read_model(graph_file(tmp_path, empty_linear()), store)
    assert words in str(caught.value)


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_a_store_of_integers_is_refused(tmp_path: Path, ending: str) -> None:
    store = write_store(tmp_path, ending, named(np.ones((3, 2), dtype=np.int64)))
    with pytest.raises(IRPyTorchError, match=r"int64|i64"):
        read_model(graph_file(tmp_path, empty_linear()), store)


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", linear_1_W=np.array([{"a": 1}], dtype=object))
    with pytest.raises(IRPyTorchError, match="never loaded"):
        read_model(graph_file(tmp_path, empty_linear()), tmp_path / "p.npz")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_store_that_is_cut_off(tmp_path: Path, ending: str) -> None:
    store = write_store(tmp_path, ending, named())
    store.write_bytes(store.read_bytes()[:-20])
    with pytest.raises(IRPyTorchError, match=r"bad-params|bad-json"):
        read_model(graph_file(tmp_path, empty_linear()), store)


def test_a_store_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "p.pt").write_bytes(b"PK")
    with pytest.raises(IRPyTorchError, match="bad-params"):
        read_model(graph_file(tmp_path, empty_linear()), tmp_path / "p.pt")


def test_ragged_json_is_refused(tmp_path: Path) -> None:
    text = '{"linear_1_W": [[1.0, 0.0], [0.5], [0.0, 2.0]], "linear_1_b": [0, 0, 0]}'
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(IRPyTorchError, match="linear_1_W"):
        read_model(graph_file(tmp_path, empty_linear()), tmp_path / "p.json")


def test_an_entry_of_the_file_takes_the_place_of_the_inline_payload(tmp_path: Path) -> None:
    value = document([3, 2], op("linear", [0], [3, 3], **LINEAR))
    store = write_store(tmp_path, ".npz", {"linear_1_b": np.zeros(3)})
    model = read_model(graph_file(tmp_path, value), store)
    assert model.params[1, "bias"].tolist() == [0.0, 0.0, 0.0]
    assert model.params[1, "weight"].tolist() == LINEAR["weight"]


def test_a_packed_and_a_dense_grouped_kernel_are_the_same(tmp_path: Path) -> None:
    fields = {**CONV, "groups": 2, "in_channels": 4}
    graph = graph_file(tmp_path, document([4, 3], op("conv", [0], [2, 2], **fields)))
    packed = np.arange(8.0).reshape(2, 2, 2)
    dense = np.zeros((2, 4, 2))
    dense[0, :2], dense[1, 2:] = packed[0], packed[1]
    x = np.arange(12.0).reshape(4, 3)
    results = []
    for i, kernel in enumerate((packed, dense)):
        (tmp_path / str(i)).mkdir()
        arrays = {"conv_1_kernel": kernel, "conv_1_bias": np.ones(2)}
        model = read_model(graph, write_store(tmp_path / str(i), ".npz", arrays))
        assert model.params[1, "weight"].tolist() == packed.tolist()
        results.append(evaluate(model, x)[0])
    np.testing.assert_array_equal(results[0], results[1])


def test_nested_const_values_are_refused_with_a_hint() -> None:
    value = document([2, 2], {"kind": "const", "shape": [2, 2], "values": [[1, 2], [3, 4]]})
    (problem,) = problems(value)
    assert problem.code == "bad-payload" and "flat" in problem.hint


def test_a_dead_node_may_lack_its_payload() -> None:
    value = document([3, 2], op("linear", [0], [3, 3]), op("relu", [0], [3, 2]))
    assert codes(value) == []
    assert "linear" not in source(value)


# Writing back


def test_a_written_document_is_read_as_the_same_model() -> None:
    value = document(
        [2, 3, 4],
        op("reduce_mean", [0], [1, 3, 1], axes=[0, 2], keepdim=True),
        const([1, 3, 1], [[[1.0], [2.0], [3.0]]]),
        op("add", [1, 2], [1, 3, 1]),
    )
    model = read(value)
    again = read(write_document(model.graph, model.params))
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    np.testing.assert_array_equal(evaluate(again, x)[0], evaluate(model, x)[0])
    assert [node.op for node in again.graph.nodes] == [node.op for node in model.graph.nodes]


def test_a_module_is_loaded_once_and_keeps_no_input() -> None:
    loaded = module(source(document([2], op("relu", [0], [2]))))
    first = loaded(torch.tensor([1.0, -1.0]))
    loaded(torch.tensor([5.0, 5.0]))
    assert first.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("large", ["1e999", "1" + "0" * 400])
def test_numbers_beyond_binary64_are_told_in_their_turn(large: str) -> None:
    fields = {"weight": [[1.0, 2.0]], "bias": [0.5], "in_dim": 2, "out_dim": 1}
    first = op("linear", [0], [1, 1], **fields)
    second = op("linear", [0], [1, 1], **{**fields, "bias": [0.5, 0.5]})
    value = document([1, 2], first, second, op("add", [1, 2], [1, 1]))
    text = json.dumps(value).replace("2.0]]", f"{large}]]", 1)
    found = [(problem.place.node, problem.field) for problem in problems(text.encode())]
    assert found == [(1, "weight"), (2, "bias")]


def test_a_sum_beyond_binary64_is_no_problem() -> None:
    value = document([1, 2], const([1, 2], [1.5e308, 1.5e308]), op("add", [0, 1], [1, 2]))
    assert problems(value) == ()
