"""Wheels of every layout hold the package by its name and no lock file, or are not made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from wheels import build, new_project, wheel_names

WHEEL = "[tool.hatch.build.targets.wheel]\n"
NETS = {"nets/__init__.py", "nets/affine.py", "nets/py.typed"}

RIGHT = {
    "packages": WHEEL + 'packages = ["generated/nets"]\n',
    "packages of the build": '[tool.hatch.build]\npackages = ["generated/nets"]\n',
    "only-include": WHEEL + 'only-include = ["generated/nets"]\nsources = ["generated"]\n',
    "only-include of all": WHEEL + 'only-include = ["generated"]\nsources = ["generated"]\n',
    "include": WHEEL + 'include = ["/generated/nets"]\nsources = ["generated"]\n',
    "include by pattern": WHEEL + 'include = ["generated/**/*.py"]\nsources = ["generated"]\n',
    "sources as a table": WHEEL
    + 'only-include = ["generated"]\n[tool.hatch.build.targets.wheel.sources]\n"generated" = ""\n',
    "sources alone": WHEEL + 'include = ["*.py"]\nsources = {"generated/nets" = "nets"}\n',
    "force-include": '[tool.hatch.build.targets.wheel.force-include]\n"generated/nets" = "nets"\n',
    "force-include of the build": '[tool.hatch.build.force-include]\n"generated/nets" = "nets"\n',
    "exclude of a file": WHEEL + 'packages = ["generated/nets"]\nexclude = ["affine.py"]\n',
    "exclude of the folder": WHEEL + 'packages = ["generated/nets"]\nexclude = ["/generated/"]\n',
    "exclude of the build": '[tool.hatch.build]\nexclude = ["/x"]\n'
    + WHEEL
    + 'only-include = ["generated"]\nsources = ["generated"]\n',
}


@pytest.mark.parametrize("layout", RIGHT)
def test_a_layout_that_ships_the_package(tmp_path: Path, layout: str) -> None:
    project = new_project(tmp_path / "p", RIGHT[layout])
    code, text = build(project, "wheel")
    assert code == 0, text
    assert wheel_names(project) == NETS
    assert (project / "generated/irpytorch.lock/affine.json").exists()
    assert (project / ".hatch/irpytorch/process.lock").exists()


PACKAGES = 'packages = ["generated/nets"]'
SLIPS = {
    "another folder": (WHEEL + 'packages = ["generated/my_model"]\n', PACKAGES),
    "no options": ("", PACKAGES),
    "an empty table": (WHEEL, PACKAGES),
    "the output": (WHEEL + 'packages = ["generated"]\n', PACKAGES),
    "too deep": (WHEEL + 'packages = ["generated/nets/affine.py"]\n', PACKAGES),
    "others": (
        WHEEL + 'packages = ["src/own"]\n',
        'packages = ["src/own", "generated/nets"]',
    ),
    "no sources": (
        WHEEL + 'only-include = ["generated/nets", "src/own"]\n',
        'only-include = ["generated/nets", "src/own"]` and `sources = ["generated"]',
    ),
    "include without sources": (
        WHEEL + 'include = ["/generated/nets/**"]\n',
        'include = ["/generated/nets/**"]` and `sources = ["generated"]',
    ),
    "wrong sources": (
        WHEEL + 'only-include = ["generated/nets"]\nsources = ["generated/nets"]\n',
        'only-include = ["generated/nets"]` and `sources = ["generated"]',
    ),
    "renamed": (
        WHEEL + 'packages = ["generated/nets"]\nsources = {"generated/nets" = "others"}\n',
        PACKAGES,
    ),
    "forced elsewhere": (
        '[tool.hatch.build.targets.wheel.force-include]\n"generated/nets" = "own/nets"\n',
        PACKAGES,
    ),
    "one file": (
        '[tool.hatch.build.targets.wheel.force-include]\n"generated/nets/affine.py" = '
        '"nets/affine.py"\n',
        PACKAGES,
    ),
    "nothing on purpose": (WHEEL + "bypass-selection = true\n", PACKAGES),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_ends_with_the_line_to_write(tmp_path: Path, slip: str) -> None:
    wheel, line = SLIPS[slip]
    project = new_project(tmp_path / "p", wheel)
    (project / "src/own").mkdir(parents=True)
    (project / "src/own/__init__.py").touch()
    code, text = build(project, "wheel")
    assert code == 2 and wheel_names(project) == set()
    assert "pyproject.toml: error[not-shipped]: the wheel would " in text
    assert f"write `{line}` in [tool.hatch.build.targets.wheel]" in text


@pytest.mark.parametrize("slip", sorted({*SLIPS} - {"renamed", "nothing on purpose"}))
def test_the_line_to_write_is_right(tmp_path: Path, slip: str) -> None:
    """With the line written, the wheel holds the package and what it held before."""
    wheel, line = SLIPS[slip]
    project = new_project(tmp_path / "p", wheel)
    (project / "src/own").mkdir(parents=True)
    (project / "src/own/__init__.py").touch()
    for part in line.split("` and `"):
        key = part.split(" ")[0]
        wheel = re.sub(rf"^{key} = .*\n", "", wheel, flags=re.MULTILINE)
        wheel = wheel if WHEEL in wheel else WHEEL + wheel
        wheel = wheel.replace(WHEEL, f"{WHEEL}{part}\n")
    fixed = new_project(tmp_path / "q", wheel)
    (fixed / "src/own").mkdir(parents=True)
    (fixed / "src/own/__init__.py").touch()
    code, text = build(fixed, "wheel")
    assert code == 0, text
    assert wheel_names(fixed) >= NETS
    assert ("own/__init__.py" in {n.removeprefix("src/") for n in wheel_names(fixed)}) == (
        "src/own" in wheel
    )


def test_a_package_that_hatchling_finds_itself_is_kept_in_the_line(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p", "", name="own")
    (project / "src/own").mkdir(parents=True)
    (project / "src/own/__init__.py").touch()
    text = build(project, "wheel")[1]
    assert 'write `packages = ["src/own", "generated/nets"]`' in text


def test_a_module_that_hatchling_finds_itself_is_kept_in_the_line(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p", "", name="own")
    (project / "own.py").touch()
    text = build(project, "wheel")[1]
    assert (
        'write `only-include = ["own.py", "generated/nets"]` and `sources = ["generated"]`' in text
    )


@pytest.mark.parametrize(
    "wheel",
    [
        '[tool.hatch.build.targets.wheel.force-include]\n"generated" = "/"\n',
        WHEEL + 'packages = ["generated/nets"]\n'
        '[tool.hatch.build.targets.wheel.force-include]\n"generated" = "data"\n',
        WHEEL + 'only-include = ["generated"]\nsources = ["generated"]\nartifacts = ["*.json"]\n',
    ],
)
def test_lock_files_that_an_option_forces_are_an_error(tmp_path: Path, wheel: str) -> None:
    project = new_project(tmp_path / "p", wheel)
    code, text = build(project, "wheel")
    assert code == 2 and wheel_names(project) == set()
    assert "irpytorch.lock/__init__.json` and 1 more, notes of builds" in text


@pytest.mark.parametrize("folder", [".hatch", ".hatch/irpytorch"])
def test_the_process_lock_is_in_no_wheel(tmp_path: Path, folder: str) -> None:
    wheel = f'{WHEEL}only-include = ["generated/nets", "{folder}"]\nsources = ["generated"]\n'
    project = new_project(tmp_path / "p", wheel)
    for _ in range(2):
        code, text = build(project, "wheel")
        assert code == 0, text
        assert wheel_names(project) == NETS


def test_a_process_lock_that_is_forced_in_is_an_error(tmp_path: Path) -> None:
    force = '[tool.hatch.build.force-include]\n".hatch" = "nets/data"\n'
    project = new_project(tmp_path / "p", RIGHT["packages"] + force)
    for target in ("wheel", "sdist"):
        (project / ".hatch").mkdir(exist_ok=True)
        code, text = build(project, target)
        assert code == 2 and f"the {target} would hold `nets/data/irpytorch/.gitignore` and" in text


def test_ignored_outputs_are_shipped(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p", RIGHT["packages"])
    (project / ".gitignore").write_text("generated/\n*.py\n")
    assert build(project, "wheel")[0] == 0
    assert wheel_names(project) == NETS


def test_what_else_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """Only the package's folder is forced in: in `src` there are files of others."""
    wheel = WHEEL + 'only-include = ["src"]\nsources = ["src"]\n'
    project = new_project(tmp_path / "p", wheel, 'package = "nets"\noutput = "src"')
    (project / "src/own").mkdir(parents=True)
    (project / "src/own/__init__.py").touch()
    (project / "src/own/secret.env").write_text("secret\n")
    (project / ".gitignore").write_text("*.env\n")
    code, text = build(project, "wheel")
    assert code == 0, text
    assert wheel_names(project) == {*NETS, "own/__init__.py"}


def test_an_output_folder_with_signs_of_patterns(tmp_path: Path) -> None:
    wheel = WHEEL + 'packages = ["made[x]!/nets"]\n'
    project = new_project(tmp_path / "p", wheel, 'package = "nets"\noutput = "made[x]!"')
    (project / ".gitignore").write_text("made*\n")
    assert build(project, "wheel")[0] == 0
    assert wheel_names(project) == NETS


def test_two_tables_for_the_hook_are_an_error(tmp_path: Path) -> None:
    wheel = RIGHT["packages"] + (
        '[tool.hatch.build.targets.wheel.hooks.irpytorch]\npackage = "others"\n'
    )
    project = new_project(tmp_path / "p", RIGHT["packages"])
    assert build(project, "wheel")[0] == 0
    before = {p: p.read_bytes() for p in (project / "generated").rglob("*") if p.is_file()}
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace(RIGHT["packages"], wheel))
    for target in ("wheel", "sdist"):
        code, text = build(project, target)
        assert code == 2 and "error[bad-project]" in text and "differ in `package`" in text
    assert {p: p.read_bytes() for p in before} == before


def test_the_table_of_one_target_is_enough(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p", RIGHT["packages"])
    text = (project / "pyproject.toml").read_text()
    one = text.replace("build.hooks", "build.targets.wheel.hooks")
    (project / "pyproject.toml").write_text(one)
    assert build(project, "wheel")[0] == 0 and wheel_names(project) == NETS


def test_a_hatch_file_is_read_by_builds_too(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p", "")
    (project / "hatch.toml").write_text(
        '[build.hooks.irpytorch]\npackage = "others"\n'
        '[build.targets.wheel]\npackages = ["generated/others"]\n'
    )
    assert build(project, "wheel")[0] == 0
    assert wheel_names(project) == {name.replace("nets", "others") for name in NETS}


def test_what_nobody_foresaw_ends_a_build_in_one_line(tmp_path: Path) -> None:
    project = new_project(tmp_path / "p", RIGHT["packages"])
    (project / "sitecustomize.py").write_text(
        "import hatch_irpytorch.shipping as shipping\n"
        "def fails(*_):\n    raise KeyError('boom')\n"
        "shipping.mark_artifacts = fails\n"
    )
    code, text = build(project, "wheel", PYTHONPATH=str(project))
    assert code == 70 and text.count("error[internal]") == 1 and "boom" in text


@pytest.mark.parametrize(
    "options",
    [
        WHEEL + 'packages = "generated/nets"\n',
        WHEEL + "packages = [1]\n",
        WHEEL + 'only-include = ["../x"]\n',
        WHEEL + "exclude = [1]\n",
        WHEEL + 'exclude = "x"\n',
        RIGHT["packages"] + '[tool.hatch.build.force-include]\n"missing" = "x"\n',
    ],
)
@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_what_hatchling_refuses_is_no_mistake_of_ours(
    tmp_path: Path, options: str, target: str
) -> None:
    options = options.replace("targets.wheel", f"targets.{target}")
    project = new_project(tmp_path / "p", options)
    code, text = build(project, target)
    assert code == 2 and text.count("error[") == 1, text
    assert "error[bad-project]: hatchling refuses" in text or "error[not-shipped]" in text
    assert not list((project / "dist").glob("*"))
