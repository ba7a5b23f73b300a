"""Run as a program without torch: a build killed at each step that touches the disk.

`python killed_builds.py PROJECT SCRATCH` checks each kill point and prints how many there were:
every file is an old or a new one, and the next run ends where an undisturbed one does.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

# Imported before the forks, so that no child has to do it again.
import hatch_irpytorch.build.golden
import hatch_irpytorch.emit.module
import hatch_irpytorch.emit.weights
import hatch_irpytorch.ir.read
import hatch_irpytorch.manifest  # noqa: F401
from hatch_irpytorch.build import regenerate as regeneration
from hatch_irpytorch.project import find_project

PATCHED = ("open", "write", "fsync", "chmod", "rename", "replace", "unlink", "mkdir", "rmdir")
Files = dict[str, bytes]


def files(folder: Path) -> Files:
    wanted = (folder / "generated", folder / "tests")
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for top in wanted
        for p in top.rglob("*")
        if p.is_file()
    }


class Countdown:
    """Kills the process before or after its n-th step; otherwise counts the steps."""

    def __init__(self, kill_at: int) -> None:
        self.steps = 0
        self.kill_at = kill_at

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def counted(real: Callable[..., Any], countdown: Countdown) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        countdown.step()
        result = real(*arguments, **keywords)
        countdown.step()
        return result

    return call


class CountedStream:
    """A file whose bytes go to the disk in two halves, with a step around each."""

    def __init__(self, stream: Any, countdown: Countdown) -> None:
        self.stream = stream
        self.countdown = countdown

    def __enter__(self) -> CountedStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.stream.close()

    def write(self, data: bytes) -> None:
        for half in (data[: len(data) // 2], data[len(data) // 2 :]):
            self.countdown.step()
            self.stream.write(half)
            self.stream.flush()
        self.countdown.step()

    def flush(self) -> None:
        self.stream.flush()

    def fileno(self) -> int:
        number: int = self.stream.fileno()
        return number


def patch(countdown: Countdown) -> None:
    module: Any = os
    real_fdopen = os.fdopen
    module.fdopen = lambda handle, mode: CountedStream(real_fdopen(handle, mode), countdown)
    for name in PATCHED:
        setattr(module, name, counted(getattr(os, name), countdown))


def run(folder: Path, kill_at: int = 0, report: Path | None = None) -> int:
    """The wait status of a child that regenerates the project in `folder`."""
    child = os.fork()
    if child == 0:
        countdown = Countdown(kill_at)
        # The file of the project lock is not what is tested, and its steps depend on runs before.
        unlocked: Any = regeneration
        unlocked.project_lock = lambda project: nullcontext()
        project = find_project(folder)
        patch(countdown)
        regeneration.regenerate(project)
        if report is not None:
            report.write_text(str(countdown.steps))
        os._exit(0)
    return os.waitpid(child, 0)[1]


def fresh(source: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    return folder


def main() -> None:
    source, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    before = fresh(source, scratch / "before")
    assert run(before) == 0
    change(before)
    old = files(before)
    report = scratch / "steps"
    after = fresh(before, scratch / "after")
    assert run(after, report=report) == 0
    new = files(after)
    steps = int(report.read_text())
    assert old != new
    for kill_at in range(1, steps + 1):
        folder = fresh(before, scratch / "killed")
        status = run(folder, kill_at)
        assert os.WIFSIGNALED(status), f"step {kill_at} did not kill"
        check_whole(folder, old, new, kill_at)
        assert run(folder) == 0
        assert files(folder) == new, f"step {kill_at} was not repaired"
    print(steps)


def change(folder: Path) -> None:
    """A graph that two models share is edited, one model is removed, three are new."""
    graph = folder / "models/affine.ir.json"
    value = json.loads(graph.read_text())
    value["nodes"][1]["bias"][0] = 0.75
    graph.write_text(json.dumps(value))
    (folder / "models/removed.yaml").unlink()
    text = "ir: affine.ir.json\nemit:\n  weights: safetensors\n"
    (folder / "models/added.yaml").write_text(text)
    (folder / "models/fourth.yaml").write_text(text)
    (folder / "models/third.yaml").write_text("ir: affine.ir.json\n")


def check_whole(folder: Path, old: Files, new: Files, kill_at: int) -> None:
    found = files(folder)
    for path, data in found.items():
        if path.endswith(".irpytorch-tmp"):
            continue
        if "irpytorch.lock/" in path:
            json.loads(data)
            continue
        assert data in (old.get(path), new.get(path)), f"step {kill_at}: {path}"
    for path in old.keys() & new.keys():
        assert path in found, f"step {kill_at}: {path} is gone"


if __name__ == "__main__":
    main()
