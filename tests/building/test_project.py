"""A project from manifests to files: states, refusals, and that nothing is written on errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import called, run
from repository import ROOT
from sample_copies import files

PYPROJECT = '[tool.hatch.build.hooks.irpytorch]\npackage = "nets"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "models", tmp_path / "models")
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    return tmp_path


def test_committed_outputs_are_current() -> None:
    result = run(ROOT, "check")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_regen_twice_changes_nothing(project: Path) -> None:
    assert called(project, "regen").returncode == 0
    before = files(project)
    second = called(project, "regen")
    assert (second.returncode, second.stdout) == (0, "")
    assert files(project) == before
    assert called(project, "check").returncode == 0


def test_check_reports_a_hand_edit_with_a_diff(project: Path) -> None:
    called(project, "regen")
    module = project / "generated/nets/digits_mlp.py"
    module.write_text(module.read_text().replace("torch.relu", "torch.tanh"))
    result = called(project, "check")
    assert result.returncode == 1
    assert "+        v2 = torch.relu(v1)  # (N, 32)" in result.stdout
    assert "error[edited-by-hand]" in result.stderr


def test_a_removed_manifest_removes_its_module(project: Path) -> None:
    called(project, "regen")
    (project / "models/digits_wide.yaml").unlink()
    assert "error[orphaned]" in called(project, "check").stderr
    assert called(project, "regen").returncode == 0
    assert not (project / "generated/nets/digits_wide.safetensors").exists()


def test_a_file_that_is_not_ours_is_kept(project: Path) -> None:
    (project / "generated/nets").mkdir(parents=True)
    mine = project / "generated/nets/digits_mlp.py"
    mine.write_text("mine = True\n")
    result = called(project, "regen")
    assert result.returncode == 2
    assert "error[not-ours]" in result.stderr
    assert mine.read_text() == "mine = True\n"


def manifest(text: str) -> Callable[[Path], None]:
    def write(p: Path) -> None:
        (p / "models/digits_mlp.yaml").write_text(text)

    return write


def graph(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def edit(p: Path) -> None:
        file = p / "models/digits_mlp.ir.json"
        value = json.loads(file.read_text())
        change(value)
        file.write_text(json.dumps(value))

    return edit


def nodes(value: dict[str, object]) -> list[dict[str, object]]:
    found = value["nodes"]
    assert isinstance(found, list)
    return found


def text_change(old: str, new: str) -> Callable[[Path], None]:
    def edit(p: Path) -> None:
        file = p / "models/digits_mlp.ir.json"
        file.write_text(file.read_text().replace(old, new, 1))

    return edit


def cut(p: Path) -> None:
    file = p / "models/digits_mlp.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def empty(p: Path) -> None:
    shutil.rmtree(p / "models")
    (p / "models").mkdir()


PARAMS = "params: digits_mlp.safetensors\n"
MISTAKES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing file": (manifest("ir: nothing.json\n"), "digits_mlp.yaml:1:5: error[missing-file]"),
    "unknown key": (
        manifest("ir: digits_mlp.ir.json\nemit:\n  weigths: inline\n"),
        "digits_mlp.yaml:3:3: error[unknown-key]: unknown key `emit.weigths`; "
        "did you mean `weights`?",
    ),
    "bad indent": (manifest("ir: a\n  params: b\n"), "digits_mlp.yaml:2:9: error[bad-yaml]"),
    "wrong id": (graph(lambda v: nodes(v)[2].update(id=7)), "node 2 (relu): error[bad-id]"),
    "cycle": (graph(lambda v: nodes(v)[2].update(parents=[3])), "node 2 (relu): error[bad-parent]"),
    "unknown kind": (
        graph(lambda v: nodes(v)[2].update(kind="rellu")),
        "node 2: error[unknown-kind]: unknown kind `rellu`; did you mean `relu`?",
    ),
    "wrong shape": (
        graph(lambda v: nodes(v)[2].update(shape=[1, 5])),
        "node 2 (relu): error[shape-mismatch]: `shape` must be (1, 32)",
    ),
    "missing weight": (
        manifest("ir: digits_mlp.ir.json\n"),
        "node 1 (linear): error[missing-payload]: `weight` of shape (32, 64) is missing",
    ),
    "extra weight": (
        manifest("ir: digits_softmax.ir.json\nmodule: other\n" + PARAMS),
        "error[extra-payload]: the entry `linear_3_W` belongs to no node",
    ),
    "bad class name": (
        manifest("ir: digits_mlp.ir.json\nemit:\n  class_name: 'A(B):'\n"),
        "digits_mlp.yaml:3:15: error[bad-option]",
    ),
    "outside": (manifest("ir: ../../x.json\n"), "digits_mlp.yaml:1:5: error[outside-project]"),
    "duplicate module": (
        manifest("ir: digits_mlp.ir.json\nmodule: digits_cnn\n" + PARAMS),
        "error[duplicate-module]",
    ),
    "NaN": (text_change("64]", "NaN]"), "digits_mlp.ir.json:2:"),
    "truncated JSON": (text_change("]}\n", ""), "error[bad-json]"),
    "truncated store": (cut, "digits_mlp.safetensors: error[bad-params]"),
    "empty models": (
        empty,
        "error[no-manifests]: no file matches `models/*.yaml`; write one with `",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gets_one_clear_error(project: Path, name: str) -> None:
    called(project, "regen")
    change, message = MISTAKES[name]
    change(project)
    before = files(project)
    result = called(project, "regen")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert (result.returncode, result.stdout) == (2, "")
    assert files(project) == before
