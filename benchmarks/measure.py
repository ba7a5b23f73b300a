"""Ratios from one run: two programs in turn, the median of the pairs and their spread."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Row:
    """One line of a table: ours beside theirs, and what the ratio is wanted to be.

    `ours` and `theirs` are seconds, or bytes where `unit` is "MB"; the ratio is the median of the
    pairs, `low` and `high` its quartiles.
    """

    step: str
    beside: str
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    reach: str
    unit: str = "s"


def paired(
    step: str,
    beside: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    reach: str,
    *,
    rounds: int = 7,
    inverse: bool = False,
    unit: str = "s",
) -> Row:
    """The row of the two in turn. With `inverse` the ratio is how many times faster ours is."""
    return row_of(step, beside, turns(ours, theirs, rounds), reach, inverse=inverse, unit=unit)


def turns(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int
) -> list[tuple[float, float]]:
    """The figures that both return, `rounds` times, now the one first, now the other."""

    def turn(number: int) -> tuple[float, float]:
        if number % 2 == 0:
            return ours(), theirs()
        other = theirs()
        return ours(), other

    return [turn(number) for number in range(rounds)]


def row_of(
    step: str,
    beside: str,
    pairs: Sequence[tuple[float, float]],
    reach: str,
    *,
    inverse: bool = False,
    unit: str = "s",
) -> Row:
    """What pairs of figures say."""
    ratios = sorted(b / a if inverse else a / b for a, b in pairs)
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    medians = [statistics.median(side) for side in zip(*pairs, strict=True)]
    ratio = statistics.median(ratios)
    row = Row(step, beside, medians[0], medians[1], ratio, low, high, reach, unit)
    print(f"{step}: {ratio:.2f} ({low:.2f} to {high:.2f}), wanted {reach}", flush=True)
    return row


def seconds(run: Callable[[], object]) -> Callable[[], float]:
    """A function that runs another once and returns how long it took."""

    def timed() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return timed


def repeated(run: Callable[[], object], span: float = 0.2) -> Callable[[], float]:
    """Like `seconds`, as the mean of as many runs as fill `span`; for what takes microseconds."""

    def timed() -> float:
        count, start = 0, time.perf_counter()
        while (passed := time.perf_counter() - start) < span or not count:
            run()
            count += 1
        return passed / count

    return timed


def in_child(
    program: str, *arguments: str, cwd: Path = ROOT, variables: Mapping[str, str] | None = None
) -> list[float]:
    """The numbers that a program prints in a fresh process."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.update(variables or {})
    command = [sys.executable, "-c", program, *arguments]
    result = subprocess.run(
        command, cwd=cwd, env=environment, check=True, capture_output=True, text=True
    )
    return [float(word) for word in result.stdout.split()]


PEAK = """
from pathlib import Path as _Path
def peak():
    "Bytes of memory that this process has held at most since `start_peak` (Linux)."
    lines = _Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
def start_peak():
    _Path("/proc/self/clear_refs").write_text("5")
    return peak()
"""
