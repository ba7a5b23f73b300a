"""Paths and names: what would leave the project, or mean something else on another system."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from command_line import run
from repository import ROOT
from sample_copies import files, sample_copy

from hatch_irpytorch.names import import_name_problem


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = sample_copy(tmp_path)
    (tmp_path / "outside").mkdir()
    shutil.copy(folder / "models/affine.ir.json", tmp_path / "outside/graph.ir.json")
    return folder


def assert_refused(project: Path, code: str, said: str = "") -> None:
    before = files(project.parent)
    result = run(project, "regen")
    assert (result.returncode, result.stdout) == (2, "")
    assert f"error[{code}]" in result.stderr and said in result.stderr
    assert "Traceback" not in result.stderr
    assert files(project.parent) == before


@pytest.mark.parametrize("key", ["ir", "params"])
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../../outside/graph.ir.json", "outside-project"),
        ("sub/../../../outside/graph.ir.json", "outside-project"),
        ("/etc/passwd", "outside-project"),
        ("C:/graph.ir.json", "bad-path"),
        ("C:\\\\graph.ir.json", "bad-path"),
        ("sub\\\\graph.ir.json", "bad-path"),
        ("con.json", "bad-path"),
        ("sub/LPT1", "bad-path"),
        ("graph.ir.json.", "bad-path"),
        ("gr*ph.json", "bad-path"),
        ("gr\\u202eaph.json", "bad-path"),
        ("missing.json", "missing-file"),
        ("..", "missing-file"),
    ],
)
def test_a_path_in_a_manifest(project: Path, key: str, path: str, code: str) -> None:
    manifest = project / "models/affine.yaml"
    rest = "" if key == "ir" else "ir: affine.ir.json\n"
    manifest.write_text(f'{rest}{key}: "{path}"\n')
    assert_refused(project, code, f"models/affine.yaml:{rest.count(chr(10)) + 1}:")


@pytest.mark.parametrize("option", ["models", "output"])
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("..", "outside-project"),
        ("../outside", "outside-project"),
        ("/tmp", "outside-project"),
        (".", "bad-option"),
        ("a/..", "bad-option"),
        ("nul", "bad-path"),
        ("a\\\\b", "bad-path"),
        ("a:b", "bad-path"),
    ],
)
def test_a_folder_in_the_options(project: Path, option: str, path: str, code: str) -> None:
    file = project / "pyproject.toml"
    old = "[tool.hatch.build.hooks.irpytorch]\n"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, f'{old}{option} = "{path}"\n'))
    assert_refused(project, code, "pyproject.toml: ")


TAKEN = ("math", "json", "tomllib", "imp", "lib2to3", "torch", "numpy", "safetensors", "hatchling")
ILL_FORMED = ("con", "com1", "Upper", "class", "_private", "with-dash", "\u00fcmlaut", "a" * 61)


@pytest.mark.parametrize("name", [*TAKEN, *ILL_FORMED])
def test_a_module_name(project: Path, name: str) -> None:
    assert import_name_problem(name)
    manifest = project / "models/affine.yaml"
    manifest.write_text(f'ir: affine.ir.json\nmodule: "{name}"\n')
    assert_refused(project, "bad-option", "models/affine.yaml:2:9: ")
    manifest.write_text("ir: affine.ir.json\n")
    manifest.rename(project / f"models/{name}.yaml")
    assert_refused(project, "bad-path" if name.startswith("co") else "bad-name")


def test_a_package_name(project: Path) -> None:
    file = project / "pyproject.toml"
    for name in ("torch", "typing", "aux", "Nets", "a b"):
        text = file.read_text()
        file.write_text(text.replace('package = "nets"', f'package = "{name}"'))
        assert_refused(project, "bad-name", ".package`")
        file.write_text(text)


def test_names_are_judged_alike_on_every_python() -> None:
    """Each name that the standard library has in this version is refused by its own right."""
    public = {name for name in sys.stdlib_module_names if not name.startswith("_")}
    assert all(import_name_problem(name) for name in public)
    assert not import_name_problem("digits_mlp")


@pytest.mark.parametrize("linked", ["models", "generated", "generated/nets", "tests/golden"])
def test_a_linked_folder_that_leads_out(project: Path, linked: str) -> None:
    folder = project / linked
    outside = project.parent / "outside"
    if folder.exists():
        shutil.copytree(folder, outside / "copy")
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(outside / "copy" if (outside / "copy").exists() else outside)
    assert_refused(project, "outside-project")


@pytest.mark.parametrize("linked", ["models/affine.yaml", "models/affine.ir.json"])
def test_a_linked_input_that_leads_out(project: Path, linked: str) -> None:
    outside = project.parent / "outside" / "input"
    (project / linked).rename(outside)
    (project / linked).symlink_to(outside)
    assert_refused(project, "outside-project")


def test_a_link_inside_the_project_is_followed(project: Path) -> None:
    real = project / "graphs"
    real.mkdir()
    (project / "models/affine.ir.json").rename(real / "affine.ir.json")
    (project / "models/affine.ir.json").symlink_to(real / "affine.ir.json")
    assert run(project, "regen").returncode == 0


@pytest.mark.parametrize(
    "linked",
    [
        "generated/nets/affine.py",
        "generated/irpytorch.lock/affine.json",
        "tests/golden/affine.json",
    ],
)
def test_a_link_where_an_output_belongs(project: Path, linked: str) -> None:
    assert run(project, "regen").returncode == 0
    outside = project.parent / "outside" / "theirs"
    (project / linked).rename(outside)
    (project / linked).symlink_to(outside)
    (project / "models/affine.yaml").write_text("ir: affine.ir.json\nemit:\n  dtype: float64\n")
    graph = project / "models/affine.ir.json"
    graph.write_text(graph.read_text().replace("0.5", "0.75"))
    assert_refused(project, "not-ours", linked)


def test_paths_that_differ_only_in_case(project: Path) -> None:
    shutil.copy(project / "models/affine.ir.json", project / "models/Affine.ir.json")
    (project / "models/second.yaml").write_text("ir: Affine.ir.json\n")
    assert_refused(project, "case-clash", "rename one of the two")


def test_emit_does_not_write_over_a_parameter_file(tmp_path: Path) -> None:
    """A module of ours with inline weights does not make the ParamStore beside it ours."""
    models = ROOT / "models"
    shutil.copy(models / "digits_mlp.ir.json", tmp_path / "mlp.ir.json")
    shutil.copy(models / "digits_mlp.safetensors", tmp_path / "mlp.safetensors")
    emit = ("emit", "mlp.ir.json", "--params", "mlp.safetensors", "-o", "mlp.py")
    assert run(tmp_path, *emit).returncode == 0
    before = files(tmp_path)
    result = run(tmp_path, *emit, "--weights", "safetensors")
    assert result.returncode == 2 and "mlp.safetensors: error[not-ours]" in result.stderr
    assert files(tmp_path) == before
    other = (*emit[:-1], "other.py", "--weights", "safetensors")
    assert run(tmp_path, *other).returncode == 0
    assert run(tmp_path, *other).returncode == 0
