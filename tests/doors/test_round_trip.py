"""docs/round-trip.md, every command run as written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

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


Printed = dict[str, list[str]]


def trip(folder: Path) -> Printed:
    """What each command printed in a new project, time after time."""
    shutil.copytree(ROOT / "docs/round_trip", folder, ignore=shutil.ignore_patterns("__pycache__"))
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    printed: Printed = {}
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
    return printed


def test_the_page_is_true(tmp_path: Path) -> None:
    """One test: all of it is said of one trip, which takes half a minute."""
    project = tmp_path / "project"
    printed = trip(project)
    assert_the_page_shows_what_is_printed(printed)
    assert_training_helps_and_regenerating_changes_nothing(printed)
    assert_the_diff_shows_weights_and_nothing_else(project)
    assert_the_last_file_is_what_lean_reads(project)


def assert_the_page_shows_what_is_printed(printed: Printed) -> None:
    """But for the digits of the accuracy, which depend on the machine's own sums."""
    left = {command: list(outputs) for command, outputs in printed.items()}
    for command, shown in commands():
        output = left[command].pop(0)
        assert ACCURACY.sub("accuracy", output) == ACCURACY.sub("accuracy", shown), command


def assert_training_helps_and_regenerating_changes_nothing(printed: Printed) -> None:
    before, after = printed["python evaluate.py"]
    (trained,) = printed["python train.py"]
    assert after == trained
    (low,) = ACCURACY.findall(before)
    (high,) = ACCURACY.findall(after)
    assert float(low) < 0.4 < 0.9 < float(high)


def assert_the_diff_shows_weights_and_nothing_else(project: Path) -> None:
    command = ["git", "diff", "-U0", "--", "generated/nets/digits.py"]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    changed = [
        line[1:]
        for line in result.stdout.splitlines()
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert len(changed) > 100
    row = re.compile(r"(  |[A-Z]+_\d+_?[A-Z]* = \")(-?\d[\d.e-]*( |$|\"))+")
    assert [line for line in changed if not row.fullmatch(line)] == []
    command = ["git", "status", "--short", "--", "generated"]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert result.stdout.split()[1::2] == [
        "generated/irpytorch.lock/digits.json",
        "generated/nets/digits.py",
    ]


def assert_the_last_file_is_what_lean_reads(project: Path) -> None:
    document = read_strictly((project / "digits.ir.json").read_text())
    kinds = [node["kind"] for node in document["nodes"]]
    assert kinds.count("conv") == kinds.count("linear") == 1
    assert all("weight" in node for node in document["nodes"] if node["kind"] in ("conv", "linear"))
