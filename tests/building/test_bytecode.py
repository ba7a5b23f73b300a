"""Bytecode that Python would run in place of a generated module is found; its own is not."""

from __future__ import annotations

import importlib.util
import marshal
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from hatch_irpytorch.build.bytecode import foreign_bytecode
from hatch_irpytorch.project import Project

PACKAGE = "generated/nets"
CACHES = f"{PACKAGE}/__pycache__"
TAG = sys.implementation.cache_tag
TEXT = '''\
"""Net."""

TABLE = "0.5 -0.0 nan"


class Net:
    def forward(self, x: float) -> object:
        y = [x * 1e-300, -0.0, 2j, ..., b"a", None] if x in {1.0, 2.0, 3.0} else (x, (1, "a"))
        return lambda z: (y, z)
'''
TIMES, CHECKED, UNCHECKED = py_compile.PycInvalidationMode
MODES = [TIMES, CHECKED, UNCHECKED]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / CACHES).mkdir(parents=True)
    for name in ("net", "__init__"):
        (tmp_path / PACKAGE / f"{name}.py").write_text(TEXT)
    return Project(tmp_path, package="nets")


def compiled(
    project: Project,
    text: str,
    mode: py_compile.PycInvalidationMode,
    name: str = f"net.{TAG}.pyc",
    optimize: int = -1,
) -> Path:
    """A cache of net.py that has the code of `text`, and every other sign of that of net.py."""
    source, cache = project.root / PACKAGE / "net.py", project.root / CACHES / name
    py_compile.compile(
        str(source), str(cache), doraise=True, optimize=optimize, invalidation_mode=mode
    )
    code = compile(text, str(source), "exec", dont_inherit=True, optimize=optimize)
    cache.write_bytes(cache.read_bytes()[:16] + marshal.dumps(code))
    return cache


def found(project: Project) -> list[str]:
    problems = foreign_bytecode(project)
    assert {problem.code for problem in problems} <= {"foreign-code"}
    return [problem.place.file.removeprefix(f"{CACHES}/") for problem in problems]


def test_modes_are_in_the_order_that_is_meant() -> None:
    assert [mode.name for mode in MODES] == ["TIMESTAMP", "CHECKED_HASH", "UNCHECKED_HASH"]


@pytest.mark.parametrize("flags", [[], ["-O"], ["-OO"]])
def test_what_python_writes_itself_is_no_finding(project: Project, flags: list[str]) -> None:
    command = [sys.executable, *flags, "-c", "import nets.net"]
    environment = {**os.environ, "PYTHONPATH": str(project.root / "generated")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(command, env=environment, check=True)
    assert len(list((project.root / CACHES).iterdir())) == 2
    assert found(project) == []


@pytest.mark.parametrize("mode", [TIMES, CHECKED])
@pytest.mark.parametrize(("ending", "optimize"), [("", 0), (".opt-1", 1), (".opt-2", 2)])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-0.5", "-0.5"),
        ("1e-300", "1e-301"),
        ("-0.0, 2j", "0.0, 2j"),
        ("x in {1.0", "x in {1.5"),
        ("(1, ", "(True, "),
        ("return lambda", "print()\n        return lambda"),
        ("nan", "inf"),
    ],
)
def test_code_of_another_text_is_found(
    project: Project,
    mode: py_compile.PycInvalidationMode,
    ending: str,
    optimize: int,
    old: str,
    new: str,
) -> None:
    name = f"net.{TAG}{ending}.pyc"
    compiled(project, TEXT.replace(old, new), mode, name, optimize)
    assert found(project) == ([] if old == new else [name])


def test_a_cache_that_python_would_not_take_is_no_finding(project: Project) -> None:
    """Of an older source, of another Python, of something that is no module of ours."""
    other = TEXT.replace("nan", "inf")
    compiled(project, other, TIMES)
    source = project.root / PACKAGE / "net.py"
    os.utime(source, (1, 1))
    assert found(project) == []
    compiled(project, other, TIMES, "net.cpython-399.pyc")
    compiled(project, other, TIMES, "net.nothing")
    compiled(project, other, UNCHECKED, "Net.Other.pyc")
    compiled(project, other, TIMES, f"net.{TAG}-pytest-8.0.0.pyc")
    cache = compiled(project, other, CHECKED)
    cache.write_bytes(b"\0\0\r\n" + cache.read_bytes()[4:])
    assert found(project) == []


def test_a_file_that_is_run_unseen_is_found_whatever_it_holds(project: Project) -> None:
    names = [f"net.{TAG}.pyc", "net.cpython-399.pyc", f"net.{TAG}.opt-1.pyc", "net.pyc"]
    for name in names:
        compiled(project, TEXT, UNCHECKED, name)
    assert found(project) == sorted(names)


def crash() -> bytes:
    """A code object whose code names constants that it does not have."""
    code = compile("x = (1, 2, y)", "<>", "exec")
    return marshal.dumps(code.replace(co_consts=()))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xe3",
        marshal.dumps(7),
        marshal.dumps(compile("exit()", "<>", "exec"))[:-3],
        b"(\xff\xff\xff\x7f",
        b")\x01" * 5000,
        b"\xf3" + b"\xff" * 200,
        crash(),
    ],
)
def test_a_crafted_file_is_a_finding_and_ends_nothing(project: Project, body: bytes) -> None:
    for name in ("a", "net", "z"):
        (project.root / PACKAGE / f"{name}.py").write_text(TEXT)
        source = project.root / PACKAGE / f"{name}.py"
        py_compile.compile(str(source), invalidation_mode=CHECKED, doraise=True)
    cache = project.root / CACHES / f"net.{TAG}.pyc"
    cache.write_bytes(cache.read_bytes()[:16] + body)
    assert found(project) == [f"net.{TAG}.pyc"]


def test_files_that_end_the_process_are_told_one_by_one(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As if loading `b` and `d` ended it."""
    program = tmp_path / "program.py"
    program.write_text(
        "import json, os, sys\n"
        "for source, cache, level in json.load(sys.stdin):\n"
        "    if os.path.basename(source) in ('b.py', 'd.py'): os.abort()\n"
        "    print('same', flush=True)\n"
    )
    monkeypatch.setattr("hatch_irpytorch.build.code_objects.__file__", str(program))
    for name in "abcde":
        source = project.root / PACKAGE / f"{name}.py"
        source.write_text(TEXT)
        py_compile.compile(str(source), doraise=True)
    assert found(project) == [f"b.{TAG}.pyc", f"d.{TAG}.pyc"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in this file system")
def test_a_pipe_and_a_link_among_the_caches(project: Project, tmp_path: Path) -> None:
    cache = compiled(project, TEXT.replace("nan", "inf"), CHECKED)
    cache.rename(tmp_path / "elsewhere.pyc")
    cache.symlink_to(tmp_path / "elsewhere.pyc")
    os.mkfifo(project.root / CACHES / f"__init__.{TAG}.pyc")
    assert found(project) == [f"__init__.{TAG}.pyc", f"net.{TAG}.pyc"]


def test_a_folder_of_caches_that_leads_elsewhere_is_a_finding(
    project: Project, tmp_path: Path
) -> None:
    (project.root / CACHES).rmdir()
    (tmp_path / "other").mkdir()
    (project.root / CACHES).symlink_to(tmp_path / "other")
    (problem,) = foreign_bytecode(project)
    assert problem.place.file == CACHES


def test_nothing_is_asked_where_there_is_no_cache(project: Project) -> None:
    (project.root / CACHES).rmdir()
    assert foreign_bytecode(project) == []


def test_importlib_takes_what_is_said_to_be_taken(project: Project) -> None:
    """What the findings rest on: this Python runs a cache with the right signs."""
    for mode, taken in zip(MODES, (True, True, True), strict=True):
        compiled(project, "TABLE = 'planted'", mode)
        spec = importlib.util.spec_from_file_location("net", project.root / PACKAGE / "net.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert (module.TABLE == "planted") is taken
