"""docs/round-trip.md, every command run as written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT
from strict_reader import read as read_strictly

TEXT = (ROOT / "docs/round-trip.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
ACCURACY = re.compile(r"accuracy (0\.\d{4})")


def commands() -> list[tuple[str, str]]:
    """Each command with the output that the page shows for it."""
    found: list[tuple[str, str]] = []
    for line in "".join(BLOCKS).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        else:
            command, output = found[-1]
            found[-1] = command, f"{output}{line}\n"
    return found


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """The project after all commands, and what each printed, time after time."""
    folder = tmp_path_factory.mktemp("trip") / "project"
    shutil.copytree(ROOT / "docs/round_trip", folder, ignore=shutil.ignore_patterns("__pycache__"))
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    printed: dict[str, list[str]] = {}
    for command, _ in commands():
        result = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, (command, result.stdout, result.stderr)
        told = result.stderr.splitlines()
        assert all("note[unsupported]" in line for line in told), command
        printed.setdefault(command, []).append(result.stdout)
    return folder, printed


def test_the_page_shows_what_is_printed(trip: tuple[Path, dict[str, list[str]]]) -> None:
    """But for the digits of the accuracy, which depend on the machine's own sums."""
    left = {command: list(outputs) for command, outputs in trip[1].items()}
    for command, shown in commands():
        output = left[command].pop(0)
        assert ACCURACY.sub("accuracy", output) == ACCURACY.sub("accuracy", shown), command


def test_training_helps_and_regenerating_changes_nothing(
    trip: tuple[Path, dict[str, list[str]]],
) -> None:
    before, after = trip[1]["python evaluate.py"]
    (trained,) = trip[1]["python train.py"]
    assert after == trained
    (low,) = ACCURACY.findall(before)
    (high,) = ACCURACY.findall(after)
    assert float(low) < 0.4 < 0.9 < float(high)


def test_the_diff_shows_weights_and_nothing_else(
    trip: tuple[Path, dict[str, list[str]]],
) -> None:
    command = ["git", "diff", "-U0", "--", "generated/nets/digits.py"]
    result = subprocess.run(command, cwd=trip[0], capture_output=True, text=True, check=True)
    changed = [
        line[1:]
        for line in result.stdout.splitlines()
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert len(changed) > 100
    row = re.compile(r"(  |[A-Z]+_\d+_?[A-Z]* = \")(-?\d[\d.e-]*( |$|\"))+")
    assert [line for line in changed if not row.fullmatch(line)] == []
    command = ["git", "status", "--short", "--", "generated"]
    result = subprocess.run(command, cwd=trip[0], capture_output=True, text=True, check=True)
    assert result.stdout.split()[1::2] == [
        "generated/irpytorch.lock/digits.json",
        "generated/nets/digits.py",
    ]


def test_the_last_file_is_what_lean_reads(trip: tuple[Path, dict[str, list[str]]]) -> None:
    document = read_strictly((trip[0] / "digits.ir.json").read_text())
    kinds = [node["kind"] for node in document["nodes"]]
    assert kinds.count("conv") == kinds.count("linear") == 1
    assert all("weight" in node for node in document["nodes"] if node["kind"] in ("conv", "linear"))
