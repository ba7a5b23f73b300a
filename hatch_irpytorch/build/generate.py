"""The straight line from manifests to outputs, for one model and for a project."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from hatch_irpytorch import emit
from hatch_irpytorch.build.outputs import (
    Difference,
    Lock,
    compare,
    digest,
    file_bytes,
    read_lock,
    write_outputs,
)
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem, Problems, fail
from hatch_irpytorch.project import Project, find_manifests, inside
from hatch_irpytorch.source import read_bytes

if TYPE_CHECKING:
    from hatch_irpytorch.ir.graph import Model
    from hatch_irpytorch.manifest import Manifest

WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class Generated:
    """Everything a project's manifests give, in memory."""

    outputs: dict[str, bytes]
    lock: Lock
    notes: tuple[Problem, ...]


def generate_project(project: Project) -> Generated:
    """All outputs of a project. Raises `IRPyTorchError` with the problems of every manifest."""
    problems = Problems()
    inputs: dict[str, str] = {}
    outputs: dict[str, bytes] = {}
    notes: list[Problem] = []
    manifests = _read_manifests(project, inputs, problems)
    for manifest in manifests:
        try:
            model = load_model(project, manifest, inputs)
            outputs |= _emit(project, manifest, model)
            notes.extend(model.notes)
        except IRPyTorchError as error:
            problems.extend(error.problems)
    problems.raise_if_any()
    outputs |= _package_files(project, manifests)
    digests = {path: digest(data) for path, data in outputs.items()}
    return Generated(outputs, Lock(emit.REVISION, inputs, digests), tuple(notes))


def read_manifests(project: Project) -> list[Manifest]:
    """The manifests of a project, sorted by file. Raises with all their problems."""
    problems = Problems()
    manifests = _read_manifests(project, {}, problems)
    problems.raise_if_any()
    return manifests


def _read_manifests(project: Project, inputs: dict[str, str], problems: Problems) -> list[Manifest]:
    from hatch_irpytorch.manifest import read_manifest

    manifests: list[Manifest] = []
    owners: dict[str, str] = {}
    for file in find_manifests(project):
        try:
            path = inside(project, file, project.root, Place(file))
            data = read_bytes(path, file)
            manifest = read_manifest(data, file)
        except IRPyTorchError as error:
            problems.extend(error.problems)
            continue
        inputs[file] = digest(data)
        if manifest.module in owners:
            message = (
                f"the module `{manifest.module}` is already made by `{owners[manifest.module]}`"
            )
            problems.add("duplicate-module", Place(file), message, "set another `module:`")
            continue
        owners[manifest.module] = file
        manifests.append(manifest)
    return manifests


def load_model(project: Project, manifest: Manifest, inputs: dict[str, str]) -> Model:
    """The checked model of a manifest; digests of what was read are added to `inputs`."""
    from hatch_irpytorch.ir.read import read_model

    graph, graph_name = _input_file(project, manifest, manifest.ir, manifest.ir_place, inputs)
    params, params_name = None, None
    if manifest.params is not None:
        params, params_name = _input_file(
            project, manifest, manifest.params, manifest.params_place, inputs
        )
    return read_model(graph, params, graph_name=graph_name, params_name=params_name)


def _input_file(
    project: Project, manifest: Manifest, relative: str, place: Place, inputs: dict[str, str]
) -> tuple[Path, str]:
    folder = (project.root / manifest.file).parent
    path = inside(project, relative, folder, place)
    if not path.is_file():
        message = f"`{relative}` does not exist beside the manifest"
        raise fail("missing-file", place, message)
    name = path.relative_to(project.root).as_posix()
    inputs[name] = digest(read_bytes(path, name))
    return path, name


def _emit(project: Project, manifest: Manifest, model: Model) -> dict[str, bytes]:
    base = f"{project.package_path}/{manifest.module}"
    weights_file = f"{manifest.module}.safetensors"
    emitted = emit.emit_module(
        model, manifest.emit, origin=manifest.file, weights_file=weights_file
    )
    outputs = {f"{base}.py": emitted.source.encode("utf-8")}
    if emitted.weights is not None:
        outputs[f"{base}.safetensors"] = emitted.weights
    return outputs


def _package_files(project: Project, manifests: list[Manifest]) -> dict[str, bytes]:
    """`__init__.py`, which imports nothing, and the marker of typed packages."""
    modules = "".join(f"- {module}\n" for module in sorted(m.module for m in manifests))
    first, second = emit.header(f"{project.models}/")
    text = f'# {first}\n# {second}\n"""Generated models:\n\n{modules}"""\n'
    return {
        f"{project.package_path}/__init__.py": text.encode("utf-8"),
        f"{project.package_path}/py.typed": b"",
    }


def is_current(project: Project, lock: Lock) -> bool:
    """Whether nothing changed since the lock was written. Reads bytes only: no numpy."""
    if lock.revision != emit.REVISION or not lock.outputs:
        return False
    if not all(path.startswith(f"{project.package_path}/") for path in lock.outputs):
        return False
    manifests = {path for path in lock.inputs if path.endswith((".yaml", ".yml"))}
    if manifests != set(find_manifests(project)):
        return False
    recorded = [*lock.inputs.items(), *lock.outputs.items()]
    return all(_has_digest(project.root / path, mark) for path, mark in recorded)


def _has_digest(path: Path, mark: str) -> bool:
    data = file_bytes(path) if path.is_file() else None
    return data is not None and digest(data) == mark


def regenerate(project: Project, *, skip_current: bool) -> tuple[list[str], tuple[Problem, ...]]:
    """Bring the outputs up to date: the paths that changed, and notes.

    With `skip_current` a project in which nothing changed ends without generating.
    """
    with project_lock(project):
        lock = read_lock(project.root, project.output)
        if skip_current and is_current(project, lock):
            return [], ()
        generated = generate_project(project)
        changed = write_outputs(
            project.root, project.output, lock, generated.lock, generated.outputs
        )
        return changed, generated.notes


def differences(project: Project) -> list[Difference]:
    """What `regenerate` would change."""
    generated = generate_project(project)
    lock = read_lock(project.root, project.output)
    found = compare(project.root, lock, generated.outputs)
    lock_path = f"{project.output}/irpytorch.lock.json"
    before, after = file_bytes(project.root / lock_path), generated.lock.encode()
    if before != after and not found:
        found.append(Difference(lock_path, "stale" if before else "missing", before, after))
    return found


@contextmanager
def project_lock(project: Project) -> Iterator[None]:
    """Builds of one project wait for each other. The lock stands outside the tree."""
    from filelock import FileLock, Timeout

    owner = os.getuid() if hasattr(os, "getuid") else 0
    name = sha256(str(project.root).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"hatch-irpytorch-{owner}-{name}.lock"
    lock = FileLock(path, timeout=WAIT_SECONDS)
    try:
        lock.acquire()
    except (Timeout, OSError):
        message = "another build of this project does not end"
        raise fail("busy", Place(project.package_path), message) from None
    try:
        yield
    finally:
        lock.release()
