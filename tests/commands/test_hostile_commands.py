"""Real processes over bad input: exit code 2, one error line, no traceback, nothing changed."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from repository import ROOT

from hatch_irpytorch.cli import main

posix = pytest.mark.skipif(os.name != "posix", reason="pipes, devices and links of POSIX")
LONG = "a" * 15_000
DEEP = "a/" * 7_000 + "b"
HUGE_NPY = b"\x93NUMPY\x01\x00v\x00" + (
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117) + b"\n"
)

BAD_NPY = {
    name: b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    for name, text in (
        ("key", b"{[]:1}"),
        ("open", b"{(\n"),
        ("quotes", b"'''\n"),
        ("indented", b"1\n  2\n 3"),
        ("signs", b"-" * 9_000 + b"1"),
    )
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "tests/sample_project/models", tmp_path / "models")
    (tmp_path / "pyproject.toml").write_text("[tool.hatch.build.hooks.irpytorch]\n")
    shutil.copy(ROOT / "tests/sample_project/models/affine.ir.json", tmp_path / "g.json")
    (tmp_path / "nets.py").write_text("from torch import nn\nnet = nn.Linear(4, 2)\n")
    (tmp_path / "x.onnx").write_bytes(b"\x08\x07")
    (tmp_path / "huge.npy").write_bytes(HUGE_NPY)
    (tmp_path / "objects.npy").write_bytes(HUGE_NPY.replace(b"'<f8'", b"'|O' "))
    (tmp_path / "cut.npy").write_bytes(HUGE_NPY[:30])
    np.savez(tmp_path / "several.npz", a=np.zeros(1), b=np.zeros(1))
    for name, data in BAD_NPY.items():
        (tmp_path / f"{name}.npy").write_bytes(data)
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w") as archive:
            archive.writestr("linear_1_W.npy", data)
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe")
        os.mkfifo(tmp_path / "pipe.safetensors")
        (tmp_path / "loop.json").symlink_to("loop.json")
        (tmp_path / "zero.json").symlink_to("/dev/zero")
        (tmp_path / "zero.safetensors").symlink_to("/dev/zero")
    return tmp_path


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        if path.is_file() and not path.is_symlink()
        else None
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def refused(folder: Path, *arguments: str, variables: dict[str, str] | None = None) -> str:
    """The one line on stderr."""
    before = snapshot(folder)
    result = subprocess.run(
        [sys.executable, "-m", "hatch_irpytorch", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(variables or {})},
    )
    assert result.returncode == 2, result
    assert result.stdout == "" and result.stderr.count("\n") == 1, result.stderr
    assert "error[" in result.stderr and len(result.stderr) <= 2001
    assert "Traceback" not in result.stderr and "error[internal]" not in result.stderr
    assert snapshot(folder) == before
    return result.stderr


CAPTURE = ("capture", "nets:net", "-o", "models/net", "--shape")
ONNX = ("import-onnx", "x.onnx", "-o", "models/net", "--bind")


@posix
@pytest.mark.parametrize(
    "arguments",
    [
        ("emit", "pipe"),
        ("emit", "/dev/zero"),
        ("emit", "zero.json"),
        ("emit", "loop.json"),
        ("emit", "."),
        ("emit", LONG),
        ("emit", DEEP),
        ("emit", "g.json/x"),
        ("emit", ""),
        ("emit", "g.json", "--params", "pipe"),
        ("emit", "g.json", "--params", "pipe.safetensors"),
        ("emit", "g.json", "--params", "zero.safetensors"),
        ("emit", "g.json", "--params", "loop.json"),
        ("emit", "g.json", "--params", LONG),
        ("emit", "g.json", "--params", LONG + ".safetensors"),
        ("emit", "g.json", "-o", LONG),
        ("emit", "g.json", "-o", DEEP),
        ("emit", "g.json", "-o", "a" * 253 + ".py"),
        ("emit", "g.json", "-o", "loop.json"),
        ("emit", "g.json", "-o", "loop.json/x.py"),
        ("emit", "g.json", "-o", "g.json"),
        ("emit", "g.json", "--dtype", LONG),
        ("emit", "g.json", "--class-name", LONG),
        ("emit", "g.json", "--class-name", "\x1b[31m\u202e"),
        ("emit", "g.json", "--weights", LONG),
        ("emit", "g.json", "--inline-limit", "9" * 10_000),
        ("emit", "g.json", "--inline-limit", "\u0663\u00b2"),
        ("emit", "g.json", "--weights", "safetensors", "-o", "/dev/null"),
        ("emit", "g.json", "--weights", "safetensors", "-o", "net.safetensors"),
        ("emit", "g.json", LONG),
        (LONG,),
        ("regen", LONG),
        ("regen", "--jobs", "9" * 5_000),
        ("regen", "--jobs", "\u00b2"),
        ("check", "--jobs", "-1"),
        ("export", "affine", "-o", LONG + ".json"),
        ("export", "affine", "-o", "net.json", "--state-dict", "pipe.safetensors"),
        ("export", "affine", "-o", "net.json", "--state-dict", "zero.safetensors"),
        ("export", "affine", "-o", "net.json", "--state-dict", LONG),
        ("export", LONG, "-o", "net.json"),
        ("capture", LONG, "--shape", "1", "-o", "models/net"),
        ("capture", "nets:net", "--shape", "1", "-o", LONG),
        ("capture", "nets:net", "--shape", "1", "-o", "g.json/net"),
        ("capture", "nets:net", "--shape", "1", "-o", ".."),
        (*CAPTURE, "1,,2"),
        (*CAPTURE, "1,-2"),
        (*CAPTURE, "9" * 5_000),
        (*CAPTURE, "1," * 5_000 + "1x"),
        (*CAPTURE, "\u00b2"),
        (*CAPTURE, "1000000,1000000"),
        (*CAPTURE, "1,4", "--state-dict", "pipe.safetensors"),
        (*CAPTURE, "1,4", "--state-dict", "zero.safetensors"),
        (*CAPTURE, "1,4", "--state-dict", LONG),
        (*CAPTURE, "1,4", "--seed", "9" * 30),
        (*CAPTURE, "1,4", "--seed", "9" * 5_000),
        (*ONNX, "x=pipe"),
        (*ONNX, "x=/dev/zero"),
        (*ONNX, "x=" + LONG),
        (*ONNX, "x=huge.npy"),
        (*ONNX, "x=objects.npy"),
        (*ONNX, "x=cut.npy"),
        (*ONNX, "x=several.npz"),
        (*ONNX, "x=g.json"),
        (*ONNX, "="),
        *((*ONNX, f"x={name}.npy") for name in BAD_NPY),
        *(("emit", "g.json", "--params", f"{name}.npz") for name in BAD_NPY),
    ],
    ids=lambda arguments: " ".join(word[:20] for word in arguments),
)
def test_bad_input_is_one_error(folder: Path, arguments: tuple[str, ...]) -> None:
    refused(folder, *arguments)


@posix
@pytest.mark.parametrize("command", ["regen", "check"])
@pytest.mark.parametrize(
    "text",
    [f"ir: {LONG}", f"ir: {DEEP}", "ir: loop/x", "ir: loop", "ir: /dev/zero", "ir: pipe", "ir: ."]
    + [f"ir: affine.ir.json\nparams: {value}" for value in (LONG, DEEP, "loop", "pipe", "zero")]
    + ['ir: "a\\0b"', f"ir: {'é' * 200}"],
    ids=lambda text: text[:30],
)
def test_bad_manifests_are_one_error(folder: Path, command: str, text: str) -> None:
    (folder / "models/loop").symlink_to("loop")
    (folder / "models/zero").symlink_to("/dev/zero")
    os.mkfifo(folder / "models/pipe")
    (folder / "models/affine.yaml").write_text(text)
    refused(folder, command)


@pytest.mark.parametrize("command", ["regen", "check"])
@pytest.mark.parametrize("name", BAD_NPY)
def test_an_array_that_is_none_names_its_file(folder: Path, command: str, name: str) -> None:
    shutil.copy(folder / f"{name}.npz", folder / "models/p.npz")
    (folder / "models/affine.yaml").write_text("ir: affine.ir.json\nparams: p.npz\n")
    told = refused(folder, command)
    assert told.startswith("models/p.npz: error[bad-params]: the member `linear_1_W.npy` is not")


def test_libraries_do_not_warn_on_stderr(folder: Path) -> None:
    """What numpy and others warn of would be a line that is no JSON."""
    (folder / "sitecustomize.py").write_text(
        "import numpy, warnings\nreal = numpy.empty\n"
        "def empty(*a, **k):\n    warnings.warn('mind', UserWarning)\n    return real(*a, **k)\n"
        "numpy.empty = empty\n"
    )
    np.savez(folder / "p.npz", linear_1_W=np.zeros((3, 2)), linear_1_b=np.zeros(3))
    command = [sys.executable, "-m", "hatch_irpytorch", "emit", "g.json", "--params", "p.npz"]
    variables = {**os.environ, "PYTHONPATH": str(folder)}
    result = subprocess.run(command, cwd=folder, capture_output=True, env=variables)
    assert (result.returncode, result.stderr) == (0, b"")


@posix
@pytest.mark.parametrize("kind", ["loop", "pipe", "zero", "folder", "nothing"])
def test_what_stands_for_a_manifest_is_one_error(folder: Path, kind: str) -> None:
    path = folder / "models/affine.yaml"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"loop": path.name, "zero": "/dev/zero", "nothing": "none"}[kind])
    refused(folder, "regen")


def test_no_folder_for_temporary_files_is_one_error(folder: Path) -> None:
    """Every candidate is made one that is not there, as on a machine where all are read-only."""
    (folder / "sitecustomize.py").write_text(
        "import tempfile\ntempfile._candidate_tempdir_list = lambda: ['/no/such/folder']\n"
    )
    told = refused(folder, *CAPTURE, "1,4", variables={"PYTHONPATH": str(folder)})
    assert "irpytorch capture: error[system]" in told and "TMPDIR" in told


def test_capture_without_torch_names_itself(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(
        "import importlib.util as util\nfound = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'torch' else found(name, *more)\n"
    )
    told = refused(folder, *CAPTURE, "1,4", variables={"PYTHONPATH": str(folder)})
    assert told.startswith("irpytorch capture: error[missing-torch]: capturing a module needs")


WORDS = st.one_of(
    st.sampled_from(["g.json", "-o", "--params", "--dtype", "--weights", "--", "-", "--json", "."]),
    st.text(max_size=20).map(lambda text: text.replace("\0", "")),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["emit", "export", "schema", "check"]), st.lists(WORDS, max_size=5))
def test_no_arguments_are_unforeseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: list[str]
) -> None:
    """In one process, for speed; what is written goes into a folder of the test."""
    monkeypatch.chdir(tmp_path)
    words = [word.replace("/", "") for word in words]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([command, *words])
    assert code in (0, 1, 2) and "Traceback" not in err.getvalue()
    assert code == 0 or "error" in err.getvalue()


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["format", "nodes", "id", "kind", "shape"]), inner)
    ),
    max_leaves=10,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), NESTED.map(lambda value: json.dumps(value).encode())))
def test_no_content_is_unforeseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.json").write_bytes(data)
    (tmp_path / "p.safetensors").write_bytes(data)
    (tmp_path / "ok.json").write_bytes(
        (ROOT / "tests/sample_project/models/affine.ir.json").read_bytes()
    )
    for words in (["g.json"], ["ok.json", "--params", "p.safetensors"]):
        err = io.StringIO()
        with redirect_stdout(io.StringIO()), redirect_stderr(err):
            code = main(["emit", *words])
        assert code == 2 and "error[" in err.getvalue() and "[internal]" not in err.getvalue()
