"""`irpytorch init` in existing projects: shown, added, never overwritten, safe to run twice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command_line import run
from fresh_projects import BUILD_SYSTEM, HOOK, PROJECT, WHEEL, files, init, new_project
from wheels import build, wheel_names

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_init_shows_and_adds_everything(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p")
    code, shown, stderr = init(project, "--github")
    assert (code, stderr) == (0, "")
    text = (project / "pyproject.toml").read_text()
    requires = BUILD_SYSTEM.replace('"hatchling"]', '"hatchling", "hatch-irpytorch"]')
    assert text == requires + PROJECT + HOOK + WHEEL
    for name in (
        "pyproject.toml",
        ".gitattributes",
        ".pre-commit-config.yaml",
        ".github/workflows/irpytorch.yml",
    ):
        assert f"--- {name} on disk\n+++ {name} with hatch-irpytorch\n" in shown
        added = {f"+{line}" for line in (project / name).read_text().splitlines() if line}
        assert name == "pyproject.toml" or added <= set(shown.splitlines())
    (repo,) = yaml.safe_load((project / ".pre-commit-config.yaml").read_text())["repos"]
    files_of = re.compile(repo["hooks"][0]["files"])
    assert files_of.search("models/x.yaml") and not files_of.search("src/models/x.yaml")
    steps = yaml.safe_load((project / ".github/workflows/irpytorch.yml").read_text())["jobs"]
    assert {"run": "irpytorch check"} in steps["check"]["steps"]


def test_what_init_added_builds_and_checks(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p")
    assert init(project)[0] == 0
    code, text = build(project, "wheel")
    assert code == 0, text
    names = {"__init__.py", "affine.py", "py.typed"}
    assert wheel_names(project) == {f"acme_models/{name}" for name in names}
    assert run(project, "regen").returncode == 0
    assert run(project, "check").returncode == 0


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p")
    assert init(project, "--github", "--yes")[0] == 0
    before = files(project)
    for arguments in ([], ["--github"], ["--dry-run"], ["--package", "acme_models"]):
        assert init(project, *arguments) == (0, "", "")
    assert files(project) == before


def test_a_dry_run_only_shows(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p")
    before = files(project)
    code, shown, _ = init(project, "--dry-run")
    assert code == 1 and "+++ pyproject.toml with hatch-irpytorch" in shown
    assert files(project) == before and not (project / ".hatch").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("answer", "written"), [("y", True), ("n", False), ("", False)])
def test_a_terminal_is_asked(tmp_path: Path, answer: str, written: bool) -> None:
    project = new_project(tmp_path / "p")
    before = files(project)
    ours, theirs = os.openpty()
    os.write(ours, f"{answer}\n".encode())
    result = subprocess.run(
        [sys.executable, "-m", "hatch_irpytorch", "init"],
        cwd=project,
        stdin=theirs,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "write these changes? [y/N]" in result.stderr
    assert result.returncode == (0 if written else 1)
    assert (files(project) != before) == written


def test_lines_keep_their_endings_and_their_bytes(tmp_path: Path) -> None:
    text = (BUILD_SYSTEM + "# caf\u00e9\t \n" + PROJECT).replace("\n", "\r\n")
    project = new_project(tmp_path / "p", text)
    (project / ".gitattributes").write_bytes(b"*.txt text\r\n*.md text")
    assert init(project)[0] == 0
    for name in ("pyproject.toml", ".gitattributes"):
        data = (project / name).read_bytes()
        assert data.count(b"\n") == data.count(b"\r\n")
    new = (project / "pyproject.toml").read_bytes().decode("utf-8")
    assert new.replace(', "hatch-irpytorch"', "").startswith(text)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such rights")
def test_rights_are_kept(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p")
    (project / "pyproject.toml").chmod(0o640)
    assert init(project)[0] == 0
    assert (project / "pyproject.toml").stat().st_mode & 0o777 == 0o640


SPELLINGS = {
    "headers": BUILD_SYSTEM + PROJECT + HOOK + WHEEL,
    "quoted": BUILD_SYSTEM + PROJECT + WHEEL + '["tool".\'hatch\'."build".hooks."irpytorch"]\n'
    'package = "acme_models"\n',
    "dotted": BUILD_SYSTEM + PROJECT + "[tool]\n"
    'hatch.build.hooks.irpytorch.package = "acme_models"\n'
    'hatch.build.targets.wheel.packages = ["generated/acme_models"]\n',
    "inline": BUILD_SYSTEM + PROJECT + "[tool.hatch]\nbuild = {hooks = {irpytorch = {package = "
    '"acme_models"}}, targets = {wheel = {packages = ["generated/acme_models"]}}}\n',
    "of the wheel": BUILD_SYSTEM + PROJECT + WHEEL + HOOK.replace(
        "build.hooks", "build.targets.wheel.hooks"
    ),
}  # fmt: skip
REQUIREMENTS = (
    "hatch-irpytorch",
    "Hatch_IRPyTorch",
    "hatch.irpytorch>=0.1",
    " hatch-irpytorch @ git+https://host.invalid/x#subdirectory=hatch_irpytorch",
    "hatch-irpytorch[onnx]; python_version >= '3.10'",
)


@pytest.mark.parametrize("requirement", REQUIREMENTS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_is_there_is_recognised(tmp_path: Path, spelling: str, requirement: str) -> None:
    text = SPELLINGS[spelling].replace('"hatchling"]', f'"hatchling", "{requirement}"]')
    project = new_project(tmp_path / "p", text)
    assert init(project)[0] == 0
    assert (project / "pyproject.toml").read_text() == text


@pytest.mark.parametrize(
    "lines",
    ['dependencies = ["hatch-irpytorch"]\n', 'package = "n"\ndependencies = ["hatch_irpytorch"]\n'],
)
def test_a_requirement_of_the_hook_itself_is_recognised(tmp_path: Path, lines: str) -> None:
    hook = f"[tool.hatch.build.hooks.irpytorch]\n{lines}"
    project = new_project(tmp_path / "p", BUILD_SYSTEM + PROJECT + hook)
    assert init(project)[0] == 0
    data = tomllib.loads((project / "pyproject.toml").read_text())
    assert data["build-system"]["requires"] == ["hatchling"]


ARRAYS = {
    '["hatchling"]': '["hatchling", "hatch-irpytorch"]',
    "[ 'hatchling' , ] # a": "[ 'hatchling', \"hatch-irpytorch\" , ] # a",
    '[\n  "hatchling",\n]': '[\n  "hatchling",\n  "hatch-irpytorch",\n]',
    '[\n\t"hatchling" # ], "x"\n]': '[\n\t"hatchling", # ], "x"\n\t"hatch-irpytorch"\n]',
    '[\n    "hatchling", # why\n    # last\n]': '[\n    "hatchling", # why\n'
    '    "hatch-irpytorch",\n    # last\n]',
    '["hatchling",\n "tool"]': '["hatchling",\n "tool",\n "hatch-irpytorch"]',
    '["""hatchling""", \'\'\'a\'\'\']': '["""hatchling""", \'\'\'a\'\'\', "hatch-irpytorch"]',
    '[]': '["hatch-irpytorch"]',
    '[ # none\n]': '["hatch-irpytorch" # none\n]',
}  # fmt: skip


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("before", ARRAYS)
def test_an_array_in_every_spelling(tmp_path: Path, before: str, newline: str) -> None:
    for position in ("header", "inline", "dotted"):
        system = f'[build-system]\nrequires = {before}\nbuild-backend = "hatchling.build"\n'
        if position == "inline" and "\n" not in before and "#" not in before:
            system = f'build-system = {{requires = {before}, build-backend = "hatchling.build"}}\n'
        elif position == "dotted":
            system = f"build-system.requires = {before}\n"
            system += '"build-system".build-backend = "hatchling.build"\n'
        text = (system + PROJECT + HOOK + WHEEL).replace("\n", newline)
        project = new_project(tmp_path / position, text)
        code, _, stderr = init(project)
        assert code == 0, stderr
        expected = text.replace(
            before.replace("\n", newline), ARRAYS[before].replace("\n", newline)
        )
        assert (project / "pyproject.toml").read_bytes().decode() == expected


PLACES = {
    "a table of the wheel": (
        '[tool.hatch.build.targets.wheel] # mine\nexclude = ["x"]\n',
        ["generated/acme_models"],
    ),
    "packages": (
        '[tool.hatch.build.targets.wheel]\npackages = [\n  "src/a", # a\n]\n',
        ["src/a", "generated/acme_models"],
    ),
    "packages of the build": (
        '[tool.hatch.build]\npackages = ["src/a"]\n',
        ["src/a", "generated/acme_models"],
    ),
    "inline hooks": (
        '[tool.hatch.build]\nhooks = {custom = {path = "x.py"}}\n',
        ["generated/acme_models"],
    ),
    "inline build": ("[tool.hatch]\nbuild = {}\n", ["generated/acme_models"]),
    "dotted": ('[tool.hatch]\nbuild.targets.wheel.exclude = ["x"]\n', ["generated/acme_models"]),
    "tables below": (
        '[tool.hatch.build.targets.wheel.shared-data]\n"a" = "b"\n',
        ["generated/acme_models"],
    ),
    "no newline": ("[tool.hatch.build.targets.wheel]", ["generated/acme_models"]),
    "strings like headers": (
        '[tool.x]\na = """\n[tool.hatch.build.targets.wheel]\n"""\nb = \'[[\' # ]\n',
        ["generated/acme_models"],
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_tables_find_their_place(tmp_path: Path, place: str) -> None:
    more, packages = PLACES[place]
    text = f"{BUILD_SYSTEM}{PROJECT}\n{more}"
    project = new_project(tmp_path / "p", text)
    (project / "src/a").mkdir(parents=True)
    (project / "src/a/__init__.py").touch()
    code, _, stderr = init(project)
    if place == "dotted" and code == 2:
        assert "add by hand" in stderr and (project / "pyproject.toml").read_text() == text
        return
    assert code == 0, stderr
    new = (project / "pyproject.toml").read_text()
    data = tomllib.loads(new)["tool"]["hatch"]["build"]
    assert data["hooks"]["irpytorch"] == {"package": "acme_models"}
    wheel = data.get("targets", {}).get("wheel", {})
    assert wheel.get("packages", data.get("packages")) == packages
    rest = iter(new)
    assert all(character in rest for character in text), "only additions"
    assert init(project) == (0, "", "")


@pytest.mark.parametrize("manifests", ["some", "none", "no folder"])
def test_the_next_step_is_told_once(tmp_path: Path, manifests: str) -> None:
    project = new_project(tmp_path / "p")
    if manifests == "none":
        (project / "models/affine.yaml").unlink()
    elif manifests == "no folder":
        shutil.rmtree(project / "models")
    code, shown, _ = init(project, "--yes")
    last = shown.splitlines()[-1]
    if manifests == "some":
        assert last == "next: run `irpytorch regen`, then `git add generated tests/golden`"
    else:
        assert "`irpytorch import-onnx net.onnx -o models/net` or `irpytorch capture " in last
    assert (code, init(project, "--yes")[1]) == (0, "")


@pytest.mark.parametrize("taken", [".github", ".github/workflows", ".gitattributes"])
@pytest.mark.parametrize("words", [("--yes",), ("--dry-run",)])
def test_a_target_that_cannot_be_written_changes_nothing(
    tmp_path: Path, taken: str, words: tuple[str, ...]
) -> None:
    """Not those before it either."""
    project = new_project(tmp_path / "p")
    path = project / taken
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if taken == ".gitattributes" else path.touch()
    before = files(project)
    code, shown, stderr = init(project, "--package", "nn_x", "--github", *words)
    assert (code, shown) == (2, "")
    assert f"{taken}" in stderr and "error[cannot-write]: the file cannot be written" in stderr
    assert files(project) == before and not (project / ".hatch").exists()
