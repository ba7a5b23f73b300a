"""Commands that write wait for each other and say so; those that only read never do."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from repository import ROOT

from hatch_irpytorch.build import process_lock
from hatch_irpytorch.build.process_lock import project_lock, remove_process_lock
from hatch_irpytorch.errors import IRPyTorchError
from hatch_irpytorch.project import PROCESS_LOCK, Project, find_project

HOLDER = """
import sys
from pathlib import Path
from hatch_irpytorch.build.process_lock import project_lock
from hatch_irpytorch.project import find_project
with project_lock(find_project(Path())):
    print("held", flush=True)
    sys.stdin.read()
"""
_DROP_CAPABILITY, _OVERRIDE, _READ_SEARCH = 24, 1, 2


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "tests/sample_project", folder)
    return folder


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "hatch_irpytorch", *arguments]


def run(folder: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        command(*arguments), cwd=folder, capture_output=True, text=True, check=False, **options
    )


@contextmanager
def held(folder: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Another process has the lock of the project."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    try:
        yield holder
    finally:
        holder.kill()
        holder.communicate()


def test_waiting_is_said_and_ends_with_the_other(project: Path, tmp_path: Path) -> None:
    """Whatever the temporary folders of the two are."""
    with held(project, TMPDIR=str(tmp_path)) as holder:
        waiting = subprocess.Popen(
            command("regen"), cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert waiting.stderr is not None
        assert waiting.stderr.readline() == "waiting for another build of this project to end\n"
        assert waiting.poll() is None
        holder.communicate("")
        assert waiting.communicate()[1] == "" and waiting.returncode == 0


def test_what_only_reads_does_not_wait(project: Path) -> None:
    assert run(project, "regen").returncode == 0
    with held(project):
        for words in (("check",), ("regen",), ("emit", "models/affine.ir.json")):
            result = run(project, *words, timeout=60)
            assert (result.returncode, result.stderr) == (0, "")


def as_nobody_special() -> None:
    """Root no longer passes over the permissions of files."""
    for capability in (_OVERRIDE, _READ_SEARCH):
        ctypes.CDLL(None).prctl(_DROP_CAPABILITY, capability, 0, 0, 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="drops a capability of Linux")
def test_a_read_only_checkout_can_be_checked(project: Path) -> None:
    assert run(project, "regen").returncode == 0
    shutil.rmtree(project / ".hatch")
    folders = [project, *(path for path in project.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        checked = run(project, "check", preexec_fn=as_nobody_special)
        unchanged = run(project, "regen", preexec_fn=as_nobody_special)
        manifest = project / "models/affine.yaml"
        manifest.write_text("ir: affine.ir.json\nemit:\n  dtype: float16\n")
        refused = run(project, "regen", preexec_fn=as_nobody_special)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert (unchanged.returncode, unchanged.stderr) == (0, "")
    assert refused.returncode == 2
    assert f"{PROCESS_LOCK}: error[cannot-lock]" in refused.stderr
    assert "Permission denied" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(37, "No locks available"), "the file system of the project has no file locks"),
        (NotImplementedError("no flock"), "the file system of the project has no file locks"),
        (OSError(30, "Read-only file system"), "cannot be taken: Read-only file system"),
    ],
)
def test_no_lock_is_another_message_than_a_busy_one(
    project: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def refuse(self: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("filelock.BaseFileLock.acquire", refuse)
    with pytest.raises(IRPyTorchError, match=rf"error\[cannot-lock\]: .*{said}"), lock(project):
        pass


def test_a_neighbour_that_does_not_end(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_lock, "WAIT_SECONDS", 0.1)
    said: list[str] = []
    with (
        held(project),
        pytest.raises(IRPyTorchError, match=r"error\[busy\]"),
        project_lock(find_project(project), said.append),
    ):
        pass
    assert said == ["waiting for another build of this project to end"]


@contextmanager
def lock(project: Path) -> Iterator[None]:
    with project_lock(find_project(project)):
        yield


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_something_else_where_the_lock_belongs(project: Path, kind: str) -> None:
    path = project / PROCESS_LOCK
    path.parent.mkdir(parents=True)
    target = project / "mine.txt"
    target.write_text("mine")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(target)
    result = run(project, "regen", timeout=60)
    assert result.returncode == 2 and "error[not-ours]" in result.stderr
    assert target.read_text() == "mine"


@pytest.mark.parametrize("linked", [".gitignore", "process.lock", "../irpytorch", "../../.hatch"])
@pytest.mark.parametrize("words", [("regen",), ("init", "--package", "nets", "--yes")])
def test_nothing_is_written_through_a_link(
    project: Path, tmp_path: Path, linked: str, words: tuple[str, ...]
) -> None:
    """Also where the link leads to nothing, which is as if nothing stood there."""
    outside = tmp_path / "outside"
    place = Path(os.path.normpath(project / ".hatch/irpytorch" / linked))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside)
    before = sorted(project.rglob("*"))
    result = run(project, *words, timeout=60)
    assert result.returncode == 2, result
    assert "error[not-ours]" in result.stderr or "error[outside-project]" in result.stderr
    assert not outside.exists() and sorted(project.rglob("*")) == before


def test_a_gitignore_of_the_user_beside_the_lock_stays(project: Path) -> None:
    mine = project / ".hatch/irpytorch/.gitignore"
    mine.parent.mkdir(parents=True)
    mine.write_text("process.lock\n")
    assert run(project, "regen").returncode == 0
    remove_process_lock(find_project(project))
    assert mine.read_text() == "process.lock\n" and not (project / PROCESS_LOCK).exists()


def test_the_lock_is_in_no_archive_and_git_passes_over_it(project: Path, tmp_path: Path) -> None:
    """Even while it is held, in a project without a `.gitignore` of its own."""
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    assert run(project, "regen").returncode == 0
    program = "from hatchling.build import build_sdist; build_sdist('../dist')"
    environment = {**os.environ, "HATCH_BUILD_NO_HOOKS": "true"}
    with held(project):
        assert (project / PROCESS_LOCK).exists()
        status = ["git", "status", "--short", "-uall"]
        seen = subprocess.run(status, cwd=project, capture_output=True, text=True, check=True)
        subprocess.run([sys.executable, "-c", program], cwd=project, env=environment, check=True)
    assert ".hatch" not in seen.stdout
    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert any("irpytorch.lock/affine.json" in name for name in names)
    assert not any(".hatch" in name for name in names)


def test_bad_input_leaves_no_lock_behind(project: Path) -> None:
    (project / "models/affine.yaml").write_text("ir: missing.json\n")
    assert run(project, "regen").returncode == 2
    assert sorted(path.name for path in project.iterdir()) == [
        "models",
        "pyproject.toml",
        "run_model.py",
    ]


def test_the_project_is_what_is_locked(tmp_path: Path) -> None:
    """Two projects do not wait for each other."""
    projects = [Project(tmp_path / name) for name in ("one", "two")]
    with project_lock(projects[0]), project_lock(projects[1]):
        assert all((project.root / PROCESS_LOCK).parent.is_dir() for project in projects)
