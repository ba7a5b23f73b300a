"""The same bytes everywhere: on each Python that is here, without torch, whatever the hash seed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
VERSIONS = ("3.10", "3.12", "3.13")


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


@pytest.mark.parametrize("version", VERSIONS)
def test_regen_without_torch_gives_the_committed_bytes(tmp_path: Path, version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not installed here")
    subprocess.run([python, "-m", "venv", str(tmp_path / "venv")], check=True)
    scripts = tmp_path / "venv" / "bin"
    hook = tmp_path / "hook"
    shutil.copytree(ROOT / "hatch_irpytorch", hook, ignore=shutil.ignore_patterns("__pycache__"))
    install = [str(scripts / "python"), "-m", "pip", "install", "-q", str(hook)]
    subprocess.run(install, check=True, capture_output=True)
    has_torch = [str(scripts / "python"), "-c", "import torch"]
    assert subprocess.run(has_torch, capture_output=True, check=False).returncode == 1
    project = tmp_path / "project"
    project.mkdir()
    shutil.copytree(ROOT / "models", project / "models")
    (project / "pyproject.toml").write_text("[tool.hatch.build.hooks.irpytorch]\n")
    for seed in ("1", "2"):
        for folder in ("generated", "tests"):
            shutil.rmtree(project / folder, ignore_errors=True)
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run(
            [str(scripts / "irpytorch"), "regen"], cwd=project, check=True, env=environment
        )
        found = outputs(project)
        committed = outputs(ROOT)
        modules = {name: data for name, data in found.items() if name.startswith("generated/")}
        assert modules == {name: data for name, data in committed.items() if name in modules}
        assert set(found) == set(committed)
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
