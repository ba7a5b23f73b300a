"""A pipe, a device or a folder in place of a file is an error at once, and never a wait."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

from hatch_irpytorch.errors import IRPyTorchError
from hatch_irpytorch.source.reading import read_bytes, require_file

SECONDS = 60
PROJECT_FILES = (
    "pyproject.toml",
    "models/affine.yaml",
    "models/affine.ir.json",
    "models/affine.safetensors",
    "generated/nets/affine.py",
    "generated/nets/__init__.py",
    "generated/nets/py.typed",
    "generated/irpytorch.lock/affine.json",
    "generated/irpytorch.lock.json",
    "tests/golden/affine.json",
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "tests/sample_project", folder)
    (folder / "models/affine.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    manifest = "ir: affine.ir.json\nparams: affine.safetensors\n"
    (folder / "models/affine.yaml").write_text(manifest)
    assert run(folder, "regen")[0] == 0
    return folder


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "hatch_irpytorch", *arguments]
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    return result.returncode, result.stderr


def put(path: Path, kind: str) -> None:
    """Something that is no file, in place of whatever stood there."""
    if path.exists():
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("command", ["regen", "check"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("path", PROJECT_FILES)
def test_a_file_of_a_project(project: Path, path: str, kind: str, command: str) -> None:
    put(project / path, kind)
    code, stderr = run(project, command)
    assert code in (1, 2) and Path(path).name in stderr and "Traceback" not in stderr


GRAPH = str(ROOT / "models/digits_mlp.ir.json")
STORE = str(ROOT / "models/digits_mlp.safetensors")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("emit", "X"),
        ("emit", GRAPH, "--params", "X.safetensors"),
        ("emit", GRAPH, "--params", "X.npz"),
        ("emit", GRAPH, "--params", "X.json"),
        ("import-onnx", "X", "-o", "net"),
    ],
)
def test_a_file_of_a_command(tmp_path: Path, kind: str, arguments: tuple[str, ...]) -> None:
    named = [word for word in arguments if word.startswith("X")]
    put(tmp_path / named[0], kind)
    code, stderr = run(tmp_path, *arguments)
    assert code == 2 and named[0] in stderr and "Traceback" not in stderr


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_an_export_would_replace(project: Path, kind: str) -> None:
    """`--force` is for files."""
    put(project / "back.json", kind)
    before = (project / "back.json").lstat().st_mode
    code, stderr = run(project, "export", "affine", "-o", "back.json", "--force")
    assert code == 2 and "back.json: error[" in stderr
    assert (project / "back.json").lstat().st_mode == before


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_stands_there_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    put(path, kind)
    for read in (read_bytes, require_file):
        with pytest.raises(IRPyTorchError) as caught:
            read(path, "x")
        assert (
            str(caught.value) == f"x: error[missing-file]: the file cannot be read: it is a {kind}"
        )


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("wb") as stream:
        stream.truncate(10 << 40)
    for read in (read_bytes, lambda path, file: require_file(path, file, 1 << 33)):
        with pytest.raises(IRPyTorchError) as caught:
            read(path, "x")
        assert [problem.code for problem in caught.value.problems] == ["too-large"]
