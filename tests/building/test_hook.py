"""The build hook in real builds: wheels, sdists, `check`, `clean`, and what makes it fail."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from repository import ROOT
from sample_copies import files

SAMPLE = ROOT / "tests" / "sample_project"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def build(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A real build with the hook that is installed here."""
    return run(folder, "build", "--no-isolation", "--skip-dependency-check", *arguments)


def said(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout + result.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(SAMPLE, folder)
    return folder


def options(project: Path, line: str) -> None:
    with (project / "pyproject.toml").open("a", encoding="utf-8") as stream:
        stream.write(f"{line}\n")


def wheel_names(folder: Path) -> set[str]:
    (wheel,) = folder.glob("*.whl")
    return {name for name in zipfile.ZipFile(wheel).namelist() if "dist-info" not in name}


def test_a_wheel_of_a_project_with_the_entry_point(project: Path, tmp_path: Path) -> None:
    result = build(project, "--wheel", "--outdir", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert wheel_names(tmp_path) == {"nets/__init__.py", "nets/affine.py", "nets/py.typed"}


def test_a_wheel_of_this_repository_by_the_custom_hook(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    names = ("pyproject.toml", "README.md", "LICENSE", "hatch_irpytorch", "models", "generated")
    tree.mkdir()
    for name in names:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tree / name)
    before = files(tree / "generated")
    shutil.rmtree(tree / "generated")
    result = build(tree, "--wheel", "--outdir", str(tmp_path))
    assert result.returncode == 0, result.stderr
    after = files(tree / "generated")
    assert after == {name: before[name] for name in after} and len(after) > 10
    expected = {name for name in after if name.startswith("irpytorch_models/")}
    assert wheel_names(tmp_path) == {name.replace("\\", "/") for name in expected}


def test_a_second_build_touches_nothing(project: Path, tmp_path: Path) -> None:
    build(project, "--wheel", "--outdir", str(tmp_path))
    times = {p: p.stat().st_mtime_ns for p in (project / "generated").rglob("*")}
    assert build(project, "--wheel", "--outdir", str(tmp_path)).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in (project / "generated").rglob("*")} == times


def test_wheel_and_wheel_from_sdist_are_the_same_bytes(project: Path, tmp_path: Path) -> None:
    direct, by_way = tmp_path / "direct", tmp_path / "by-way"
    assert build(project, "--wheel", "--outdir", str(direct)).returncode == 0
    assert build(project, "--outdir", str(by_way)).returncode == 0
    (wheel,) = direct.glob("*.whl")
    assert wheel.read_bytes() == (by_way / wheel.name).read_bytes()


def test_the_sdist_carries_manifests_inputs_and_outputs(project: Path, tmp_path: Path) -> None:
    (project / ".gitignore").write_text("generated/\n")
    assert build(project, "--sdist", "--outdir", str(tmp_path)).returncode == 0
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {
        "models/affine.yaml",
        "models/affine.ir.json",
        "generated/nets/affine.py",
        "generated/irpytorch.lock/affine.json",
    } <= names


def test_check_passes_on_current_outputs_and_fails_on_stale_ones(
    project: Path, tmp_path: Path
) -> None:
    options(project, "check = true")
    before = files(project)
    stale = build(project, "--wheel", "--outdir", str(tmp_path))
    assert stale.returncode != 0
    assert "generated/nets/affine.py: error[stale]: the file does not exist" in said(stale)
    assert "Traceback" not in said(stale)
    assert files(project) == before
    assert run(project, "hatch_irpytorch", "regen").returncode == 0
    assert build(project, "--wheel", "--outdir", str(tmp_path)).returncode == 0


def test_bad_input_is_an_error_without_a_traceback(project: Path, tmp_path: Path) -> None:
    graph = project / "models" / "affine.ir.json"
    value = json.loads(graph.read_text())
    value["nodes"][2]["kind"] = "rellu"
    graph.write_text(json.dumps(value))
    before = files(project)
    result = build(project, "--wheel", "--outdir", str(tmp_path))
    assert result.returncode != 0 and not list(tmp_path.glob("*.whl"))
    output = said(result)
    assert "models/affine.ir.json: node 2: error[unknown-kind]" in output
    assert "Traceback" not in output
    assert files(project) == before


def test_an_unknown_option_of_the_hook_is_an_error(project: Path, tmp_path: Path) -> None:
    options(project, 'pakage = "x"')
    result = build(project, "--wheel", "--outdir", str(tmp_path))
    assert result.returncode != 0
    assert "unknown option `tool.hatch.build.hooks.irpytorch.pakage`" in said(result)
    assert "did you mean `package`?" in said(result)


def test_no_manifests_is_an_error(project: Path, tmp_path: Path) -> None:
    (project / "models" / "affine.yaml").unlink()
    result = build(project, "--wheel", "--outdir", str(tmp_path))
    assert result.returncode != 0
    assert "error[no-manifests]" in said(result)


@pytest.mark.parametrize(
    ("left_out", "code"),
    [("affine.ir.json", "missing-file"), ("affine.yaml", "no-manifests")],
)
def test_an_sdist_that_lacks_an_input_is_an_error(
    project: Path, tmp_path: Path, left_out: str, code: str
) -> None:
    options(project, f'[tool.hatch.build.targets.sdist]\nexclude = ["/models/{left_out}"]')
    result = build(project, "--outdir", str(tmp_path))
    assert result.returncode != 0
    assert f"error[{code}]" in said(result)
    assert list(tmp_path.glob("*.tar.gz")) and not list(tmp_path.glob("*.whl"))


def test_clean_removes_what_was_written_and_nothing_else(project: Path) -> None:
    before = files(project)
    assert run(project, "hatch_irpytorch", "regen").returncode == 0
    own = project / "generated" / "nets" / "mine.py"
    own.write_text("mine = True\n")
    golden = {name for name in files(project) if "golden" in name}
    result = run(project, "hatchling", "build", "-t", "wheel", "--clean", "--clean-only")
    assert result.returncode == 0, said(result)
    after = files(project)
    assert set(after) == {*before, *golden, "generated/nets/mine.py"}


def test_an_edited_file_is_written_again_by_a_build(project: Path, tmp_path: Path) -> None:
    build(project, "--wheel", "--outdir", str(tmp_path))
    module = project / "generated" / "nets" / "affine.py"
    before = module.read_bytes()
    module.write_bytes(before + b"# mine\n")
    assert build(project, "--wheel", "--outdir", str(tmp_path)).returncode == 0
    assert module.read_bytes() == before
