"""Generated files under git: merges, conflicts, and checkouts with other line ends."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import run
from repository import ROOT

from hatch_irpytorch.build.current import is_current
from hatch_irpytorch.build.lock import read_locks
from hatch_irpytorch.project import find_project

NAMES = ("affine", "second", "third")


def git(folder: Path, *arguments: str, code: int = 0) -> str:
    identity = ("-c", "user.name=one", "-c", "user.email=one@example.org")
    command = ["git", *identity, "-c", "init.defaultBranch=main", *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout


def add_model(folder: Path, name: str) -> None:
    graph = (folder / "models/affine.ir.json").read_bytes()
    (folder / f"models/{name}.ir.json").write_bytes(graph)
    (folder / f"models/{name}.yaml").write_text(f"ir: {name}.ir.json\n")


def set_bias(folder: Path, name: str, value: float) -> None:
    path = folder / f"models/{name}.ir.json"
    document = json.loads(path.read_bytes())
    document["nodes"][1]["bias"][0] = value
    path.write_text(json.dumps(document, indent=1))


def commit(folder: Path, message: str) -> None:
    result = run(folder, "regen")
    assert result.returncode == 0, result.stderr
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "tests/sample_project", folder)
    for name in NAMES[1:]:
        add_model(folder, name)
    for name in NAMES:
        set_bias(folder, name, 0.5)
    git(folder, "init", "-q")
    commit(folder, "three models")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for top in ("generated", "tests")
        for path in (folder / top).rglob("*")
        if path.is_file()
    }


def test_nothing_that_git_sees_is_left_behind(project: Path) -> None:
    assert git(project, "status", "--short") == ""


@pytest.mark.parametrize("change", ["add", "change", "remove", "rename"])
def test_branches_that_touch_different_models_merge(project: Path, change: str) -> None:
    git(project, "checkout", "-qb", "theirs")
    for branch, name in (("theirs", "second"), ("main", "third")):
        git(project, "checkout", "-q", branch)
        if change == "add":
            add_model(project, f"{name}_too")
        elif change == "change":
            set_bias(project, name, 0.75)
        elif change == "remove":
            (project / f"models/{name}.yaml").unlink()
        else:
            (project / f"models/{name}.yaml").rename(project / f"models/{name}_too.yaml")
        commit(project, f"{change} {name}")
    git(project, "merge", "-q", "-m", "merge", "theirs")
    assert run(project, "check").returncode == 0
    merged = find_project(project)
    assert is_current(merged, read_locks(merged))


def test_a_conflict_is_over_once_the_graph_is_chosen(project: Path) -> None:
    git(project, "checkout", "-qb", "theirs")
    for branch, value in (("theirs", 0.75), ("main", 0.25)):
        git(project, "checkout", "-q", branch)
        set_bias(project, "second", value)
        commit(project, f"second is {value}")
    git(project, "merge", "-q", "theirs", code=1)
    conflicts = git(project, "diff", "--name-only", "--diff-filter=U").split()
    lock, module = "generated/irpytorch.lock/second.json", "generated/nets/second.py"
    assert {lock, module, "models/second.ir.json"} <= set(conflicts)
    assert run(project, "regen").returncode == 2
    git(project, "checkout", "--theirs", "models/second.ir.json")
    result = run(project, "regen")
    assert result.returncode == 0
    assert f"{lock}: note[rebuilt]" in result.stderr
    assert f"{module}: note[rebuilt]" in result.stderr
    assert run(project, "check").returncode == 0
    git(project, "checkout", "-qf", "theirs")
    git(project, "clean", "-fdq")
    theirs = tree(project)
    git(project, "checkout", "-q", "main")
    git(project, "merge", "-q", "-X", "theirs", "-m", "merge", "theirs")
    assert tree(project) == theirs


def test_a_module_added_on_both_sides(project: Path) -> None:
    """An add/add conflict: the files have no common ancestor."""
    git(project, "checkout", "-qb", "theirs")
    for branch, value in (("theirs", 0.75), ("main", 0.25)):
        git(project, "checkout", "-q", branch)
        add_model(project, "both")
        set_bias(project, "both", value)
        commit(project, f"both is {value}")
    git(project, "merge", "-q", "theirs", code=1)
    git(project, "checkout", "--ours", "models/both.ir.json")
    assert run(project, "regen").returncode == 0
    assert run(project, "check").returncode == 0


def test_a_checkout_without_locks_is_judged_by_the_marks(project: Path) -> None:
    shutil.rmtree(project / "generated/irpytorch.lock")
    (project / "models/second.yaml").rename(project / "models/renamed.yaml")
    checked = run(project, "check")
    assert checked.returncode == 1
    assert "generated/nets/second.py: error[orphaned]" in checked.stderr
    assert run(project, "regen").returncode == 0
    assert run(project, "check").returncode == 1
    (project / "generated/nets/second.py").unlink()
    assert run(project, "check").returncode == 0


@pytest.mark.parametrize("attributes", [None, "generated/**/*.py text eol=lf\n"])
def test_a_checkout_with_crlf_is_current(
    project: Path, tmp_path: Path, attributes: str | None
) -> None:
    if attributes is not None:
        (project / ".gitattributes").write_text(attributes)
        commit(project, "attributes")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "-c", "core.autocrlf=true", str(project), str(clone))
    assert b"\r\n" in (clone / "models/affine.yaml").read_bytes()
    written = (clone / "generated/nets/affine.py").read_bytes()
    assert (b"\r\n" in written) == (attributes is None)
    before = tree(clone)
    checked = run(clone, "check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    cloned = find_project(clone)
    assert is_current(cloned, read_locks(cloned))
    made = run(clone, "regen")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert tree(clone) == before
    set_bias(clone, "second", 0.75)
    assert "generated/nets/second.py: error[stale]" in run(clone, "check").stderr
    edited = clone / "generated/nets/third.py"
    edited.write_bytes(edited.read_bytes().replace(b"torch.relu", b"torch.tanh"))
    assert "generated/nets/third.py: error[edited-by-hand]" in run(clone, "check").stderr
    assert run(clone, "regen").returncode == 0
    assert run(clone, "check").returncode == 0


def test_this_repository_with_crlf_is_current(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "-c", "core.autocrlf=true", str(ROOT), str(clone))
    checked = run(clone, "check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
