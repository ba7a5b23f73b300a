"""All checks of a project's generated modules."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hatch_irpytorch.build.model import load_model
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem, Problems, fail
from hatch_irpytorch.project import Project
from hatch_irpytorch.source.reading import read_bytes
from hatch_irpytorch.verify.importing import check_import
from hatch_irpytorch.verify.smoke import check_smoke
from hatch_irpytorch.verify.source import check_source

if TYPE_CHECKING:
    from hatch_irpytorch.ir.graph import Model
    from hatch_irpytorch.manifest import Manifest

_PROCESSES = 2


def require_torch(
    command: str = "irpytorch verify", work: str = "checking generated modules"
) -> None:
    """Raise `missing-torch`, in the name of a command, where torch is not installed."""
    if find_spec("torch") is None:
        message = f"{work} needs torch, which is not installed"
        raise fail("missing-torch", Place(command), message, "pip install torch")


def load_models(
    project: Project, manifests: Sequence[Manifest], names: Sequence[str] = ()
) -> list[tuple[Manifest, Model]]:
    """The checked models of the manifests, of all or of those named. Raises `IRPyTorchError`."""
    problems = Problems()
    models = []
    for manifest in manifests:
        if not names or manifest.module in names:
            try:
                models.append((manifest, load_model(project, manifest)[0]))
            except IRPyTorchError as error:
                problems.extend(error.problems)
    problems.raise_if_any()
    return models


def verify_models(project: Project, models: list[tuple[Manifest, Model]]) -> list[Problem]:
    """Every finding of source, import, smoke, parity and golden, in the order of the manifests.

    A module whose text is not ours is not run.
    """
    require_torch()
    with ThreadPoolExecutor(_PROCESSES) as pool:
        runs = list(pool.map(lambda entry: _fresh_processes(project, entry[0]), models))
    problems: list[Problem] = []
    for (manifest, model), found in zip(models, runs, strict=True):
        problems.extend(found)
        if not found:
            problems.extend(_in_process(project, manifest, model))
    return problems


def _paths(project: Project, manifest: Manifest) -> tuple[Path, str, str]:
    """The import root, the dotted name and the path of a module."""
    name = f"{project.package}.{manifest.module}"
    return project.root / project.output, name, f"{project.package_path}/{manifest.module}.py"


def _fresh_processes(project: Project, manifest: Manifest) -> list[Problem]:
    folder, name, file = _paths(project, manifest)
    if not (project.root / file).is_file():
        message = "the module was not generated"
        return [Problem("stale", Place(file), message, "run `irpytorch regen`")]
    found = _check_text(project.root / file, file)
    if not found:
        found = check_import(folder, name, file)
    if not found and manifest.emit.training_skeleton:
        found = check_smoke(folder, name, file)
    return found


def _check_text(path: Path, file: str) -> list[Problem]:
    data = read_bytes(path, file)
    return check_source(data.decode("utf-8", "surrogateescape"), file)


def _in_process(project: Project, manifest: Manifest, model: Model) -> list[Problem]:
    from hatch_irpytorch.verify.golden import check_golden
    from hatch_irpytorch.verify.parity import check_parity, load_module

    _, _, file = _paths(project, manifest)
    loaded = load_module(project.root / file, manifest.emit.class_name, file)
    found = check_golden(project.root, manifest, loaded)
    return found + check_parity(loaded, model, manifest.emit)
