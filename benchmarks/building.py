"""Builds: nothing changed, one model changed, all new; the command's help."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.inputs import network, write_project
from benchmarks.measure import ROOT, Row, paired

_WHEEL = "from hatchling.build import build_wheel; build_wheel('dist')"


def _build(root: Path, hooks: bool = True) -> float:
    """Seconds for a wheel of a project, in a process of its own."""
    (root / "dist").mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # pip compiles what it installs; a checkout is compiled by the first build, where it may be.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if not hooks:
        environment["HATCH_BUILD_NO_HOOKS"] = "true"
    start = time.perf_counter()
    command = [sys.executable, "-c", _WHEEL]
    subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def _difference(step: str, beside: str, row: Row, reach: str) -> Row:
    """A row about the seconds between two builds."""
    more = row.ours - row.theirs
    print(f"{step}: {more * 1e3:.0f} ms more, wanted {reach}", flush=True)
    return Row(step, beside, row.ours, row.theirs, row.ratio, row.low, row.high, reach)


def nothing_changed(folder: Path) -> list[Row]:
    """A build of 100 models in which nothing changed beside one without the hook."""
    root = folder / "hundred"
    write_project(root, 100)
    _build(root)
    step = "a build with nothing changed, 100 models"
    beside = "the same wheel without the hook"
    row = paired(
        step, beside, lambda: _build(root), lambda: _build(root, hooks=False), "", rounds=25
    )
    return [_difference(step, beside, row, "≤ 30 ms more")]


def one_changed(folder: Path) -> list[Row]:
    """A build with one of 1,000 models changed beside building that one alone."""
    many, alone = folder / "thousand", folder / "alone"
    write_project(many, 1_000)
    write_project(alone, 1)
    _build(many)
    _build(alone)
    count = itertools.count()

    def edited(root: Path) -> Callable[[], float]:
        def run() -> float:
            text = json.dumps(network(6) | {"note": next(count)})
            (root / "models" / "m0000.ir.json").write_text(text)
            return _build(root)

        return run

    step = "a build with one of 1,000 models changed"
    beside = "building that one alone"
    row = paired(step, beside, edited(many), edited(alone), "")
    return [_difference(step, beside, row, "≤ 0.5 s more")]


def cold(folder: Path) -> list[Row]:
    """1,000 small models from nothing, by all cores beside one process.

    Each time in a folder of its own: a disk makes files slowly where many were just removed.
    """
    fresh = (folder / f"cold{number}" for number in itertools.count())

    def regenerated(*jobs: str) -> Callable[[], float]:
        def run() -> float:
            root = next(fresh)
            write_project(root, 1_000)
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            start = time.perf_counter()
            command = [sys.executable, "-m", "hatch_irpytorch", "regen", *jobs]
            subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
            return time.perf_counter() - start

        return run

    cores = len(os.sched_getaffinity(0))
    step = f"1,000 small models, cold, by {cores} processes"
    reach = f"towards {1 / cores:.2f}"
    row = paired(step, "`--jobs 1`", regenerated(), regenerated("--jobs", "1"), reach, rounds=5)
    return [row]


def verifying(folder: Path) -> list[Row]:
    """`irpytorch verify` of one small model beside importing torch."""
    root = folder / "verified"
    write_project(root, 1)
    module = ("-m", "hatch_irpytorch")
    _python(*module, "regen", cwd=root)()
    step, beside = "`irpytorch verify`, one small model", '`python -c "import torch"`'
    ours, theirs = _python(*module, "verify", cwd=root), _python("-c", "import torch", cwd=root)
    return [paired(step, beside, ours, theirs, "≤ 2")]


def _python(*arguments: str, cwd: Path = ROOT) -> Callable[[], float]:
    """Seconds for Python with these arguments."""

    def run() -> float:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        start = time.perf_counter()
        command = [sys.executable, *arguments]
        subprocess.run(command, cwd=cwd, env=environment, check=True, capture_output=True)
        return time.perf_counter() - start

    return run


def help_text() -> list[Row]:
    """`irpytorch --help` beside importing argparse."""
    return [
        paired(
            "`irpytorch --help`",
            '`python -c "import argparse"`',
            _python("-m", "hatch_irpytorch", "--help"),
            _python("-c", "import argparse"),
            "≤ 2",
            rounds=25,
        )
    ]
