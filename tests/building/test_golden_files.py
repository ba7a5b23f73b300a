"""Golden files: which are ours, which are removed, and that they hold what the model gives."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import called, run
from sample_copies import sample_copy

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.build.generate import generate_project
from hatch_irpytorch.build.golden import FORMAT, encode_golden, golden_differences, read_golden
from hatch_irpytorch.project import find_project
from hatch_irpytorch.verify.golden import golden_problems

GOLDEN = "tests/golden/affine.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = sample_copy(tmp_path_factory.mktemp("golden"))
    assert called(folder, "regen").returncode == 0
    return folder


@pytest.fixture
def project(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "project"))


def findings(folder: Path) -> list[str]:
    (model,) = generate_project(find_project(folder), golden=True).models
    assert model.golden is not None
    found = golden_problems(folder, "affine", model.golden)
    return [f"{problem.code}: {problem.message}" for problem in found]


Change = Callable[[dict[str, Any]], object]


def first(value: dict[str, Any]) -> dict[str, Any]:
    case: dict[str, Any] = value["cases"][0]
    return case


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["cases"].clear(), "the file has 0 cases, the model gives 3"),
        (lambda v: v["cases"].pop(), "the file has 2 cases, the model gives 3"),
        (lambda v: v["cases"].append(first(v)), "the file has 4 cases, the model gives 3"),
        (lambda v: v["cases"].reverse(), "case 0 has another input"),
        (lambda v: first(v)["input"]["values"].reverse(), "case 0 has another input"),
        (lambda v: first(v)["outputs"].clear(), "case 0 has outputs of other shapes"),
        (lambda v: first(v)["outputs"][0].update(shape=[3]), "case 0 has outputs of other shapes"),
        (
            lambda v: first(v)["outputs"][0]["values"].__setitem__(0, 0.125),
            "case 0: output 0 at (0, 0) is 0.125, the model gives ",
        ),
        (
            lambda v: first(v)["outputs"][0]["values"].__setitem__(0, "nan"),
            "case 0: output 0 at (0, 0) is nan, the model gives ",
        ),
    ],
)
def test_a_golden_file_has_to_hold_the_cases_of_the_model(
    project: Path, change: Change, message: str
) -> None:
    assert findings(project) == []
    path = project / GOLDEN
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    (found,) = findings(project)
    assert found.startswith(f"not-golden: {message}")


def test_the_command_tells_an_emptied_golden_file(project: Path) -> None:
    (project / GOLDEN).write_text(json.dumps({"format": FORMAT, "cases": []}))
    result = run(project, "verify")
    assert (result.returncode, result.stdout) == (1, "affine: 1 finding\n")
    assert result.stderr == (
        f"{GOLDEN}: error[not-golden]: the file has 0 cases, the model gives 3; "
        "run `irpytorch regen`\n"
    )
    assert f"{GOLDEN}: error[stale]" in called(project, "check").stderr
    assert called(project, "regen").stdout == f"{GOLDEN}\n"
    assert findings(project) == []


@pytest.mark.parametrize(
    "cases",
    [
        7,
        {},
        [7],
        [{"input": {"shape": [-1], "values": [1.0]}, "outputs": []}],
        [{"input": {"shape": [True], "values": [1.0]}, "outputs": []}],
        [{"input": {"shape": [1], "values": [True]}, "outputs": []}],
        [{"input": {"shape": [1], "values": [None]}, "outputs": []}],
        [{"input": {"shape": [1], "values": [10**400]}, "outputs": []}],
        [{"input": {"shape": [1], "values": ["1.0"]}, "outputs": []}],
        [{"input": {"shape": [1], "values": [[1.0]]}, "outputs": []}],
        [{"input": {"shape": [2**62, 4], "values": []}, "outputs": []}],
        [{"input": {"shape": "1", "values": [1.0]}, "outputs": []}],
        [{"input": {"shape": [1.0], "values": [1.0]}, "outputs": []}],
    ],
)
def test_a_golden_file_is_read_strictly(cases: object) -> None:
    data = json.dumps({"format": FORMAT, "cases": cases}).encode()
    with pytest.raises(IRPyTorchError) as caught:
        print(read_golden(data, GOLDEN))
    assert {problem.code for problem in caught.value.problems} <= {"bad-golden", "too-large"}


def test_one_that_is_missing_or_no_file_is_a_finding(project: Path) -> None:
    path = project / GOLDEN
    data = path.read_bytes()
    path.unlink()
    assert findings(project) == ["not-golden: the golden file does not exist"]
    path.write_bytes(data[:100])
    assert findings(project)[0].startswith("bad-json: ")


OURS = json.dumps({"format": FORMAT, "cases": []}).encode()


@pytest.mark.parametrize(
    ("name", "data", "ours"),
    [
        ("old.json", OURS, True),
        ("old.json", b' {\n "format" : "irpytorch.golden.v1", "cases": [', True),
        ("old.json", b'{"note": "%s"}' % FORMAT.encode(), False),
        ("old.json", b'{"format": "%s2"}' % FORMAT.encode(), False),
        ("old.json", b"[" + OURS + b"]", False),
        ("Old.json", OURS, False),
        ("old-1.json", OURS, False),
        (".old.json", OURS, False),
        ("old.jsonl", OURS, False),
        ("old.sub.json", OURS, False),
        ("json.json", OURS, False),
    ],
)
@pytest.mark.parametrize("written", [True, False])
def test_only_a_golden_file_that_is_as_we_wrote_it_is_removed(
    project: Path, name: str, data: bytes, ours: bool, written: bool
) -> None:
    """And only what can be one of a module; without our digest it is told, with what to run."""
    path = project / "tests/golden" / name
    written = written and data == OURS
    path.write_bytes(encode_golden(()) if written else data)
    removed, told = ours and written, ours and not written
    checked = called(project, "check")
    assert (f"tests/golden/{name}: error[orphaned]" in checked.stderr) is ours
    result = called(project, "regen")
    assert result.returncode == 0
    assert path.exists() is not removed
    assert (f"removed tests/golden/{name}\n" == result.stdout) is removed
    assert (f"`rm tests/golden/{name}`" in result.stderr) is told


def without_manifest(project: Path) -> None:
    (project / "models/affine.yaml").rename(project / "models/other.yaml")


def test_what_regen_wrote_is_removed_with_its_manifest(project: Path) -> None:
    without_manifest(project)
    result = called(project, "regen")
    assert f"removed {GOLDEN}\n" in result.stdout and not (project / GOLDEN).exists()
    assert called(project, "check").returncode == 0


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace('"cases"', '"mine": "notes", "cases"', 1),
        lambda text: json.dumps(json.loads(text)),
        lambda text: text + "\n",
    ],
)
@pytest.mark.parametrize("regenerated", [True, False])
def test_a_golden_file_that_was_edited_is_told_and_not_removed(
    project: Path, edit: Callable[[str], str], regenerated: bool
) -> None:
    """Also when `regen` saw it between, and left it since its numbers are those of the model."""
    path = project / GOLDEN
    mine = edit(path.read_text())
    path.write_text(mine)
    if regenerated:
        assert called(project, "check").returncode == 0
        assert called(project, "regen").stdout == ""
    without_manifest(project)
    result = called(project, "regen")
    assert result.returncode == 0
    assert f"{GOLDEN}: note[orphaned]" in result.stderr and f"`rm {GOLDEN}`" in result.stderr
    assert path.read_text() == mine


def test_a_golden_file_without_our_digest_gets_it(project: Path) -> None:
    """One of an older version; until then it is told and not removed."""
    path = project / GOLDEN
    whole = path.read_bytes()
    path.write_bytes(re.sub(rb', "written": "[^"]*"', b"", whole))
    other = Path(shutil.copytree(project, project.with_name("other")))
    without_manifest(other)
    assert f"{GOLDEN}: note[orphaned]" in called(other, "regen").stderr
    assert called(project, "regen").stdout == f"{GOLDEN}\n"
    assert path.read_bytes() == whole and called(project, "check").returncode == 0


def test_line_ends_of_another_checkout_are_no_edit(project: Path) -> None:
    path = project / GOLDEN
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert called(project, "check").returncode == 0
    without_manifest(project)
    assert f"removed {GOLDEN}\n" in called(project, "regen").stdout


def test_links_pipes_and_folders_are_left_alone(project: Path, tmp_path: Path) -> None:
    golden = project / "tests/golden"
    (tmp_path / "mine.json").write_bytes(OURS)
    (golden / "linked.json").symlink_to(tmp_path / "mine.json")
    os.mkfifo(golden / "pipe.json")
    (golden / "folder.json").mkdir()
    assert golden_differences(project, {"affine": (project / GOLDEN).read_bytes()}, True) == []
    assert called(project, "regen").returncode == 0
    assert (tmp_path / "mine.json").read_bytes() == OURS


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("linked", ["tests/golden", "tests"])
def test_nothing_behind_a_linked_folder_is_removed_or_written(
    project: Path, tmp_path: Path, inside: bool, linked: str
) -> None:
    target = (project if inside else tmp_path) / "elsewhere"
    (project / linked).rename(target)
    (project / linked).symlink_to(target)
    old = (target if linked == "tests/golden" else target / "golden") / "old.json"
    old.write_bytes(OURS)
    affine = old.with_name("affine.json")
    affine.write_bytes(OURS)
    result = called(project, "regen")
    assert result.returncode == 2 and "symbolic link" in result.stderr
    assert old.read_bytes() == affine.read_bytes() == OURS


@pytest.mark.parametrize("data", [b"{}", b"", b"notes", b'{"cases": [], "format": "mine"}'])
def test_what_is_not_ours_is_not_replaced(project: Path, data: bytes) -> None:
    (project / GOLDEN).write_bytes(data)
    result = called(project, "regen")
    assert (result.returncode, result.stdout) == (2, "")
    assert f"{GOLDEN}: error[not-ours]" in result.stderr
    assert (project / GOLDEN).read_bytes() == data
