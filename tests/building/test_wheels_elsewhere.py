"""Editable installs, sdists and wheels from them, `src` layouts, namespaces, real pip."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from command_line import called, run
from wheels import build, new_project, sdist_names, unpacked_sdist, wheel_names

WHEEL = "[tool.hatch.build.targets.wheel]\n"
PACKAGES = WHEEL + 'packages = ["generated/nets"]\n'
NETS = {"nets/__init__.py", "nets/affine.py", "nets/py.typed"}
INPUTS = {"models/affine.yaml", "models/affine.ir.json"}
FOUND = "import sys, nets.affine as m; print(m.__file__)"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A virtual environment that sees the packages of this one."""
    folder = tmp_path / "env"
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    site = next(iter(folder.glob("lib/python*/site-packages")), folder / "Lib/site-packages")
    here = sysconfig.get_path("purelib")
    (site / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def install(python: Path, *arguments: str) -> tuple[int, str]:
    """By pip of this environment into the other, with the hook that is installed here."""
    pytest.importorskip("editables", reason="hatchling needs it for editable installs")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check"]
    result = subprocess.run(
        [*command, *options, *arguments], capture_output=True, text=True, check=False
    )
    return result.returncode, result.stdout + result.stderr


def printed(python: Path, program: str, folder: Path) -> str:
    result = subprocess.run(
        [python, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


EDITABLE = {
    "packages": PACKAGES,
    "dev-mode-dirs": PACKAGES + '[tool.hatch.build]\ndev-mode-dirs = ["generated"]\n',
    "two dev-mode-dirs": PACKAGES + '[tool.hatch.build]\ndev-mode-dirs = [".", "./generated/"]\n',
    "only-include": WHEEL + 'only-include = ["generated"]\nsources = ["generated"]\n',
}


@pytest.mark.parametrize("layout", EDITABLE)
def test_an_editable_install_finds_the_module_in_the_tree(
    tmp_path: Path, python: Path, layout: str
) -> None:
    project = new_project(tmp_path / "p", EDITABLE[layout])
    code, text = install(python, "-e", str(project))
    assert code == 0, text
    assert printed(python, FOUND, tmp_path) == str(project / "generated/nets/affine.py")


@pytest.mark.parametrize(
    ("layout", "line"),
    [
        ('[tool.hatch.build]\ndev-mode-dirs = ["src"]\n' + PACKAGES, '["src", "generated"]'),
        ('[tool.hatch.build]\ndev-mode-dirs = ["."]\n' + PACKAGES, '[".", "generated"]'),
        (WHEEL + 'packages = ["generated/mine"]\n', 'packages = ["generated/nets"]'),
    ],
)
def test_an_editable_install_without_the_package_is_an_error(
    tmp_path: Path, layout: str, line: str
) -> None:
    project = new_project(tmp_path / "p", layout)
    code, text = build(project, "wheel:editable")
    assert code == 2 and "error[not-shipped]" in text and line in text
    assert not list((project / "dist").glob("*.whl"))


def test_an_editable_install_of_forced_files_holds_them(tmp_path: Path, python: Path) -> None:
    force = '[tool.hatch.build.targets.wheel.force-include]\n"generated/nets" = "nets"\n'
    project = new_project(tmp_path / "p", force)
    code, text = install(python, "-e", str(project))
    assert code == 0, text
    assert "site-packages" in printed(python, FOUND, tmp_path)


@pytest.mark.parametrize(
    ("package", "packages"),
    [
        ("acme.models", '["generated/acme"]'),
        ("acme.team.models", '["generated/acme"]'),
        ("acme.models", '["generated/acme", "src/own"]'),
    ],
)
def test_a_namespace_package(tmp_path: Path, python: Path, package: str, packages: str) -> None:
    hook = f'package = "{package}"'
    project = new_project(tmp_path / "p", f"{WHEEL}packages = {packages}\n", hook)
    folder = package.replace(".", "/")
    assert build(project, "wheel")[0] == 0
    names = {name.replace("nets", folder) for name in NETS}
    assert wheel_names(project) == names
    assert not (project / "generated/acme/__init__.py").exists()
    for options in ([], ["-e"]):
        code, text = install(python, "--force-reinstall", *options, str(project))
        assert code == 0, text
        program = f"import {package}.affine as m; print(m.Affine.__name__)"
        assert printed(python, program, tmp_path) == "Affine"
    assert called(project, "regen").returncode == 0
    assert called(project, "check").returncode == 0
    assert run(project, "verify").returncode == 0
    result = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "--clean", "--clean-only"],
        cwd=project,
        check=False,
    )
    assert result.returncode == 0 and not (project / "generated").exists()


def test_a_namespace_package_that_is_named_too_deep(tmp_path: Path) -> None:
    wheel = WHEEL + 'packages = ["generated/acme/models"]\n'
    project = new_project(tmp_path / "p", wheel, 'package = "acme.models"')
    code, text = build(project, "wheel")
    assert code == 2 and 'write `packages = ["generated/acme"]`' in text
    assert "as `models/__init__.py`, which is not `acme.models`" in text


def test_models_in_a_package_of_the_project(tmp_path: Path, python: Path) -> None:
    """`src/acme` is written by hand, `src/acme/models` by the hook."""
    wheel = WHEEL + 'packages = ["src/acme"]\n'
    hook = 'package = "acme.models"\noutput = "src"'
    project = new_project(tmp_path / "p", wheel, hook)
    (project / "src/acme").mkdir(parents=True)
    (project / "src/acme/__init__.py").write_text("mine = True\n")
    code, text = install(python, str(project))
    assert code == 0, text
    program = "import acme, acme.models.affine; print(acme.mine)"
    assert printed(python, program, tmp_path) == "True"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "--clean", "--clean-only"],
        cwd=project,
        check=True,
    )
    assert [p.name for p in (project / "src").rglob("*")] == ["acme", "__init__.py"]


SRC = 'package = "nets"\noutput = "src"'


@pytest.mark.parametrize(
    "options",
    [
        'packages = ["src/own", "src/nets"]\n',
        'only-include = ["src"]\nsources = ["src"]\n',
        'include = ["src/**"]\nsources = ["src"]\n',
    ],
)
def test_a_src_layout(tmp_path: Path, options: str) -> None:
    project = new_project(tmp_path / "p", WHEEL + options, SRC)
    (project / "src/own").mkdir(parents=True)
    (project / "src/own/__init__.py").touch()
    code, text = build(project, "wheel")
    assert code == 0, text
    assert wheel_names(project) == {*NETS, "own/__init__.py"}
    assert called(project, "regen").returncode == 0
    assert run(project, "verify").returncode == 0


SDISTS = {
    "plain": "",
    "include": '[tool.hatch.build.targets.sdist]\ninclude = ["/src"]\n',
    "only-include": '[tool.hatch.build.targets.sdist]\nonly-include = ["src", "pyproject.toml"]\n',
    "of the build": '[tool.hatch.build]\ninclude = ["/nothing"]\n',
}


@pytest.mark.parametrize("ignored", ["", "generated/\n", "models/\n*.json\n", "*\n"])
@pytest.mark.parametrize("options", SDISTS)
def test_a_wheel_from_an_sdist(tmp_path: Path, options: str, ignored: str) -> None:
    """Whatever git ignores or the options forget: an sdist has what its wheel is built from."""
    project = new_project(tmp_path / "p", PACKAGES + SDISTS[options])
    if ignored:
        (project / ".gitignore").write_text(ignored)
    code, text = build(project, "sdist")
    assert code == 0, text
    assert sdist_names(project) >= INPUTS
    assert not any(".hatch" in name for name in sdist_names(project))
    unpacked = unpacked_sdist(project, tmp_path / "sdist")
    code, text = build(unpacked, "wheel")
    assert code == 0, text
    assert wheel_names(unpacked) == NETS


def test_an_sdist_of_a_project_that_only_checks(tmp_path: Path) -> None:
    options = SDISTS["only-include"]
    project = new_project(tmp_path / "p", PACKAGES + options, 'package = "nets"\ncheck = true')
    assert called(project, "regen").returncode == 0
    assert build(project, "sdist")[0] == 0
    assert sdist_names(project) >= {
        "generated/irpytorch.lock/affine.json",
        "generated/nets/affine.py",
    }
    unpacked = unpacked_sdist(project, tmp_path / "sdist")
    assert build(unpacked, "wheel")[0] == 0 and wheel_names(unpacked) == NETS


@pytest.mark.parametrize("pattern", ["/models/", "*.yaml", "affine.*"])
def test_inputs_that_the_project_excludes_are_told(tmp_path: Path, pattern: str) -> None:
    exclude = f'[tool.hatch.build.targets.sdist]\nexclude = ["{pattern}"]\n'
    project = new_project(tmp_path / "p", PACKAGES + exclude)
    code, text = build(project, "sdist")
    assert code == 0 and "pyproject.toml: note[not-shipped]: the sdist lacks `models/aff" in text
    unpacked = unpacked_sdist(project, tmp_path / "sdist")
    code, text = build(unpacked, "wheel")
    assert code == 2 and wheel_names(unpacked) == set()


def test_an_unpacked_sdist_inside_a_repository_that_ignores_it(tmp_path: Path) -> None:
    """hatchling reads the ignore file of the repository around a project as if it were its own."""
    (tmp_path / ".gitignore").write_text("p/\nnets/\n*.json\n")
    (tmp_path / ".git").mkdir()
    project = new_project(tmp_path / "p", PACKAGES)
    for target in ("wheel", "sdist"):
        code, text = build(project, target)
        assert code == 0, text
    assert wheel_names(project) == NETS and sdist_names(project) >= INPUTS
