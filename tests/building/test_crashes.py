"""Killed builds, full disks, read-only folders, neighbours: old files or new ones, never half."""

from __future__ import annotations

import ctypes
import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from repository import ROOT
from sample_copies import files

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.build import model
from hatch_irpytorch.build.content import Content
from hatch_irpytorch.build.current import build_outputs
from hatch_irpytorch.build.files import replace_file
from hatch_irpytorch.build.regenerate import regenerate
from hatch_irpytorch.project import find_project

MODULE = "generated/nets/affine.py"
_DROP_CAPABILITY, _OVERRIDE = 24, 1
_MEMORY = Path("/dev/shm")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "tests/sample_project", folder)
    return folder


def start(
    folder: Path, *arguments: str, before: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hatch_irpytorch", *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


def run(folder: Path, *arguments: str, before: Callable[[], None] | None = None) -> tuple[int, str]:
    process = start(folder, *arguments, before=before)
    _, stderr = process.communicate()
    assert "Traceback" not in stderr
    return process.returncode, stderr


def edit_weight(project: Path, value: float = 0.75) -> None:
    graph = project / "models/affine.ir.json"
    content = json.loads(graph.read_text())
    content["nodes"][1]["bias"][0] = value
    graph.write_text(json.dumps(content))


def test_a_build_killed_at_any_step_leaves_old_or_new_files(project: Path, tmp_path: Path) -> None:
    for name in ("removed", "second"):
        (project / f"models/{name}.yaml").write_text("ir: affine.ir.json\n")
    program = [sys.executable, str(ROOT / "tests/killed_builds.py"), str(project)]
    # It is the process that is killed, not the machine: what waits for a disk only takes longer.
    with TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else tmp_path) as scratch:
        command = [*program, scratch]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 200


def test_a_full_disk_is_one_error_and_old_files(project: Path) -> None:
    assert run(project, "regen")[0] == 0
    edit_weight(project)
    before = files(project)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    code, stderr = run(project, "regen", before=limit)
    assert code == 2 and "error[cannot-write]: the file cannot be written: " in stderr
    after = files(project)
    assert after == before
    assert run(project, "regen")[0] == 0


def without_override() -> None:
    """Root no longer passes over the permissions of files."""
    ctypes.CDLL(None).prctl(_DROP_CAPABILITY, _OVERRIDE, 0, 0, 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="drops a capability of Linux")
def test_a_read_only_folder_is_one_error(project: Path) -> None:
    assert run(project, "regen")[0] == 0
    edit_weight(project)
    before = files(project)
    package = project / "generated/nets"
    package.chmod(0o555)
    code, stderr = run(project, "regen", before=without_override)
    package.chmod(0o755)
    assert code == 2
    assert f"{MODULE}: error[cannot-write]: the file cannot be written: Permission den" in stderr
    assert files(project) == before
    assert run(project, "regen")[0] == 0


@pytest.mark.parametrize(
    "path", [MODULE, "generated/irpytorch.lock/affine.json", "generated", "tests"]
)
def test_a_folder_where_a_file_belongs_or_the_reverse(project: Path, path: str) -> None:
    target = project / path
    if target.suffix:
        target.mkdir(parents=True)
        (target / "mine.txt").write_text("mine")
    else:
        target.write_text("mine")
    before = files(project)
    code, stderr = run(project, "regen")
    assert code == 2 and path.split("/")[0] in stderr
    kept = {name: data for name, data in files(project).items() if name in before}
    assert kept == before


@pytest.mark.parametrize("edited", ["affine.ir.json", "affine.yaml", "affine.safetensors"])
def test_an_input_edited_while_it_is_read_is_noticed(
    project: Path, edited: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock never records the digest of one content beside the output of another."""
    (project / "models/affine.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (project / "models/affine.yaml").write_text("ir: affine.ir.json\nparams: affine.safetensors\n")
    path = project / "models" / edited
    real = model._emit

    def emit_after_an_edit(*arguments: object) -> dict[str, Content]:
        path.write_bytes(path.read_bytes() + b" ")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "_emit", emit_after_an_edit)
    with pytest.raises(IRPyTorchError, match=r"error\[changed\]"):
        regenerate(find_project(project))
    assert not (project / "generated").exists()


def test_eight_builds_at_once(project: Path) -> None:
    assert run(project, "regen")[0] == 0
    edit_weight(project)
    expected = project.parent / "expected"
    shutil.copytree(project, expected)
    assert run(expected, "regen")[0] == 0
    processes = [start(project, "regen") for _ in range(8)]
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, said
    assert sum("generated/nets/affine.py" in stdout for stdout, _ in said) == 1
    assert files(project) == files(expected)


def test_a_killed_neighbour_does_not_block(project: Path) -> None:
    """The lock between builds ends with the process that holds it."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from hatch_irpytorch.build.process_lock import project_lock\n"
        "from hatch_irpytorch.project import find_project\n"
        "with project_lock(find_project(Path())):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program], cwd=project, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    waiting = start(project, "regen")
    assert waiting.stderr is not None
    assert waiting.stderr.readline() == "waiting for another build of this project to end\n"
    assert waiting.poll() is None
    holder.kill()
    holder.communicate()
    assert waiting.communicate()[1] == "" and waiting.returncode == 0


@pytest.mark.parametrize(
    ("path", "before"),
    [
        (MODULE, None),
        ("generated/nets/__init__.py", None),
        ("generated/nets/affine.safetensors", "weights: safetensors"),
        ("tests/golden/affine.json", None),
    ],
)
def test_a_file_we_did_not_write_is_kept(project: Path, path: str, before: str | None) -> None:
    if before is not None:
        (project / "models/affine.yaml").write_text(f"ir: affine.ir.json\nemit:\n  {before}\n")
    mine = project / path
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    code, stderr = run(project, "regen")
    assert code == 2 and f"{path}: error[not-ours]" in stderr
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("name", ["generated/mine.py", "tests/golden/.mine.irpytorch-tmp"])
def test_a_user_file_beside_the_outputs_is_never_removed(project: Path, name: str) -> None:
    assert run(project, "regen")[0] == 0
    mine = project / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    edit_weight(project)
    assert run(project, "regen")[0] == 0
    (project / "models/affine.yaml").rename(project / "models/other.yaml")
    assert run(project, "regen")[0] == 0
    assert mine.read_text() == "mine"
    assert not (project / MODULE).exists()


def test_leftovers_of_killed_processes_are_removed_and_no_others(project: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        names = {
            f".{ended.pid}-1.irpytorch-tmp": False,
            f".{running.pid}-1.irpytorch-tmp": True,
            ".affine.py.irpytorch-tmp": True,
            ".1-x.irpytorch-tmp": True,
        }
        folder = project / "tests/golden"
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_text("precious")
        assert run(project, "regen")[0] == 0
        assert {name: (folder / name).exists() for name in names} == names
        running.communicate(b"")


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (("export", "affine"), "out.json"),
        (("export", "affine"), "out.safetensors"),
        (("emit", "models/affine.ir.json"), "out.py"),
    ],
)
def test_a_user_file_with_a_temporary_name_is_left_alone(
    project: Path, words: tuple[str, ...], output: str
) -> None:
    mine = project / f".{output}.irpytorch-tmp"
    mine.write_text("precious")
    assert run(project, *words, "-o", output) == (0, "")
    assert mine.read_text() == "precious" and (project / output).stat().st_size > 0


_WRITER = """
import sys
from pathlib import Path
from hatch_irpytorch.build.files import replace_file
data = sys.argv[1].encode() * 1_000_000
for _ in range(50):
    replace_file(Path("out.json"), data, "out.json")
"""


def test_two_that_write_one_file_at_once_do_not_meet(tmp_path: Path) -> None:
    """The file is whole, that of one or the other, and neither fails."""
    writers = [subprocess.Popen([sys.executable, "-c", _WRITER, x], cwd=tmp_path) for x in "abc"]
    while any(writer.poll() is None for writer in writers):
        if (tmp_path / "out.json").exists():
            found = (tmp_path / "out.json").read_bytes()
            assert len(found) == 1_000_000 and found.count(found[:1]) == len(found)
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_two_commands_with_one_output_at_once(project: Path) -> None:
    words = ("export", "affine", "-o", "out.safetensors", "--force")
    assert run(project, *words)[0] == 0
    expected = (project / "out.safetensors").read_bytes()
    processes = [start(project, *words) for _ in range(4)]
    assert [p.communicate()[1] for p in processes] == [""] * 4
    assert [p.returncode for p in processes] == [0] * 4
    assert (project / "out.safetensors").read_bytes() == expected


def test_an_interrupt_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "out.json", b"{}", "out.json")
    assert list(tmp_path.iterdir()) == []


def test_a_current_project_is_not_touched(project: Path) -> None:
    assert run(project, "regen")[0] == 0
    times = {p: p.stat().st_mtime_ns for p in project.rglob("*")}
    build_outputs(find_project(project))
    assert run(project, "regen")[0] == 0
    assert {p: p.stat().st_mtime_ns for p in project.rglob("*")} == times
