"""Which table configures the hook, where commands find it, and what is no configuration."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from command_line import run
from hypothesis import given
from hypothesis import strategies as st
from repository import SAMPLE_PROJECT
from sample_copies import files

from hatch_irpytorch.configuration import MAX_BYTES, hook_tables, shipped_paths
from hatch_irpytorch.errors import IRPyTorchError
from hatch_irpytorch.project import Project, find_project, read_options

HOOK = '[tool.hatch.build.hooks.irpytorch]\npackage = "nets"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(SAMPLE_PROJECT, folder)
    return folder


def refused(project: Path, code: str, *words: str) -> None:
    """Each command ends with one error of this code and changes nothing."""
    before = files(project)
    for command in ("check", "regen"):
        result = run(project, command)
        assert (result.returncode, result.stdout) == (2, ""), result.stderr
        assert result.stderr.count("\n") == 1 and f"pyproject.toml: error[{code}]" in result.stderr
        assert all(word in result.stderr for word in words), result.stderr
    assert files(project) == before


ODDITIES = {
    "tool": "tool = 1\n",
    "tool.hatch": "tool = {hatch = []}\n",
    "tool.hatch.build": "[[tool.hatch.build]]\n",
    "tool.hatch.build.hooks": "[tool.hatch.build]\nhooks = 3\n",
    "tool.hatch.build.hooks.irpytorch": "[[tool.hatch.build.hooks.irpytorch]]\n",
    "tool.hatch.build.targets": "[tool.hatch.build]\ntargets = []\n",
    "tool.hatch.build.targets.wheel": '[tool.hatch.build.targets]\nwheel = "x"\n',
    "tool.hatch.build.targets.sdist.hooks": "[tool.hatch.build.targets.sdist]\nhooks = true\n",
    "tool.hatch.build.hooks.custom": "[tool.hatch.build.hooks]\ncustom = 1.5\n",
}


@pytest.mark.parametrize("where", ODDITIES)
def test_what_is_no_table_is_named(project: Path, where: str) -> None:
    (project / "pyproject.toml").write_text(ODDITIES[where])
    refused(project, "bad-project", f"`{where}` must be a table, found ")


NOT_TOML = {
    "UTF-8": b"[project]\nname = '\xff'\n",
    "UTF-16": HOOK.encode("utf-16"),
    "a mark": b"\xef\xbb\xbf[project]\n",
    "NUL": b"[project]\nname = '\0'\n",
    "an integer": b"x = " + b"1" * 5000 + b"\n",
    "twice": b"[tool]\n[tool]\n",
    "arrays": b"x = " + b"[" * 100_000,
    "closed arrays": b"x = " + b"[" * 20_000 + b"]" * 20_000,
    "tables": b"x = " + b"{a = " * 20_000 + b"1" + b"}" * 20_000,
    "large": b"# " + b"x" * MAX_BYTES,
    "a date": b"x = 2001-02-31\n",
    "a long key": b"a." * 100_000 + b"a = 1\n",
    "a long header": b"[" + b"a . " * 100_000 + b"a]\n",
}


@pytest.mark.parametrize("kind", NOT_TOML)
def test_what_is_no_text_of_ours(project: Path, kind: str) -> None:
    (project / "pyproject.toml").write_bytes(NOT_TOML[kind])
    refused(project, "bad-project")


def test_what_is_no_file(project: Path) -> None:
    file = project / "pyproject.toml"
    for kind in ("pipe", "folder", "device", "sparse", "loop"):
        file.unlink()
        if kind == "pipe":
            os.mkfifo(file)
        elif kind == "folder":
            file.mkdir()
        elif kind == "sparse":
            with file.open("wb") as stream:
                stream.truncate(1 << 40)
        else:
            file.symlink_to("/dev/zero" if kind == "device" else file)
        for command in ("check", "regen"):
            result = run(project, command)
            assert result.returncode == 2 and "error[bad-project]" in result.stderr, kind
            assert "the file cannot be read" in result.stderr
        if kind == "folder":
            file.rmdir()
            file.touch()


def test_many_dotted_keys_end_soon(project: Path) -> None:
    line = "a." * 499 + "a"
    (project / "pyproject.toml").write_text("".join(f"{line}{n} = 1\n" for n in range(200)))
    refused(project, "bad-project", "no build hook")


@given(st.recursive(st.integers() | st.text(), lambda v: st.dictionaries(
    st.sampled_from(["build", "targets", "wheel", "hooks", "irpytorch", "custom", "path"]), v)
    | st.lists(v)))  # fmt: skip
def test_any_value_gives_tables_or_one_error(value: object) -> None:
    try:
        tables = hook_tables(value) if isinstance(value, dict) else []
    except IRPyTorchError as error:
        assert [problem.code for problem in error.problems] == ["bad-project"]
    else:
        assert all(isinstance(table.options, dict) for table in tables)


def test_commands_find_the_project_upwards(project: Path) -> None:
    assert run(project / "models", "regen").stdout.startswith("generated/nets/__init__.py\n")
    (project / "models/affine.ir.json").write_text(
        (project / "models/affine.ir.json").read_text().replace("0.25", "0.75")
    )
    result = run(project / "generated/nets", "check")
    assert result.returncode == 1 and "--- generated/nets/affine.py on disk" in result.stdout
    assert run(project / "tests/golden", "regen", "affine").returncode == 0
    assert run(project / "models", "check").returncode == 0


def test_paths_of_the_command_line_are_those_of_the_working_directory(project: Path) -> None:
    assert run(project, "regen").returncode == 0
    result = run(project / "models", "export", "affine", "-o", "out.ir.json")
    assert (result.returncode, result.stdout) == (0, "out.ir.json\n")
    assert json.loads((project / "models/out.ir.json").read_text())["format"] == "torchlean.ir.v1"


def test_a_distribution_without_the_hook_is_passed_over(project: Path) -> None:
    inner = project / "packages/other"
    inner.mkdir(parents=True)
    (inner / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert find_project(inner).root == project.resolve()
    (inner / "pyproject.toml").write_text(HOOK.replace("nets", "inner"))
    assert find_project(inner).root == inner.resolve()
    (inner / "pyproject.toml").write_text("[project\n")
    with pytest.raises(IRPyTorchError, match="bad-project"):
        find_project(inner)


def test_a_folder_without_any_project(tmp_path: Path) -> None:
    with pytest.raises(IRPyTorchError, match="missing-file"):
        find_project(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    (tmp_path / "below").mkdir()
    with pytest.raises(IRPyTorchError, match=r"bad-project.*irpytorch init"):
        find_project(tmp_path / "below")


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        "import os, sys; from hatch_irpytorch.cli.main import main\n"
        f"os.mkdir({str(tmp_path / 'gone')!r}); os.chdir({str(tmp_path / 'gone')!r})\n"
        "os.rmdir(os.getcwd()); sys.exit(main(['check']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2 and result.stderr.count("\n") == 1


TWICE = """
[tool.hatch.build.targets.wheel.hooks.irpytorch]
package = "other"
"""


def test_two_tables_that_differ(project: Path) -> None:
    with (project / "pyproject.toml").open("a") as stream:
        stream.write(TWICE)
    refused(
        project,
        "bad-project",
        "`tool.hatch.build.hooks.irpytorch` and "
        "`tool.hatch.build.targets.wheel.hooks.irpytorch` differ in `package`",
    )


@pytest.mark.parametrize("option", ['output = "src"', 'models = "nets"', "check = true"])
def test_tables_of_two_targets_that_differ(project: Path, option: str) -> None:
    text = (project / "pyproject.toml").read_text()
    of_targets = [
        f'[tool.hatch.build.targets.{name}.hooks.irpytorch]\npackage = "nets"\n'
        for name in ("sdist", "wheel")
    ]
    (project / "pyproject.toml").write_text(text.replace(HOOK, "\n".join(of_targets)))
    assert run(project, "check").returncode == 1
    with (project / "pyproject.toml").open("a") as stream:
        stream.write(f"{option}\n")
    refused(project, "bad-project", f"differ in `{option.split()[0]}`")


def test_a_custom_hook_of_others_is_not_ours(project: Path) -> None:
    text = (project / "pyproject.toml").read_text()
    target = HOOK.replace("build.hooks", "build.targets.wheel.hooks")
    custom = '[tool.hatch.build.hooks.custom]\npath = "mine.py"\npackage = "theirs"\n'
    (project / "pyproject.toml").write_text(text.replace(HOOK, custom + target))
    assert find_project(project).package == "nets"


def test_a_hatch_file_goes_before_the_project_file(project: Path) -> None:
    (project / "hatch.toml").write_text('[build.hooks.irpytorch]\npackage = "others"\n')
    assert find_project(project).package == "others"
    (project / "hatch.toml").write_text("build = 1\n")
    refused(project, "bad-project", "`tool.hatch.build` must be a table")
    (project / "hatch.toml").unlink()
    os.mkfifo(project / "hatch.toml")
    result = run(project, "check")
    assert result.returncode == 2 and "hatch.toml: error[bad-project]" in result.stderr


@pytest.mark.parametrize("name", ["acme.torch", "acme.", ".acme", "a..b", "acme.Nets", "acme.con"])
def test_each_part_of_a_package_is_a_checked_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(IRPyTorchError, match="bad-name"):
        read_options(tmp_path, {"package": name})


def test_folders_of_a_dotted_package(tmp_path: Path) -> None:
    found = read_options(tmp_path, {"package": "acme.models", "output": "src"})
    assert found == Project(tmp_path.resolve(), output="src", package="acme.models")
    assert found.package_path == "src/acme/models"
    assert found.package_folders == ("src/acme/models", "src/acme", "src")


def test_what_the_wheel_names_below_the_output() -> None:
    wheel = {"packages": ["src/nets", "./src/acme/", "lib/b"], "include": ["/src/more/**/*.py"]}
    hatch = {"build": {"targets": {"wheel": wheel}, "force-include": {"src/one.py": "one.py"}}}
    assert shipped_paths(hatch, "src") == ("src/acme", "src/more", "src/nets", "src/one.py")
    assert shipped_paths({"build": {"only-include": ["src"]}}, "src") == ("src",)
    assert shipped_paths({"build": {"include": ["*.py"]}}, "src") == ()


def test_the_project_knows_what_is_shipped(project: Path) -> None:
    assert find_project(project).shipped == ("generated/nets",)
