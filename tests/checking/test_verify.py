"""`irpytorch verify`, `regen NAME` and golden files: each check finds what it is there for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import called, run
from documents import const, document, op, read
from sample_copies import sample_copy

from hatch_irpytorch.build.golden import encode_golden, golden_input, make_golden, read_golden

MODULE = "generated/nets/affine.py"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = sample_copy(tmp_path_factory.mktemp("generated"))
    graph = json.loads((folder / "models/affine.ir.json").read_text())
    graph["nodes"][1]["bias"][0] = 0.5
    (folder / "models/second.ir.json").write_text(json.dumps(graph))
    (folder / "models/second.yaml").write_text("ir: second.ir.json\n")
    assert run(folder, "regen").returncode == 0
    return folder


@pytest.fixture
def project(tmp_path: Path, generated: Path) -> Path:
    return Path(shutil.copytree(generated, tmp_path / "project"))


def also(project: Path, *names: str) -> None:
    """More modules of the same graph."""
    for name in names:
        (project / f"models/{name}.yaml").write_text("ir: affine.ir.json\n")
    assert called(project, "regen").returncode == 0


def edit(project: Path, name: str, old: str, new: str) -> None:
    path = project / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_sound_project_has_no_findings_and_no_traces(project: Path) -> None:
    before = sorted(project.rglob("*"))
    result = run(project, "verify")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "affine: import, smoke, parity, batch and golden agree",
        "second: import, smoke, parity, batch and golden agree",
    ]
    assert sorted(project.rglob("*")) == before


EDITS = {
    "printing": ("import torch\n", "import torch\n\nprint('hello')\n"),
    "raising": ("opt.step()", "raise RuntimeError('no')"),
    "computing": ("torch.relu(v1)", "torch.tanh(v1)"),
    "rounding": ("-1.0", "-1.0000001"),
}


def test_modules_that_were_edited_or_removed_are_told_and_not_run(project: Path) -> None:
    also(project, *EDITS)
    for name, (old, new) in EDITS.items():
        edit(project, f"generated/nets/{name}.py", old, new)
    (project / MODULE).unlink()
    result = run(project, "verify")
    assert result.returncode == 1
    assert sorted(result.stdout.splitlines()) == [
        *(f"{name}: not run, 1 finding" for name in sorted(["affine", *EDITS])),
        "second: import, smoke, parity, batch and golden agree",
    ]
    lines = sorted(line.partition("]: ")[0] for line in result.stderr.splitlines())
    assert lines == [
        f"{MODULE}: error[stale",
        *(f"generated/nets/{name}.py: error[edited-by-hand" for name in sorted(EDITS)),
    ]
    alone = run(project, "verify", "rounding")
    assert (alone.returncode, alone.stdout) == (1, "rounding: not run, 1 finding\n")


def test_a_golden_file_that_is_wrong_or_missing_is_found(project: Path) -> None:
    also(project, "third", "sound")
    golden, other, third = (
        project / f"tests/golden/{name}.json" for name in ("affine", "second", "third")
    )
    kept = other.read_text()
    value = json.loads(golden.read_text())
    value["cases"][0]["outputs"][0]["values"][0] += 0.001
    golden.write_text(json.dumps(value))
    other.write_text("{}")
    third.unlink()
    result = run(project, "verify")
    assert result.returncode == 1
    assert "sound: import, smoke, parity, batch and golden agree\n" in result.stdout
    for told in (
        "tests/golden/affine.json: error[not-golden]: case 0: output 0 at ",
        "tests/golden/second.json: error[bad-golden]",
        "tests/golden/third.json: error[not-golden]: the golden file does not exist",
    ):
        assert result.stderr.count(told) == 1
    other.write_text(kept)
    assert "tests/golden/affine.json: error[stale]" in called(project, "check").stderr
    golden.unlink()
    text = "tests/golden/affine.json\ntests/golden/third.json\n"
    assert called(project, "regen").stdout == text
    assert run(project, "verify").returncode == 0


def test_an_unknown_name_is_an_error(project: Path) -> None:
    for command in ("regen", "verify"):
        result = called(project, command, "afine")
        assert result.returncode == 2
        assert "error[unknown-module]" in result.stderr and "`affine`?" in result.stderr


def test_regen_of_one_name_leaves_the_other_stale(project: Path) -> None:
    for name in ("affine", "second"):
        edit(project, f"models/{name}.ir.json", "0.25", "0.75")
    result = called(project, "regen", "second")
    assert result.stdout.splitlines() == [
        "generated/nets/second.py",
        "tests/golden/second.json",
    ]
    check = called(project, "check")
    assert check.returncode == 1
    assert {line.split(":")[0] for line in check.stderr.splitlines()} == {
        MODULE,
        "tests/golden/affine.json",
    }
    assert called(project, "regen").stdout.splitlines() == [MODULE, "tests/golden/affine.json"]
    assert called(project, "check").returncode == 0


def test_regen_of_one_name_keeps_a_shared_input_stale_for_the_other(project: Path) -> None:
    (project / "models/second.yaml").write_text("ir: affine.ir.json\n")
    called(project, "regen")
    edit(project, "models/affine.ir.json", "0.25", "0.75")
    called(project, "regen", "second")
    program = (
        "from pathlib import Path\n"
        "from hatch_irpytorch.build.current import build_outputs\n"
        "from hatch_irpytorch.project import find_project\n"
        "build_outputs(find_project(Path()))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=project, check=True)
    assert "0.75" in (project / MODULE).read_text()


def test_a_golden_file_keeps_its_bytes_within_rounding(project: Path) -> None:
    golden = project / "tests/golden/affine.json"
    value = json.loads(golden.read_text())
    value["cases"][0]["outputs"][0]["values"][0] *= 1 + 1e-15
    golden.write_text(json.dumps(value))
    assert called(project, "regen").stdout == ""
    assert called(project, "check").returncode == 0


def test_golden_files_without_manifest_are_removed_and_others_kept(project: Path) -> None:
    (project / "models/second.yaml").unlink()
    (project / "tests/golden/mine.json").write_text('{"mine": 1}')
    assert "tests/golden/second.json: error[orphaned]" in called(project, "check").stderr
    called(project, "regen")
    names = sorted(path.name for path in (project / "tests/golden").iterdir())
    assert names == ["affine.json", "mine.json"]


def test_golden_inputs_are_exact_in_every_dtype() -> None:
    for positive in (False, True):
        x = golden_input((1000,), 0, positive)
        assert np.array_equal(x * 64, np.round(x * 64)) and np.abs(x).max() <= 2
        assert not positive or x.min() > 0


def test_golden_cases_survive_the_file() -> None:
    value = document([2, 0], const([3], [1.0, -0.5, 0.0]), op("inv", [1], [3]), outputs=[0, 2])
    cases = make_golden(read(value))
    again = read_golden(encode_golden(cases), "g.json")
    for one, two in zip(cases, again, strict=True):
        np.testing.assert_array_equal(one.input, two.input)
        for x, y in zip(one.outputs, two.outputs, strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_log_gets_positive_inputs_and_an_impossible_one_no_case() -> None:
    fits = make_golden(read(document([4], op("log", [0], [4]))))
    assert len(fits) == 3 and all(case.input.min() > 0 for case in fits)
    below = document([4], const([4], -9.0), op("add", [0, 1], [4]), op("log", [2], [4]))
    assert make_golden(read(below)) == ()
