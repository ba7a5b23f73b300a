"""Real builds of the sample project in other layouts."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from repository import SAMPLE_PROJECT

HEAD = """\
[build-system]
requires = ["hatchling", "hatch-irpytorch"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"
"""


def new_project(folder: Path, wheel: str, hook: str = 'package = "nets"', name: str = "x") -> Path:
    """The sample's model in a project with these tables for the wheel and for the hook."""
    shutil.copytree(SAMPLE_PROJECT / "models", folder / "models")
    hook = f"[tool.hatch.build.hooks.irpytorch]\n{hook}\n"
    text = f"{HEAD.format(name=name)}\n{wheel}\n{hook}"
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def build(folder: Path, target: str, **environment: str) -> tuple[int, str]:
    """One target by hatchling itself: `wheel`, `wheel:editable` or `sdist`; code and output."""
    import os

    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", "dist"]
    result = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in result.stderr, result.stderr
    return result.returncode, result.stdout + result.stderr


def wheel_names(folder: Path) -> set[str]:
    """What the one wheel of a project holds, beside its metadata; nothing when there is none."""
    wheels = list((folder / "dist").glob("*.whl"))
    names = (name for wheel in wheels for name in zipfile.ZipFile(wheel).namelist())
    return {name for name in names if ".dist-info/" not in name}


def sdist_names(folder: Path) -> set[str]:
    """The regular files of the one sdist of a project, below its top folder."""
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        return {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}


def unpacked_sdist(folder: Path, where: Path) -> Path:
    """The top folder of the one sdist of a project, unpacked."""
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(where, filter="data")
    (top,) = where.iterdir()
    return top
