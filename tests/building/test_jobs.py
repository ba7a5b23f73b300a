"""Several processes give what one gives: the same bytes, the same errors, in the same order."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import pytest
from repository import ROOT

from hatch_irpytorch.build import jobs
from hatch_irpytorch.build.content import digest
from hatch_irpytorch.build.generate import generate_project
from hatch_irpytorch.errors import IRPyTorchError
from hatch_irpytorch.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "models", tmp_path / "models")
    (tmp_path / "pyproject.toml").write_text("[tool.hatch.build.hooks.irpytorch]\n")
    return tmp_path


def test_eight_processes_give_the_same_bytes(project: Path) -> None:
    one = generate_project(Project(project), golden=True, jobs=1)
    eight = generate_project(Project(project), golden=True, jobs=8)
    pairs = zip(one.outputs.items(), eight.outputs.items(), strict=True)
    assert all(a == b and digest(x) == digest(y) for (a, x), (b, y) in pairs)
    assert list(one.inputs.items()) == list(eight.inputs.items())
    assert one.notes == eight.notes


def test_the_command_takes_the_number_of_processes(project: Path) -> None:
    command = [sys.executable, "-m", "hatch_irpytorch"]
    run = partial(subprocess.run, cwd=project, capture_output=True, text=True, check=False)
    first = run([*command, "regen", "--jobs", "8"])
    assert first.returncode == 0, first.stderr
    assert run([*command, "check", "--jobs", "1"]).returncode == 0
    for module in (ROOT / "generated/irpytorch_models").glob("*.py"):
        relative = module.relative_to(ROOT)
        assert (project / relative).read_bytes() == module.read_bytes()
    wrong = run([*command, "regen", "--jobs", "0"])
    assert (wrong.returncode, "expected a number from 1 on" in wrong.stderr) == (2, True)


def test_the_problems_of_all_processes_come_in_order(project: Path) -> None:
    for name in ("digits_mlp", "digits_softmax", "legacy_cnn"):
        (project / f"models/{name}.ir.json").write_text("[]")
    found = []
    for count in (1, 3):
        with pytest.raises(IRPyTorchError) as caught:
            generate_project(Project(project), jobs=count)
        found.append(caught.value.problems)
    assert found[0] == found[1]
    assert len({problem.place.file for problem in found[0]}) == 3


def dies(manifest: object) -> tuple[()]:
    """In any process but the first."""
    if parent_process() is not None:
        os._exit(9)
    return ()


def test_a_process_that_dies_is_one_clear_error(project: Path) -> None:
    manifests = generate_project(Project(project)).manifests
    with pytest.raises(IRPyTorchError) as caught:
        list(jobs._in_processes(dies, manifests, 2, lambda done: None))
    assert caught.value.problems[0].code == "process-died"


def process_of(manifest: object) -> Any:
    """So slow in the first process that the others start, on any machine."""
    time.sleep(0.1 if parent_process() is None else 0.01)
    return manifest, os.getpid()


@pytest.mark.parametrize("count", [2, 3])
def test_each_model_is_made_once_and_told_by_some_process(project: Path, count: int) -> None:
    manifests = generate_project(Project(project)).manifests * 20
    told: list[int] = []
    found: list[Any] = list(jobs._in_processes(process_of, manifests, count, told.append))
    assert [manifest for manifest, _ in found] == list(manifests)
    makers = {maker for _, maker in found}
    assert os.getpid() in makers and 2 <= len(makers) <= count
    assert told == sorted(told) and told[-1] == len(manifests)


@pytest.mark.parametrize("count", [1, 2])
def test_progress_rises_to_the_number_of_models(project: Path, count: int) -> None:
    told: list[tuple[int, int]] = []
    models = generate_project(
        Project(project), jobs=count, progress=lambda *done: told.append(done)
    ).models
    assert told == sorted(set(told)) and told[-1] == (len(models), len(models))


def test_small_projects_stay_in_one_process() -> None:
    assert jobs.process_count(None, 10) == 1
    assert jobs.process_count(8, 3) == 3
    assert jobs.process_count(8, 100) == 8
    assert jobs.process_count(1, 0) == 1
