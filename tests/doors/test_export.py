"""Graphs with their payload, and ParamStores, as the Lean side reads them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES
from captured_networks import captured
from closeness import EXACT
from command_line import called
from documents import CONV, const, document, namespace, op, read
from hypothesis import HealthCheck, given, settings
from random_graphs import RandomGraph, random_graphs
from repository import ROOT
from safetensors.numpy import load_file, save_file
from strict_reader import RULES, RefusedError
from strict_reader import read as read_strictly

from hatch_irpytorch import EmitOptions, IRPyTorchError, Model, emit_module, evaluate, read_model
from hatch_irpytorch.build.export import exported_json, exported_store
from hatch_irpytorch.build.upstream import REFUSED, upstream_notes
from hatch_irpytorch.ir.ops import OPS
from hatch_irpytorch.ir.params import StoreFile
from hatch_irpytorch.ir.read import build_model
from hatch_irpytorch.ir.stores import Entry
from hatch_irpytorch.manifest import read_manifest

MODELS = sorted(path.stem for path in (ROOT / "models").glob("*.yaml"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "models", tmp_path / "models")
    (tmp_path / "pyproject.toml").write_text("[tool.hatch.build.hooks.irpytorch]\n")
    return tmp_path


def load(name: str) -> Model:
    manifest = read_manifest((ROOT / f"models/{name}.yaml").read_bytes(), f"models/{name}.yaml")
    params = None if manifest.params is None else ROOT / "models" / manifest.params
    return read_model(ROOT / "models" / manifest.ir, params)


def same_numbers(a: Model, b: Model) -> bool:
    """The same outputs, to the bit, for the input that the golden files use too."""
    x = np.linspace(-2.0, 2.0, int(np.prod(a.graph.input_shape))).reshape(a.graph.input_shape)
    pairs = zip(evaluate(a, x), evaluate(b, x), strict=True)
    return all(np.array_equal(one, two, equal_nan=True) for one, two in pairs)


def test_the_strict_reader_knows_every_op_with_a_json_form() -> None:
    assert {op.tag for op in OPS} - set(RULES) == {"hard_masked_softmax"}


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_model_is_read_strictly_and_means_the_same(name: str) -> None:
    model = load(name)
    data = exported_json(model)
    read_strictly(data.decode())
    again = build_model(data, "exported.ir.json")
    assert [node.op.tag for node in again.graph.nodes] == [n.op.tag for n in model.graph.nodes]
    assert same_numbers(model, again)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_exported_capture_is_read_strictly(name: str) -> None:
    _, _, model = captured(name)
    read_strictly(exported_json(model).decode())


def test_exported_random_graphs_are_read_strictly() -> None:
    seen: set[str] = set()

    @settings(
        max_examples=200, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(random_graphs())
    def check(case: RandomGraph) -> None:
        model = build_model(json.dumps(case.document).encode(), "graph.json", case.store)
        try:
            data = exported_json(model)
        except IRPyTorchError as error:
            assert {p.code for p in error.problems} <= {"not-finite", "missing-payload"}
            return
        if any(node.op.tag == REFUSED for node in model.graph.nodes):
            with pytest.raises(RefusedError, match="hard_masked_softmax"):
                read_strictly(data.decode())
            return
        read_strictly(data.decode())
        again = build_model(data, "again.json")
        assert exported_json(again) == data
        seen.update(node.op.tag for node in model.graph.nodes)

    check()
    assert len(seen) > len(EXACT)


def test_a_layer_norm_without_payload_gets_the_one_it_means() -> None:
    model = read(document([2, 3], op("layernorm", [0], [2, 3], axis=1)))
    node = read_strictly(exported_json(model).decode())["nodes"][1]
    assert (node["gamma"], node["beta"], node["eps"]) == ([1.0] * 3, [0.0] * 3, 1e-05)


def test_a_store_has_full_shapes() -> None:
    """Compressed vectors and packed kernels come back expanded, to the bit."""
    rows = const([4, 3], [0.1, 0.2, 0.3])
    geometry = {**CONV, "groups": 2, "in_channels": 4, "out_channels": 4}
    graph = document(
        [4, 3], op("add", [0, 2], [4, 3]), op("conv", [1], [4, 2], **geometry), outputs=[3]
    )
    graph["nodes"] = [graph["nodes"][0], rows | {"id": 1, "parents": []}]
    graph["nodes"] += [op("add", [0, 1], [4, 3]) | {"id": 2}]
    graph["nodes"] += [op("conv", [2], [4, 2], **geometry) | {"id": 3}]
    packed = np.arange(16, dtype=np.float32).reshape(4, 2, 2)
    arrays = {"conv_3_kernel": packed, "conv_3_bias": np.zeros(4, dtype=np.float32)}
    entries = {
        name: Entry(array.shape, "float32", lambda array=array: array.astype(np.float64))  # type: ignore[misc]
        for name, array in arrays.items()
    }
    model = read(graph, StoreFile("small.safetensors", entries))
    module = namespace(emit_module(model, EmitOptions()).source)["ExportedIRModel"]()
    state = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
    assert {name: array.shape for name, array in state.items()} == {
        "const_1_vec": (3,),
        "conv_3_kernel": (4, 2, 2),
        "conv_3_bias": (4,),
    }
    from safetensors.numpy import load as load_bytes

    stored = load_bytes(bytes(exported_store(model)))
    assert {name: array.shape for name, array in stored.items()} == {
        "const_1": (4, 3),
        "conv_3_kernel": (4, 4, 2),
        "conv_3_bias": (4,),
    }
    dense = stored["conv_3_kernel"]
    np.testing.assert_array_equal(dense[:2, :2], packed[:2])
    np.testing.assert_array_equal(dense[2:, 2:], packed[2:])
    assert not dense[:2, 2:].any() and not dense[2:, :2].any()
    assert stored["const_1"].dtype == np.float64 and dense.dtype == np.float32


def test_the_command_writes_a_state_dict_as_both(project: Path) -> None:
    state = load_file(project / "models/digits_mlp.safetensors")
    changed = {name: array + np.float32(0.5) for name, array in state.items()}
    save_file(changed, project / "trained.safetensors")
    for output in ("out.ir.json", "out.safetensors"):
        given = ("--state-dict", "trained.safetensors", "-o", output)
        result = called(project, "export", "digits_mlp", *given)
        assert (result.returncode, result.stdout) == (0, f"{output}\n")
        (note,) = result.stderr.splitlines()
        assert note.startswith("trained.safetensors: note[other-graph]: the file does not say")
    stored = load_file(project / "out.safetensors")
    assert all(np.array_equal(stored[name], changed[name]) for name in changed)
    inside = read_model(project / "out.ir.json")
    outside = read_model(project / "models/digits_mlp.ir.json", project / "trained.safetensors")
    assert same_numbers(inside, outside)


def test_what_exists_is_replaced_only_when_told(project: Path) -> None:
    target = project / "models/digits_mlp.safetensors"
    before = target.read_bytes()
    arguments = ("export", "digits_mlp", "-o", "models/digits_mlp.safetensors")
    result = called(project, *arguments)
    assert result.returncode == 2 and target.read_bytes() == before
    assert result.stderr == (
        "models/digits_mlp.safetensors: error[not-ours]: the file exists; "
        "choose another name, or replace it with `--force`\n"
    )
    assert called(project, *arguments, "--force").returncode == 0
    assert load_file(target).keys() == load_file(ROOT / "models/digits_mlp.safetensors").keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digits_mlp", "-o", "out.txt"), r"--output: error\[bad-option\]: .*`\.safetensors`"),
        (("digits_mpl", "-o", "out.json"), r"error\[unknown-module\]: .*did you mean `digits_mlp`"),
        (
            ("digits_mlp", "--state-dict", "models/digits_cnn.safetensors", "-o", "out.json"),
            r"node 1 \(linear\): error\[missing-payload\]",
        ),
        (
            ("digits_mlp", "--state-dict", "none.safetensors", "-o", "out.json"),
            r"none\.safetensors: error\[missing-file\]",
        ),
    ],
)
def test_bad_exports_change_nothing(
    project: Path, arguments: tuple[str, ...], message: str
) -> None:
    before = sorted(project.rglob("*"))
    result = called(project, "export", *arguments)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert re.search(message, result.stderr), result.stderr
    assert sorted(project.rglob("*")) == before


def test_what_json_cannot_carry_is_an_error_of_its_own() -> None:
    entries = {"const_1": Entry((2,), "float64", lambda: np.array([1.0, np.inf]))}
    graph = document([2], {"kind": "const", "shape": [2]}, op("add", [0, 1], [2]))
    model = read(graph, StoreFile("store.npz", entries))
    with pytest.raises(IRPyTorchError, match=r"node 1 \(const\): error\[not-finite\]"):
        exported_json(model)


def test_an_unused_node_without_payload_is_an_error_of_its_own() -> None:
    graph = document([2], op("linear", [0], [3]), op("relu", [0], [2]), outputs=[2])
    with pytest.raises(IRPyTorchError, match=r"node 1 \(linear\): error\[missing-payload\]"):
        exported_json(read(graph))


def test_what_upstream_cannot_read_is_noted() -> None:
    mask = {"shape": [2], "allowed": [True, False]}
    model = read(document([2], op("hard_masked_softmax", [0], [2], mask=mask)))
    (note,) = upstream_notes(model)
    assert str(note).startswith("graph.json: node 1 (hard_masked_softmax): error[unsupported]")


def test_what_upstream_passes_over_is_noted_by_field() -> None:
    frozen = {"learnable": {"bias": False}}
    arrays = {"weight": [[1.0, 0.0], [0.0, 1.0]], "bias": [0.0, -0.0]}
    value = document(
        [2],
        const([2], 1.0) | {"learnable": False},
        op("add", [0, 1], [2]),
        op("linear", [2], [2], **arrays, **frozen),
        op("linear", [3], [2], **arrays),
        op("linear", [4], [2], **arrays, **frozen),
    )
    value["nodes"][0]["integers"] = 7
    assert [note.message.rpartition(" over ")[2] for note in upstream_notes(read(value))] == [
        "`learnable` (nodes 1, 3, 5)",
        "`integers` (nodes 0)",
        "the sign of -0.0 (nodes 3-5)",
    ]
    assert upstream_notes(read(document([2], op("relu", [0], [2])))) == ()


def test_torch_saves_what_the_command_reads(project: Path) -> None:
    """The state dict of the generated module is a ParamStore as it stands."""
    from safetensors.torch import save_file as save_torch

    model = load("digits_cnn")
    module = namespace(emit_module(model, EmitOptions()).source)["ExportedIRModel"]()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2.0)
    state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    save_torch(state, project / "trained.safetensors")
    given = ("--state-dict", "trained.safetensors", "-o", "out.ir.json")
    assert called(project, "export", "digits_cnn", *given).returncode == 0
    again = read_model(project / "out.ir.json")
    for (key, array), other in zip(model.params.items(), again.params.values(), strict=True):
        factor = 1.0 if key[1] in ("mean", "var") else 2.0
        np.testing.assert_array_equal(array * factor, other)
