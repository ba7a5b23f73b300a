"""A project without the hook, and `irpytorch init` in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from command_line import called
from repository import SAMPLE_PROJECT

BUILD_SYSTEM = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
PROJECT = '\n[project]\nname = "acme"\nversion = "1"\n'
HOOK = '\n[tool.hatch.build.hooks.irpytorch]\npackage = "acme_models"\n'
WHEEL = '\n[tool.hatch.build.targets.wheel]\npackages = ["generated/acme_models"]\n'


def new_project(folder: Path, text: str = BUILD_SYSTEM + PROJECT) -> Path:
    shutil.copytree(SAMPLE_PROJECT / "models", folder / "models")
    (folder / "pyproject.toml").write_bytes(text.encode("utf-8"))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: data for name, data in found.items() if not name.startswith((".hatch", ".git/"))}


def init(folder: Path, *arguments: str) -> tuple[int, str, str]:
    result = called(folder, "init", *arguments)
    assert "Traceback" not in result.stderr
    return result.returncode, result.stdout, result.stderr
