"""The options of a batch in manifests and on the command line, and what a capture writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import called, run
from documents import const, document, op
from sample_copies import sample_copy

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.manifest import read_manifest

NETS = '''
import torch
from torch import nn


class Reversed(nn.Module):
    """Of one sample nothing shows that it turns the batch round."""

    def forward(self, x):
        return torch.tanh(x.flip(0))


class Plain(nn.Module):
    def forward(self, x):
        return torch.tanh(x)


class Fixed(nn.Module):
    """Takes no other batch, which says nothing against one in its graph."""

    def forward(self, x):
        return torch.tanh(x.view(1, 4)).view(1, 2, 2)
'''


def test_a_manifest_has_them() -> None:
    text = b"ir: a.json\nemit: {batch: free, batch_axis: 1, free: [2, 3]}\n"
    options = read_manifest(text, "models/net.yaml").emit
    assert (options.batch, options.batch_axis, options.free) == ("free", 1, (2, 3))
    options = read_manifest(b"ir: a.json\n", "models/net.yaml").emit
    assert (options.batch, options.batch_axis, options.free) == ("auto", 0, ())


@pytest.mark.parametrize(
    ("emit", "message"),
    [
        ("batch: any", "1:28: error[bad-option]: `emit.batch` must be one of `auto`, `fixed`"),
        ("batch: [free]", "`emit.batch` must be a single value, found a collection"),
        ("batch_axis: -1", "`emit.batch_axis` must be a natural number"),
        ("free: 2", "`emit.free` must be a list of natural numbers, such as `[2, 3]`, found `2`"),
        ("free: [two]", "`emit.free` must be a natural number"),
        ("free: [[2]]", "`emit.free` must be a list of natural numbers"),
        ("free: [0]", "1:21: error[bad-option]: free names further axes, each once"),
        (
            "batch: added, batch_axis: 1",
            "1:35: error[bad-option]: batch_axis says nothing with `batch: added`",
        ),
    ],
)
def test_a_wrong_one_is_told_with_its_place(emit: str, message: str) -> None:
    text = f"{{ir: a.json, emit: {{{emit}}}}}".encode()
    with pytest.raises(IRPyTorchError) as raised:
        read_manifest(text, "models/net.yaml")
    (problem,) = raised.value.problems
    assert message in str(problem)


def graph(folder: Path) -> Path:
    value = document([1, 3], const([1, 3], [1.0, 2.0, 3.0]), op("add", [0, 1], [1, 3]))
    path = folder / "net.ir.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("options", "summary"),
    [
        ((), "ExportedIRModel: (N, 3) -> (N, 3);"),
        (("--batch", "fixed"), "ExportedIRModel: (1, 3) -> (1, 3);"),
        (("--batch", "added"), "ExportedIRModel: (N, 1, 3) -> (N, 1, 3);"),
    ],
)
def test_the_command_has_them(tmp_path: Path, options: tuple[str, ...], summary: str) -> None:
    graph(tmp_path)
    result = called(tmp_path, "emit", "net.ir.json", *options)
    assert (result.returncode, result.stderr) == (0, "")
    assert summary in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--batch-axis", "1"),
            "node 1 (const): error[not-free]: holds other numbers along axis 1",
        ),
        (("--free", "1"), "node 1 (const): error[not-free]: holds other numbers along axis 1"),
        (("--free", "x"), "--free: error[bad-option]: a shape is natural numbers with commas"),
        (("--free", "0"), "--free: error[bad-option]: free names further axes"),
        (("--batch", "any"), "--batch: invalid choice: 'any'"),
    ],
)
def test_a_wrong_argument_is_one_line(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    graph(tmp_path)
    result = called(tmp_path, "emit", "net.ir.json", "--batch", "free", *options)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["net.ir.json"]


def test_a_build_with_a_batch_that_cannot_be_free_changes_nothing(tmp_path: Path) -> None:
    project = sample_copy(tmp_path)
    manifest = project / "models/affine.yaml"
    assert called(project, "regen").returncode == 0
    before = sorted(path.name for path in project.rglob("*"))
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("emit:", "emit:\n  batch: free\n  batch_axis: 1"), "utf-8")
    result = called(project, "regen")
    assert result.returncode == 2
    assert "affine.ir.json: node 1 (linear): error[not-free]: maps axis 1" in result.stderr
    assert sorted(path.name for path in project.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "fixed"), [("Reversed", True), ("Plain", False), ("Fixed", False)]
)
def test_a_capture_looks_at_a_larger_batch(tmp_path: Path, name: str, fixed: bool) -> None:
    (tmp_path / "nets.py").write_text(NETS, encoding="utf-8")
    (tmp_path / "models").mkdir()
    shape = "1,2,2" if name == "Fixed" else "1,3"
    result = run(tmp_path, "capture", f"nets:{name}", "--shape", shape, "-o", "models/net")
    assert result.returncode == 0, result.stderr
    manifest = (tmp_path / "models/net.yaml").read_text(encoding="utf-8")
    assert ("  batch: fixed\n" in manifest) == fixed
    told = "note[not-free]: the module gives other rows in a larger batch"
    assert (told in result.stderr) == fixed
