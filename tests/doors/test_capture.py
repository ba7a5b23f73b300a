"""`irpytorch capture`: files, refusals, what stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from command_line import called, run

from hatch_irpytorch import evaluate, read_model

NETS = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, padding=1)
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        return self.head(torch.relu(self.stem(x)).flatten(1))


class Bad(nn.Module):
    def forward(self, x):
        y = torch.lgamma(x)
        z = torch.sort(x).values
        return y + z + torch.special.i0(x)


class Branches(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


class Pair(nn.Module):
    def forward(self, x, y):
        return x + y


def wide():
    return nn.Sequential(nn.Linear(400, 400), nn.Linear(400, 2))


def double():
    return nn.Linear(4, 2).double()


ready = nn.Linear(4, 2)
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "models").mkdir()
    (tmp_path / "pyproject.toml").write_text("[tool.hatch.build.hooks.irpytorch]\n")
    return tmp_path


def capture(
    folder: Path,
    name: str,
    shape: str,
    *more: str,
    by: Callable[..., CompletedProcess[str]] = called,
) -> CompletedProcess[str]:
    """In this process, but for tests of what another process gives or of all that it prints."""
    return by(folder, "capture", f"nets:{name}", "--shape", shape, "-o", "models/net", *more)


def test_three_files_that_build_and_verify(folder: Path) -> None:
    result = capture(folder, "Net", "1,1,4,4", by=run)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.split() == [
        f"models/net{s}" for s in (".ir.json", ".safetensors", ".yaml")
    ]
    manifest = (folder / "models/net.yaml").read_text()
    assert manifest == "ir: net.ir.json\nparams: net.safetensors\nemit:\n  class_name: Net\n"
    assert called(folder, "regen").returncode == 0
    assert run(folder, "verify").returncode == 0
    text = (folder / "generated/irpytorch_models/net.py").read_text()
    body = text[text.index("def forward") :]
    assert [line.strip() for line in body.splitlines() if line.strip().startswith("# ")][:3] == [
        "# stem",
        "# head",
    ]


def test_the_same_seed_gives_the_same_files(folder: Path) -> None:
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (folder / "models").iterdir()}

    capture(folder, "Net", "1,1,4,4", by=run)
    first = files()
    assert capture(folder, "Net", "1,1,4,4").returncode == 0
    assert files() == first
    assert capture(folder, "Net", "1,1,4,4", "--seed", "1").returncode == 0
    assert {name for name, data in files().items() if data != first[name]} == {"net.safetensors"}


def test_a_second_capture_keeps_the_manifest(folder: Path) -> None:
    capture(folder, "Net", "1,1,4,4")
    (folder / "models/net.yaml").write_text("ir: net.ir.json\n# mine\nparams: net.safetensors\n")
    result = capture(folder, "Net", "2,1,4,4")
    assert result.returncode == 0 and "net.yaml" not in result.stdout
    assert "# mine" in (folder / "models/net.yaml").read_text()
    assert read_model(folder / "models/net.ir.json", folder / "models/net.safetensors")


@pytest.mark.parametrize("name", ["net.ir.json", "net.safetensors"])
def test_files_of_others_are_never_replaced(folder: Path, name: str) -> None:
    (folder / "models" / name).write_text("{}")
    result = capture(folder, "Net", "1,1,4,4")
    assert result.returncode == 2
    assert f"models/{name}: error[not-ours]" in result.stderr
    assert [path.name for path in (folder / "models").iterdir()] == [name]


def test_many_weights_go_to_a_file_and_a_dtype_is_kept(folder: Path) -> None:
    capture(folder, "wide", "1,400")
    assert "weights: safetensors" in (folder / "models/net.yaml").read_text()
    (folder / "models/net.yaml").unlink()
    capture(folder, "double", "1,4")
    assert "dtype: float64" in (folder / "models/net.yaml").read_text()


def test_a_state_dict_is_loaded_first(folder: Path) -> None:
    from safetensors.torch import save_file

    state = {"weight": torch.ones(2, 4), "bias": torch.zeros(2)}
    save_file(state, folder / "state.safetensors")
    assert capture(folder, "ready", "1,4", "--state-dict", "state.safetensors").returncode == 0
    model = read_model(folder / "models/net.ir.json", folder / "models/net.safetensors")
    np.testing.assert_array_equal(evaluate(model, np.ones((1, 4)))[0], [[4.0, 4.0]])
    result = capture(folder, "Net", "1,1,4,4", "--state-dict", "state.safetensors")
    assert result.returncode == 2 and "state.safetensors: error[bad-params]" in result.stderr


@pytest.mark.parametrize("name", ["state.pt", "state.npz", "state"])
def test_a_state_dict_of_another_kind(folder: Path, name: str) -> None:
    torch.save({"weight": torch.ones(2, 4)}, folder / name)
    result = capture(folder, "ready", "1,4", "--state-dict", name)
    assert result.returncode == 2
    message = "parameters must be a file that ends in `.safetensors`"
    assert result.stderr.startswith(f"{name}: error[bad-params]: {message}; write it with")
    assert not list((folder / "models").glob("net*"))


@pytest.mark.parametrize(
    ("factory", "manifest", "lines"),
    [
        ("ready", "ir: net.ir.json\n", ["params: net.safetensors"]),
        ("double", "ir: net.ir.json\n", ["params: net.safetensors", "dtype: float64"]),
        ("double", "ir: net.ir.json\nparams: net.safetensors\n", ["dtype: float64"]),
        ("ready", "ir: net.ir.json\nparams: p.npz\nemit:\n  dtype: float64\n", []),
        ("ready", "what: is this\n", []),
    ],
)
def test_what_an_older_manifest_lacks_is_noted(
    folder: Path, factory: str, manifest: str, lines: list[str]
) -> None:
    path = folder / "models/net.yaml"
    path.write_text(manifest)
    result = capture(folder, factory, "1,4")
    assert result.returncode == 0 and path.read_text() == manifest
    notes = result.stderr.splitlines()
    assert len(notes) == len(lines)
    for note, line in zip(notes, lines, strict=True):
        assert note.startswith("models/net.yaml: note[missing-key]: ") and f"`{line}`" in note


def test_every_op_without_a_form_is_told_with_its_line(folder: Path) -> None:
    result = capture(folder, "Bad", "2,3", by=run)
    assert result.returncode == 2
    assert result.stderr == (
        "nets.py:17:1: error[inexpressible]: `lgamma` has no form in torchlean.ir.v1\n"
        "nets.py:18:1: error[inexpressible]: `sort` has no form in torchlean.ir.v1\n"
        "nets.py:19:1: error[inexpressible]: `i0` has no form in torchlean.ir.v1\n"
    )
    assert not any((folder / "models").iterdir())


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("Branches", "2", "nets.py:24:1: error[capture-failed]: torch.export refuses the module"),
        ("Pair", "2", "nets.py:30:1: error[capture-failed]: `forward` takes 2 inputs: `x`, `y`"),
        ("number", "2", "error[bad-option]: `nets:number` gives int, not a torch.nn.Module"),
        ("missing", "2", "error[import-failed]: module 'nets' has no attribute 'missing'"),
        ("Net", "1,1,-4", "--shape: error[bad-option]: a shape is natural numbers with commas"),
        (
            "Net",
            "1,4",
            "error[capture-failed]: `forward` itself fails for an input of shape (1, 4)",
        ),
        ("x.y:z", "1", "error[bad-option]: expected `package.module:Factory`"),
    ],
)
def test_other_refusals_are_one_clear_error(
    folder: Path, name: str, shape: str, message: str
) -> None:
    result = capture(folder, name, shape, by=run)
    assert result.returncode == 2
    assert message in result.stderr and "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not any((folder / "models").iterdir())


def test_the_name_of_the_output_is_that_of_a_module(folder: Path) -> None:
    result = called(folder, "capture", "nets:Net", "--shape", "1,1,4,4", "-o", "models/Net-1")
    assert result.returncode == 2 and "--output: error[bad-name]" in result.stderr


def test_a_graph_file_names_what_wrote_it(folder: Path) -> None:
    capture(folder, "Net", "1,1,4,4")
    document = json.loads((folder / "models/net.ir.json").read_text())
    assert document["producer"] == "hatch-irpytorch"
    assert [node.get("debug_target") for node in document["nodes"]] == [
        None,
        "stem",
        "forward",
        "forward",
        "head",
    ]
