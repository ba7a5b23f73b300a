"""`irpytorch verify` as a process: a line for each model as it ends, nothing stays behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from command_line import run
from repository import SAMPLE_PROJECT

COUNT = 12

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "project"
    shutil.copytree(SAMPLE_PROJECT, folder)
    for number in range(1, COUNT):
        (folder / f"models/m{number:02}.yaml").write_text("ir: affine.ir.json\n")
    assert run(folder, "regen").returncode == 0
    return folder


class Started:
    """A run of `verify`, and the processes that belong to it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.mark = uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hatch_irpytorch", "verify", *arguments],
            cwd=folder,
            env={**os.environ, "MARK": self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def alive(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if (
                    entry.name.isdecimal()
                    and self.mark.encode() in (entry / "environ").read_bytes()
                ):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def lines(self) -> Iterator[str]:
        assert self.process.stdout is not None
        return iter(self.process.stdout)

    def assert_nothing_stays(self) -> None:
        self.process.wait(60)
        end = time.monotonic() + 60
        while self.alive() and time.monotonic() < end:
            time.sleep(0.1)
        assert self.alive() == []
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_each_model_is_told_when_it_ends(project: Path, jobs: str) -> None:
    started = Started(project, "--jobs", jobs)
    lines = started.lines()
    told = [next(lines)]
    assert started.process.poll() is None, "told at the end"
    told += lines
    assert len(told) == COUNT and all("parity, batch and golden agree" in line for line in told)
    if jobs == "1":
        assert told == sorted(told)
    started.assert_nothing_stays()
    assert started.process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_process(project: Path, number: int) -> None:
    started = Started(project, "--jobs", "2")
    next(started.lines())
    started.process.send_signal(number)
    started.assert_nothing_stays()
    assert started.process.returncode != 0


def test_a_reader_that_goes_away_leaves_no_process(project: Path) -> None:
    started = Started(project)
    next(started.lines())
    assert started.process.stdout is not None
    started.process.stdout.close()
    started.assert_nothing_stays()
