"""How commands end: cut messages, JSON with everything, the last net, and a reader that leaves."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run
from hypothesis import given
from hypothesis import strategies as st
from repository import ROOT

from hatch_irpytorch.cli import main
from hatch_irpytorch.errors import MAX_LINE, MAX_PROBLEMS, IRPyTorchError, Place, Problem
from hatch_irpytorch.unforeseen import ending

GRAPH = ROOT / "tests/sample_project/models/affine.ir.json"
COMMAND = f"{shlex.quote(sys.executable)} -m hatch_irpytorch"


@pytest.fixture
def many_problems(tmp_path: Path) -> Path:
    """A graph with 120 wrong shapes."""
    nodes = [{"id": 0, "kind": "input", "parents": [], "shape": [2]}]
    nodes += [{"id": i, "kind": "relu", "parents": [i - 1], "shape": [3]} for i in range(1, 121)]
    for number in range(1, 121):
        nodes[number]["shape"] = [2 + number % 2 * 1 + 1]
    document = {"format": "torchlean.ir.v1", "nodes": nodes, "input": 0, "outputs": [120]}
    (tmp_path / "many.json").write_text(json.dumps(document))
    return tmp_path


def test_of_many_problems_fifty_are_told_and_json_has_all(many_problems: Path) -> None:
    result = run(many_problems, "emit", "many.json")
    lines = result.stderr.splitlines()
    everything = run(many_problems, "emit", "many.json", "--json")
    objects = [json.loads(line) for line in everything.stderr.splitlines()]
    assert (result.returncode, everything.returncode) == (2, 2)
    assert len(objects) > MAX_PROBLEMS and len(lines) == MAX_PROBLEMS + 1
    assert lines[-1] == f"many.json: {len(objects) - MAX_PROBLEMS} more; `--json` has all"
    first = objects[0]
    assert set(first) == {
        *("severity", "code", "file", "line", "column", "node", "kind", "message", "hint"),
        *("field", "expected", "found"),
    }
    assert first["severity"] == "error" and first["file"] == "many.json"
    assert f"error[{first['code']}]: {first['message']}" in lines[0]


def test_json_may_stand_before_the_command_and_holds_notes(tmp_path: Path) -> None:
    value = json.loads(GRAPH.read_text())
    node = value["nodes"][1]
    numbers = {f"linear_1_{key}": node.pop(name) for key, name in (("W", "weight"), ("b", "bias"))}
    (tmp_path / "g.ir.json").write_text(json.dumps(value))
    import numpy as np
    from safetensors.numpy import save_file

    save_file({k: np.array(v) for k, v in numbers.items()}, tmp_path / "g.safetensors")
    result = run(tmp_path, "--json", "emit", "g.ir.json")
    note = json.loads(result.stderr)
    assert (result.returncode, note["severity"], note["code"]) == (0, "note", "params-beside")
    wrong = run(tmp_path, "--json", "emit", "g.ir.json", "--no-such-option")
    assert json.loads(wrong.stderr)["code"] == "bad-option"


@given(st.text(max_size=3000), st.text(max_size=5000), st.text(max_size=3000))
def test_every_message_is_one_printable_line_with_its_code(
    file: str, message: str, hint: str
) -> None:
    line = str(Problem("bad-json", Place(file), message, hint))
    assert len(line) <= MAX_LINE and line.isprintable() and "error[bad-json]" in line


def test_short_messages_are_whole() -> None:
    problem = Problem("bad-json", Place("f"), "m" * 1500, "h" * 300)
    assert str(problem) == f"f: error[bad-json]: {'m' * 1500}; {'h' * 300}"


def test_files_are_counted_apart() -> None:
    problems = [Problem("bad-json", Place(name), "no") for name in ("a", "b") for _ in range(60)]
    lines = str(IRPyTorchError(problems)).splitlines()
    assert len(lines) == 102 and lines[-2:] == [
        "a: 10 more; `--json` has all",
        "b: 10 more; `--json` has all",
    ]


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (ZeroDivisionError("division"), "internal", 70),
        (KeyError(99), "internal", 70),
        (SystemExit(0), "internal", 70),
        (AssertionError(), "internal", 70),
        (KeyboardInterrupt(), "interrupted", 130),
        (MemoryError(), "out-of-memory", 2),
        (RecursionError("maximum recursion depth"), "too-deep", 2),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 9000), "system", 2),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in"), "system", 2),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_whatever_is_raised_ends_in_one_line(
    error: BaseException,
    code: str,
    exit_code: int,
    debug: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command is the real one; only what it calls is made to raise."""

    def raises() -> None:
        raise error

    monkeypatch.setattr("hatch_irpytorch.manifest_fields.manifest_schema", raises)
    assert main(["schema", "--debug"] if debug else ["schema"]) == exit_code
    told = capsys.readouterr().err
    assert ("Traceback" in told) == debug
    last = told.splitlines()[-1]
    assert f"error[{code}]: " in last and (debug or told.count("\n") == 1)
    assert ("please report it" in last) == (code == "internal")


def test_an_internal_error_in_a_build_has_a_text() -> None:
    found = ending(ValueError("two\nlines"), "the build hook")
    assert found.code == 70 and "\n" not in found.text
    assert found.text.startswith("the build hook: error[internal]: this was not foreseen: ValueErr")


class MuteError(Exception):
    """An error of a user's own whose text cannot be had."""

    def __str__(self) -> str:
        raise LookupError("no text")


class MuteSystemError(MuteError, OSError):
    """One that looks like the system's."""


@pytest.mark.parametrize(
    ("error", "exit_code"), [(MuteError(), 70), (MuteSystemError(), 2), (MuteError("x", 1), 70)]
)
def test_an_error_that_cannot_say_anything_is_one_line(error: Exception, exit_code: int) -> None:
    found = ending(error)
    assert found.code == exit_code and "no message" in found.text and "\n" not in found.text


@pytest.mark.skipif(os.name != "posix", reason="pipes of a POSIX shell")
@pytest.mark.parametrize("reader", ["head -n 1", "true", "exec 0<&-"])
def test_a_reader_that_leaves_changes_no_exit_code(tmp_path: Path, reader: str) -> None:
    """Also where the errors go into the same pipe."""
    shutil.copytree(ROOT / "tests/sample_project", tmp_path / "project")
    for command, code in ((f"{COMMAND} check", 1), (f"{COMMAND} emit {GRAPH} -o -", 0)):
        for more in ("", "2>&1"):
            script = f"({command} {more}; echo $? > code) | {reader}"
            result = subprocess.run(
                ["sh", "-c", script], cwd=tmp_path / "project", capture_output=True, text=True
            )
            assert (tmp_path / "project/code").read_text() == f"{code}\n"
            assert "Traceback" not in result.stderr and "BrokenPipe" not in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_standard_output_is_an_error() -> None:
    script = f"{COMMAND} schema > /dev/full"
    result = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("standard output: error[cannot-write]: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")
def test_closed_streams_change_no_exit_code(tmp_path: Path, closed: str) -> None:
    for command, code in (("schema", 0), ("emit missing.json", 2)):
        script = f"{COMMAND} {command} {closed}"
        result = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == code and "Traceback" not in result.stderr
