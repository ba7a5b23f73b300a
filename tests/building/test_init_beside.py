"""`irpytorch init` and what is there already: attributes, pre-commit, other builds, odd files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from fresh_projects import BUILD_SYSTEM, HOOK, PROJECT, WHEEL, files, init, new_project
from repository import ROOT
from wheels import build, wheel_names

from hatch_irpytorch.init.texts import with_attributes
from hatch_irpytorch.project import find_project


def test_what_hatchling_found_itself_is_still_shipped(tmp_path: Path) -> None:
    for name in ("src/acme/__init__.py", "acme/__init__.py", "acme.py"):
        project = new_project(tmp_path / name.replace("/", "-"))
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()
        assert build(project, "wheel")[0] == 0
        before = wheel_names(project)
        assert init(project)[0] == 0
        assert build(project, "wheel")[0] == 0
        assert wheel_names(project) > before == {name.removeprefix("src/")}


def test_files_that_a_wheel_includes_are_still_shipped(tmp_path: Path) -> None:
    wheel = '\n[tool.hatch.build.targets.wheel]\ninclude = ["/own/**"]\n'
    project = new_project(tmp_path / "p", BUILD_SYSTEM + PROJECT + wheel)
    (project / "own").mkdir()
    (project / "own/__init__.py").touch()
    assert init(project)[0] == 0
    code, text = build(project, "wheel")
    assert code == 0, text
    assert {"own/__init__.py", "acme_models/affine.py"} <= wheel_names(project)


def test_this_repository_has_the_attributes() -> None:
    root = ROOT
    text = (root / ".gitattributes").read_text()
    assert with_attributes(text, find_project(root)) == text


def test_a_pattern_with_a_line_keeps_it(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p")
    mine = "models/*.yaml text eol=crlf\nweights/*.safetensors filter=lfs diff=lfs merge=lfs -text"
    (project / ".gitattributes").write_text(mine)
    assert init(project)[0] == 0
    new = (project / ".gitattributes").read_text()
    assert new.startswith(f"{mine}\n") and new.count("models/*.yaml") == 1
    assert "*.safetensors binary" not in new


@pytest.mark.parametrize("output", ["made here", "made[x]", "#made", "!made", "m\u00e4de"])
def test_attributes_are_those_that_git_gives(tmp_path: Path, output: str) -> None:
    hook = f"{HOOK}output = '{output}'\n"
    project = new_project(tmp_path / "p", BUILD_SYSTEM + PROJECT + hook)
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    assert init(project)[0] == 0
    names = {
        f"{output}/acme_models/a.py": "eol: lf",
        f"{output}/irpytorch.lock/a.json": "eol: lf",
        "models/a.yaml": "eol: lf",
        "models/a.ir.json": "eol: lf",
        "tests/golden/a.json": "eol: lf",
        "models/a.safetensors": "text: unset",
        f"{output}/acme_models/a.safetensors": "linguist-generated: set",
    }
    for name, attribute in names.items():
        result = subprocess.run(
            ["git", "-c", "core.quotepath=off", "check-attr", "-a", "--", name],
            cwd=project,
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        assert attribute in result.stdout, (name, result.stdout)


CONFIGURATIONS = {
    "indented": "repos:\n  - repo: local\n    hooks:\n      - id: a  # mine\n",
    "not indented": "# top\nrepos:\n- repo: https://host.invalid/x\n  rev: v1\n  hooks:\n"
    "  - id: a\n    args: [--x, y]\n",
    "keys below": "repos:\n  - repo: local\n    hooks: []\n    rev: x\n\n# ci\nci:\n  skip: [a]\n",
    "keys above": "exclude: ^x\nrepos:\n  - repo: local\n    hooks: [{id: a}]",
    "block text": "repos:\n  - repo: local\n    hooks:\n      - id: a\n        entry: |\n"
    "          x\n          y\nfail_fast: true\n",
    "brackets": "repos:\n  - repo: local\n    hooks: [\n      {id: a}\n    ]\nci: {}\n",
    "crlf": "repos:\r\n  - repo: local\r\n    hooks:\r\n      - id: a\r\n",
    "empty": "# nothing yet\n",
}


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_an_entry_is_added_to_pre_commit(tmp_path: Path, kind: str) -> None:
    text = CONFIGURATIONS[kind]
    project = new_project(tmp_path / "p")
    file = project / ".pre-commit-config.yaml"
    file.write_bytes(text.encode())
    code, _, stderr = init(project)
    assert code == 0, stderr
    new = file.read_bytes().decode()
    rest = iter(new)
    assert all(character in rest for character in text), "only additions"
    before, after = yaml.safe_load(text) or {}, yaml.safe_load(new)
    assert after["repos"][:-1] == before.get("repos", [])
    assert after["repos"][-1]["hooks"][0]["id"] == "irpytorch-check"
    assert {**after, "repos": 0} == {**before, "repos": 0}
    assert new.count("\r\n") in (0, new.count("\n"))
    assert init(project) == (0, "", "")


def test_an_entry_that_is_there_is_kept(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p")
    text = (
        "repos:\n  - repo: https://host.invalid/x\n    rev: x\n    hooks: [{id: irpytorch-check}]\n"
    )
    (project / ".pre-commit-config.yaml").write_text(text)
    assert init(project)[0] == 0
    assert (project / ".pre-commit-config.yaml").read_text() == text


def test_a_workflow_that_is_there_is_kept(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p")
    file = project / ".github/workflows/irpytorch.yml"
    file.parent.mkdir(parents=True)
    file.write_text("mine: true\n")
    assert init(project, "--github")[0] == 0
    assert file.read_text() == "mine: true\n"


def test_a_workflow_installs_what_the_build_requires(tmp_path: Path) -> None:
    asked = "hatch-irpytorch @ git+https://host.invalid/x#subdirectory=hatch_irpytorch"
    text = BUILD_SYSTEM.replace('"hatchling"]', f'"hatchling", "{asked}"]') + PROJECT
    project = new_project(tmp_path / "p", text)
    assert init(project, "--github")[0] == 0
    steps = yaml.safe_load((project / ".github/workflows/irpytorch.yml").read_text())["jobs"]
    assert {"run": f"python -m pip install '{asked}'"} in steps["check"]["steps"]


def test_below_the_top_of_a_repository_only_its_own_files_are_written(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    project = new_project(tmp_path / "p")
    code, shown, stderr = init(project / "models", "--github")
    assert code == 0 and "pre-commit" in stderr and ".pre-commit-config.yaml" not in shown
    assert {".gitattributes", "pyproject.toml"} <= set(files(project))
    assert not (tmp_path / ".pre-commit-config.yaml").exists()


OF_A_TARGET = HOOK.replace("build.hooks", "build.targets.x.hooks").replace("acme", "other")
REFUSED = {
    "setuptools": (BUILD_SYSTEM.replace("hatchling.build", "setuptools.build_meta"), "setuptools"),
    "no build-system": (PROJECT, "no `build-backend`"),
    "no backend": ('[build-system]\nrequires = ["hatchling"]\n' + PROJECT, "no `build-backend`"),
    "a number": ("[build-system]\nbuild-backend = 1\n" + PROJECT, "must be built by hatchling"),
    "no table": ("build-system = 1\n" + PROJECT, "`build-system` must be a table"),
    "tool": ("tool = 1\n" + BUILD_SYSTEM + PROJECT, "`tool` must be a table"),
    "not TOML": ("[project\n", "not TOML"),
    "no requires": ('[build-system]\nbuild-backend = "hatchling.build"\n' + PROJECT, "add by hand"),
    "requires": (BUILD_SYSTEM.replace('["hatchling"]', '"hatchling"') + PROJECT, "add by hand"),
    "no name": (BUILD_SYSTEM + "[project]\nversion = '1'\n", "name the package by `--package`"),
    "a bad name": (BUILD_SYSTEM + PROJECT.replace("acme", "9"), "error[bad-name]"),
    "two tables": (
        BUILD_SYSTEM + PROJECT + HOOK + OF_A_TARGET,
        "differ in `package`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_project_that_cannot_use_the_hook(tmp_path: Path, kind: str) -> None:
    text, words = REFUSED[kind]
    project = new_project(tmp_path / "p", text)
    before = files(project)
    code, shown, stderr = init(project)
    assert (code, shown) == (2, "") and words in stderr and stderr.count("\n") == 1
    assert files(project) == before


@pytest.mark.parametrize("name", ["pyproject.toml", ".gitattributes", ".pre-commit-config.yaml"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "bytes", "large"])
def test_an_odd_file_is_one_error_and_nothing_changes(tmp_path: Path, name: str, kind: str) -> None:
    project = new_project(tmp_path / "p")
    file = project / name
    content = file.read_bytes() if file.exists() else b"repos: [] \n"
    file.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "link":
        (tmp_path / "target").write_bytes(content)
        file.symlink_to(tmp_path / "target")
    else:
        file.write_bytes(b"\xff\n" if kind == "bytes" else b"# " + b"x" * (1 << 21))
    before = files(project)
    code, shown, stderr = init(project)
    assert (code, shown) == (2, "") and stderr.count("\n") == 1 and name in stderr
    assert files(project) == before


def test_a_package_that_is_configured_otherwise(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p", BUILD_SYSTEM + PROJECT + HOOK + WHEEL)
    code, _, stderr = init(project, "--package", "others")
    assert code == 2 and "--package: error[bad-option]" in stderr


def test_a_dotted_package(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p")
    assert init(project, "--package", "acme.models")[0] == 0
    assert build(project, "wheel")[0] == 0
    assert "acme/models/affine.py" in wheel_names(project)


def test_a_build_that_a_hatch_file_configures(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p")
    (project / "hatch.toml").write_text('[build]\nexclude = ["x"]\n')
    before = files(project)
    code, _, stderr = init(project)
    assert code == 2 and "hatch.toml: error[bad-project]" in stderr and "add by hand" in stderr
    assert files(project) == before
