"""The command line: help, emit, schema, exit codes."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run
from repository import ROOT

GRAPH = ROOT / "tests/sample_project/models/affine.ir.json"
COMMANDS = ("regen", "check", "verify", "emit", "capture", "import-onnx", "export", "schema")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(name: str) -> None:
    result = run(ROOT, name, "--help")
    assert result.returncode == 0
    assert f"example: irpytorch {name}" in result.stdout


def test_the_script_is_installed() -> None:
    script = Path(sys.executable).with_name("irpytorch")
    result = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("irpytorch 0.")


def test_emit_to_standard_output(tmp_path: Path) -> None:
    result = run(tmp_path, "emit", str(GRAPH))
    assert result.returncode == 0 and result.stderr == ""
    assert "class ExportedIRModel(nn.Module):" in result.stdout
    compile(result.stdout, "module.py", "exec")


def test_emit_takes_every_option(tmp_path: Path) -> None:
    flags = "--no-training-skeleton --no-learnable-consts --no-compress-broadcast-params"
    options = f"--class-name Net --dtype torch.float64 --weights safetensors {flags} -o net.py"
    assert run(tmp_path, "emit", str(GRAPH), *shlex.split(options)).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.py", "net.safetensors"]
    text = (tmp_path / "net.py").read_text()
    assert "class Net(" in text and "__main__" not in text
    assert 'with_name("net.safetensors")' in text
    program = "import torch, net; print(net.Net()(torch.ones(1, 2).double()).tolist())"
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout == "[[1.0, 0.0, 1.5]]\n"


def test_emit_reads_a_parameter_file(tmp_path: Path) -> None:
    value = json.loads(GRAPH.read_text())
    bias = value["nodes"][1].pop("bias")
    (tmp_path / "graph.json").write_text(json.dumps(value))
    (tmp_path / "params.json").write_text(json.dumps({"linear_1_b": [b + 1 for b in bias]}))
    assert run(tmp_path, "emit", "graph.json").returncode == 2
    result = run(tmp_path, "emit", "graph.json", "--params", "params.json")
    assert 'LINEAR_1_B = "1.0 1.25 0.5"' in result.stdout


def test_emit_replaces_its_own_file_only(tmp_path: Path) -> None:
    mine = tmp_path / "net.py"
    mine.write_text("mine = True\n")
    result = run(tmp_path, "emit", str(GRAPH), "-o", "net.py")
    assert result.returncode == 2 and "net.py: error[not-ours]" in result.stderr
    assert mine.read_text() == "mine = True\n"
    assert run(tmp_path, "emit", str(GRAPH), "-o", "other.py").returncode == 0
    assert run(tmp_path, "emit", str(GRAPH), "-o", "other.py").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--dtype", "float23"], "bad-option"),
        (["--class-name", "a b"], "bad-name"),
        (["--weights", "safetensors"], "bad-option"),
        (["--weights", "safetensors", "-o", 'a"b.py'], "bad-name"),
        (["--params", "none.npz"], "missing-file"),
        (["-o", "no/such\0/file.py"], "cannot-write"),
    ],
)
def test_emit_refuses(tmp_path: Path, arguments: list[str], code: str) -> None:
    if any("\0" in argument for argument in arguments):
        (tmp_path / "file").write_text("")
        arguments = ["-o", "file/net.py"]
    result = run(tmp_path, "emit", str(GRAPH), *arguments)
    assert result.returncode == 2
    assert f"error[{code}]" in result.stderr and "Traceback" not in result.stderr


def test_schema_is_json(tmp_path: Path) -> None:
    assert json.loads(run(tmp_path, "schema").stdout)["required"] == ["ir"]


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["emit"], ["check", "--fast"]])
def test_wrong_usage_ends_with_2(tmp_path: Path, arguments: list[str]) -> None:
    assert run(tmp_path, *arguments).returncode == 2


@pytest.mark.parametrize("command", ["regen", "check", "verify"])
def test_a_folder_that_is_no_project(tmp_path: Path, command: str) -> None:
    result = run(tmp_path, command)
    assert result.returncode == 2
    assert "pyproject.toml: error[missing-file]" in result.stderr
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert "error[bad-project]" in run(tmp_path, command).stderr
    (tmp_path / "pyproject.toml").write_text("[project\n")
    assert "error[bad-project]" in run(tmp_path, command).stderr


def test_a_reader_that_stops_early_is_no_error() -> None:
    graph = shlex.quote(str(ROOT / "models/digits_softmax.ir.json"))
    command = f"{shlex.quote(sys.executable)} -m hatch_irpytorch emit {graph} | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert result.stdout.startswith("# Code generated") and result.stderr == ""
