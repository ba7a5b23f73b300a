"""The same bytes everywhere: whatever Python, NumPy, locale, clock, folder, order and jobs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from repository import ROOT
from wheels import build

ENVIRONMENTS = [
    ("3.10", "<2"),
    ("3.11", "<2"),
    ("3.12", ">=2"),
    ("3.13", ">=2"),
    ("3.14", ">=2"),
]
"""Pythons and NumPys; each is skipped where the machine lacks the Python."""


def interpreter(version: str) -> str | None:
    """A Python of this version, from the path or from pyenv."""
    roots = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"]
    candidates = [shutil.which(f"python{version}")]
    candidates += [str(p) for root in roots for p in sorted(root.glob(f"{version}.*/bin/python"))]
    for candidate in candidates:
        if candidate is not None:
            command = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.stdout.strip() == version:
                return candidate
    return None


def outputs(project: Path) -> dict[str, bytes]:
    folders = (project / "generated", project / "tests" / "golden")
    return {
        p.relative_to(project).as_posix(): p.read_bytes()
        for folder in folders
        for p in folder.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }


REVERSED = """
import os, sys
real = os.scandir
class Reversed:
    def __init__(self, path="."): self.inner = real(path)
    def __enter__(self): return self
    def __exit__(self, *error): self.inner.close()
    def __iter__(self): return iter(sorted(self.inner, key=lambda entry: entry.name, reverse=True))
    def close(self): self.inner.close()
os.scandir = Reversed
names = os.listdir
os.listdir = lambda path=".": sorted(names(path), reverse=True)
"""
DIGEST = """
import hashlib
import numpy as np
from hatch_irpytorch.emit.literals import decimals
bits = np.random.default_rng(7).integers(0, 2**64, 20_000, dtype=np.uint64)
with np.errstate(all="ignore"):
    values = [bits.view(np.float64), bits.view(np.float32).astype(np.float64)]
    both = np.concatenate([*values, [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324]])
    for dtype in ("float64", "float32", "float16", "bfloat16"):
        print(hashlib.sha256(" ".join(decimals(both, dtype)).encode()).hexdigest())
"""
LIBRARY = """
import sys
from pathlib import Path
from hatch_irpytorch.build.regenerate import regenerate
from hatch_irpytorch.project import find_project
if __name__ == "__main__":
    regenerate(find_project(Path(sys.argv[1])), jobs=int(sys.argv[2]))
"""


@cache
def digests(python: str) -> str:
    command = [python, "-c", DIGEST]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the hook."""
    folder = tmp_path_factory.mktemp("hook") / "hook"
    shutil.copytree(ROOT / "hatch_irpytorch", folder, ignore=shutil.ignore_patterns("__pycache__"))
    code, text = build(folder, "wheel")
    assert code == 0, text
    return next((folder / "dist").glob("*.whl"))


def environment_with(tmp_path: Path, hook: Path, version: str, numpy: str) -> Path:
    """The scripts of a new environment with the hook, this NumPy, and no torch."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not installed here")
    venv = [python, "-m", "venv", "--without-pip", str(tmp_path / "venv")]
    subprocess.run(venv, check=True)
    scripts = tmp_path / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python")]
    install = [*pip, "install", "-q", str(hook), f"numpy{numpy}"]
    subprocess.run(install, check=True, capture_output=True)
    has_torch = [str(scripts / "python"), "-c", "import torch"]
    assert subprocess.run(has_torch, capture_output=True, check=False).returncode == 1
    return scripts


@pytest.mark.parametrize(("version", "numpy"), ENVIRONMENTS)
def test_the_same_bytes_everywhere(tmp_path: Path, hook: Path, version: str, numpy: str) -> None:
    scripts = environment_with(tmp_path, hook, version, numpy)
    python = str(scripts / "python")
    project = tmp_path / "project"
    project.mkdir()
    shutil.copytree(ROOT / "models", project / "models")
    (project / "pyproject.toml").write_text("[tool.hatch.build.hooks.irpytorch]\n")
    backwards = tmp_path / "backwards"
    backwards.mkdir()
    (backwards / "sitecustomize.py").write_text(REVERSED)
    library = tmp_path / "library.py"
    library.write_text(LIBRARY)
    committed = outputs(ROOT)
    runs: list[tuple[list[str], Path, dict[str, str], int]] = [
        (
            [str(scripts / "irpytorch"), "regen"],
            project,
            {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "2"},
            0o022,
        ),
        (
            [str(scripts / "irpytorch"), "regen", "--jobs", "3"],
            project,
            {"PYTHONHASHSEED": "2", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"},
            0o077,
        ),
        ([python, str(library), "project", "1"], tmp_path, {"LC_ALL": "C", "TZ": "UTC-14"}, 0o027),
        (
            [python, str(library), str(project), "3"],
            Path("/"),
            {"PYTHONPATH": str(backwards), "PYTHONUTF8": "0"},
            0o022,
        ),
    ]
    for command, cwd, variables, umask in runs:
        for folder in ("generated", "tests"):
            shutil.rmtree(project / folder, ignore_errors=True)
        environment = {**os.environ, **variables}
        subprocess.run(command, cwd=cwd, check=True, env=environment, umask=umask)
        found = outputs(project)
        modules = {name: data for name, data in found.items() if name.startswith("generated/")}
        assert modules == {name: data for name, data in committed.items() if name in modules}
        assert set(found) == set(committed)
    assert digests(python) == digests(sys.executable)
    verify = subprocess.run(
        [str(scripts / "irpytorch"), "verify"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert verify.returncode == 2
    assert verify.stderr == (
        "irpytorch verify: error[missing-torch]: checking generated modules needs torch, "
        "which is not installed; pip install torch\n"
    )
