"""Trained weights are never lost, and never taken for those of another graph."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import called
from documents import const, document, op, read

from hatch_irpytorch.ir.digest import graph_digest
from hatch_irpytorch.ir.read import build_model
from hatch_irpytorch.ir.write import document_text

PYPROJECT = '[tool.hatch.build.hooks.irpytorch]\npackage = "nets"\n'
NET = """
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 4)
        self.two = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        {first}
        {second}
        return a + 2 * b
"""
ONE, TWO = "a = self.one(x).tanh()", "b = self.two(x).tanh()"
SAVE = """
import sys
sys.path.insert(0, "generated")
from nets.net import Net, make_optimizer, save_weights, train_step
import torch
model = Net()
opt = make_optimizer(model)
for step in range(3):
    train_step(model, torch.randn(1, 4), torch.randn(1, 4), opt)
save_weights(model, "trained.safetensors")
"""
CAPTURE = ("capture", "net:Net", "--shape", "1,4", "-o", "models/net")
EXPORT = ("export", "net", "--state-dict", "trained.safetensors", "-o", "out.safetensors")


def write_net(folder: Path, first: str, second: str) -> None:
    (folder / "net.py").write_text(NET.format(first=first, second=second))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A captured net whose generated module was trained in a process of its own."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "models").mkdir()
    write_net(folder, ONE, TWO)
    for words in (CAPTURE, ("regen",)):
        assert called(folder, *words).returncode == 0
    subprocess.run([sys.executable, "-c", SAVE], cwd=folder, check=True)
    return folder


@pytest.fixture
def project(tmp_path: Path, trained: Path) -> Path:
    caches = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(trained, tmp_path / "project", ignore=caches))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "models").iterdir()}


def test_trained_weights_name_their_graph_and_go_back(project: Path) -> None:
    from safetensors import safe_open

    with safe_open(project / "trained.safetensors", framework="np") as stream:
        metadata = stream.metadata()
    (value,) = metadata.values()
    assert list(metadata) == ["hatch-irpytorch"] and value.startswith("trained; graph sha256:")
    result = called(project, *EXPORT)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("first", "second"),
    [(TWO, ONE), (ONE.replace("tanh", "sigmoid"), TWO), (ONE, "b = self.two(x).tanh().tanh()")],
    ids=["swapped", "another op", "another node"],
)
def test_weights_of_another_graph_are_refused(project: Path, first: str, second: str) -> None:
    write_net(project, first, second)
    assert called(project, *CAPTURE).returncode == 0
    result = called(project, *EXPORT)
    assert result.returncode == 2
    assert "trained.safetensors: error[other-graph]" in result.stderr
    assert not (project / "out.safetensors").exists()
    store = project / "models/net.safetensors"
    before = store.read_bytes()
    forced = called(project, *EXPORT[:-1], "models/net.safetensors", "--force")
    assert forced.returncode == 2 and "error[other-graph]" in forced.stderr
    assert store.read_bytes() == before
    told = called(project, *EXPORT, "--other-graph")
    if first == TWO:
        assert told.returncode == 0
        assert "note[other-graph]: the parameters are those of another graph" in told.stderr


def test_equal_origins_tell_nothing_apart(project: Path) -> None:
    graph = project / "models/net.ir.json"
    graph.write_text(graph.read_text().replace('"one"', '"both"').replace('"two"', '"both"'))
    from safetensors.numpy import load_file, save_file

    save_file(load_file(project / "trained.safetensors"), project / "trained.safetensors")
    result = called(project, *EXPORT)
    assert result.returncode == 0 and "no origin tells them apart" in result.stderr


def test_weights_that_name_no_graph_get_a_note(project: Path) -> None:
    from safetensors.numpy import load_file, save_file

    save_file(load_file(project / "trained.safetensors"), project / "trained.safetensors")
    result = called(project, *EXPORT)
    assert result.returncode == 0
    assert "note[other-graph]: the file does not say which graph" in result.stderr


def test_equal_nodes_without_origin_are_told(project: Path) -> None:
    """Their digest is the same when they are swapped, so somebody has to say it."""
    from safetensors.numpy import load_file, save_file

    graph = project / "models/net.ir.json"
    text = graph.read_text()
    document = json.loads(text)
    for node in document["nodes"]:
        node.pop("debug_target", None)
    graph.write_text(json.dumps(document))
    save_file(load_file(project / "trained.safetensors"), project / "trained.safetensors")
    result = called(project, *EXPORT)
    assert result.returncode == 0 and "are alike and no origin tells them apart" in result.stderr


@pytest.mark.parametrize("change", ["params", "graph", "removed graph", "foreign"])
def test_a_capture_replaces_only_what_a_capture_wrote(project: Path, change: str) -> None:
    models = project / "models"
    assert called(project, *CAPTURE).returncode == 0
    if change == "params":
        shutil.copy(project / "trained.safetensors", models / "net.safetensors")
    elif change == "graph":
        text = (models / "net.ir.json").read_text()
        (models / "net.ir.json").write_text(text.replace('"tanh"', '"sigmoid"', 1))
    elif change == "removed graph":
        (models / "net.ir.json").unlink()
    else:
        (models / "net.ir.json").write_text('{"producer": "hatch-irpytorch"}')
    before = files(project)
    result = called(project, *CAPTURE)
    assert result.returncode == 2 and "error[not-ours]" in result.stderr
    assert "--force" in result.stderr and files(project) == before
    assert called(project, *CAPTURE, "--force").returncode == 0
    assert files(project) != before
    assert called(project, *CAPTURE).returncode == 0


def test_another_checkout_s_line_ends_are_no_edit(project: Path) -> None:
    graph = project / "models/net.ir.json"
    graph.write_bytes(graph.read_bytes().replace(b"\n", b"\r\n"))
    assert called(project, *CAPTURE).returncode == 0


@pytest.mark.parametrize("name", ["net.ir.json", "net.safetensors", "net.yaml"])
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_capture_writes_through_no_link(project: Path, name: str, force: tuple[str, ...]) -> None:
    target = project / "elsewhere"
    (project / "models" / name).rename(target)
    (project / "models" / name).symlink_to(target)
    before = target.read_bytes()
    result = called(project, *CAPTURE, *force)
    assert result.returncode == 2 and "error[not-ours]" in result.stderr
    assert target.read_bytes() == before


def test_an_onnx_import_has_the_same_rule(project: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    shape = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("x", "y")]
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph([node], "g", shape[:1], shape[1:])
    onnx.save(helper.make_model(graph), project / "net.onnx")
    words = ("import-onnx", "net.onnx", "-o", "models/net")
    shutil.copy(project / "trained.safetensors", project / "models/net.safetensors")
    before = files(project)
    assert called(project, *words).returncode == 2
    assert files(project) == before
    assert called(project, *words, "--force").returncode == 0


def test_the_digest_is_of_the_graph_and_not_of_its_numbers() -> None:
    def digest(value: dict[str, object]) -> str:
        return graph_digest(read(value).graph)

    payload = {"weight": [[1.0, 2.0], [3.0, 4.0]], "bias": [0.5, 0.5]}
    base = document([1, 2], op("linear", [0], [1, 2], **payload), op("relu", [1], [1, 2]))
    assert digest(base) == digest(json.loads(json.dumps(base)))
    other = json.loads(json.dumps(base))
    other["nodes"][1]["bias"] = [7.0, 8.0]
    assert digest(other) == digest(base)
    named = json.loads(json.dumps(base))
    named["nodes"][2]["debug_target"] = "net.act"
    renamed = json.loads(json.dumps(base))
    renamed["nodes"][2]["kind"] = "tanh"
    assert len({digest(base), digest(named), digest(renamed)}) == 3


def test_a_graph_that_was_written_and_read_has_one_digest() -> None:
    model = read(document([2, 0], const([3], [1.0, -0.5, 0.0]), op("inv", [1], [3]), outputs=[2]))
    again = build_model(document_text(model.graph, model.params).encode(), "g.ir.json")
    assert graph_digest(again.graph) == graph_digest(model.graph)
