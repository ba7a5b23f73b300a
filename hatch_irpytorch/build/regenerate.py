"""Bring a project's outputs up to date, or say what that would change."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from hatch_irpytorch import emit
from hatch_irpytorch.build.content import digest
from hatch_irpytorch.build.current import has_digest
from hatch_irpytorch.build.files import output_bytes, remove_leftovers
from hatch_irpytorch.build.lock import LOCK_NAME, Lock, read_lock
from hatch_irpytorch.build.outputs import Difference, apply, compare, write_outputs
from hatch_irpytorch.errors import Place, Problem, fail
from hatch_irpytorch.project import Project, find_manifests

if TYPE_CHECKING:
    from hatch_irpytorch.build.generate import Generated, Kept
    from hatch_irpytorch.build.jobs import Progress

WAIT_SECONDS = 600.0


def update_outputs(
    project: Project, jobs: int | None = 1, progress: Progress | None = None
) -> tuple[Problem, ...]:
    """Make the modules whose inputs or outputs changed, where any did; returns notes."""
    from hatch_irpytorch.build.generate import generate_project

    with project_lock(project):
        lock = read_lock(project.root, project.output)
        kept = unchanged_modules(project, lock)
        generated = generate_project(project, jobs=jobs, kept=kept, progress=progress)
        others = {path: mark for path, mark in lock.outputs.items() if path not in kept.outputs}
        before = Lock(lock.revision, lock.inputs, others)
        new = generated.lock()
        write_outputs(project.root, project.output, before, new, generated.outputs)
        return generated.notes


def regenerate(
    project: Project,
    names: Sequence[str] = (),
    jobs: int | None = 1,
    progress: Progress | None = None,
) -> tuple[list[str], tuple[Problem, ...]]:
    """Write outputs and golden files, of all modules or those named: changed paths and notes.

    `jobs` processes make them, None for as many as the machine has cores.
    """
    from hatch_irpytorch.build.generate import generate_project

    with project_lock(project):
        lock = read_lock(project.root, project.output)
        generated = generate_project(project, names, golden=True, jobs=jobs, progress=progress)
        goldens, notes = _golden_differences(project, generated, prune=not names)
        before, after = lock, generated.lock()
        if names:
            before, after = _partial_locks(project, lock, generated)
        changed = write_outputs(project.root, project.output, before, after, generated.outputs)
        apply(project.root, goldens)
        _remove_golden_leftovers(project)
        changed += [difference.path for difference in goldens]
        return changed, (*generated.notes, *notes)


def _partial_locks(project: Project, lock: Lock, generated: Generated) -> tuple[Lock, Lock]:
    """The lock as far as it speaks of the chosen modules, and the whole lock afterwards.

    An input that another module reads too keeps its old digest, so that this one stays stale.
    """
    from hatch_irpytorch.build.model import input_path

    chosen = {model.manifest.module for model in generated.models}
    others: set[str] = set()
    for manifest in generated.manifests:
        if manifest.module not in chosen:
            others.add(manifest.file)
            named = [(manifest.ir, manifest.ir_place)]
            if manifest.params is not None:
                named.append((manifest.params, manifest.params_place))
            others.update(input_path(project, manifest, *entry)[1] for entry in named)
    read = {path: mark for path, mark in generated.inputs.items() if path not in others}
    kept = {path: mark for path, mark in lock.inputs.items() if path in others}
    written = {path: digest(data) for path, data in generated.outputs.items()}
    modules = {**lock.modules, **generated.lock().modules}
    after = Lock(lock.revision, {**kept, **read}, {**lock.outputs, **written}, modules)
    now = {path: mark for path, mark in lock.outputs.items() if path in written}
    return Lock(lock.revision, lock.inputs, now), after


def _golden_differences(
    project: Project, generated: Generated, prune: bool
) -> tuple[list[Difference], list[Problem]]:
    from hatch_irpytorch.build.golden import golden_differences, golden_note

    wanted: dict[str, bytes] = {}
    notes = []
    for model in generated.models:
        module = model.manifest.module
        assert model.golden is not None
        wanted[module] = model.golden.data
        if not model.golden.cases:
            notes.append(golden_note(module))
    return golden_differences(project.root, wanted, prune), notes


def _remove_golden_leftovers(project: Project) -> None:
    from hatch_irpytorch.build.golden import FOLDER

    remove_leftovers(project.root / FOLDER)


def differences(
    project: Project, *, golden: bool, jobs: int | None = 1, progress: Progress | None = None
) -> list[Difference]:
    """What `regenerate` would change; a build does not look at golden files."""
    from hatch_irpytorch.build.generate import generate_project

    generated = generate_project(project, golden=golden, jobs=jobs, progress=progress)
    lock = read_lock(project.root, project.output)
    found = compare(project.root, lock, generated.outputs)
    lock_path = f"{project.output}/{LOCK_NAME}"
    before, after = output_bytes(project.root, lock_path), generated.lock().encode()
    if before != after and not found:
        found.append(Difference(lock_path, "stale" if before else "missing", before, after))
    if golden:
        found += _golden_differences(project, generated, prune=True)[0]
    return found


def unchanged_modules(project: Project, lock: Lock) -> Kept:
    """The modules whose inputs and outputs are all as the lock has them."""
    from hatch_irpytorch.build.generate import Kept

    if lock.revision != emit.REVISION:
        return Kept()
    package, root = project.package_path, project.root
    kept: tuple[dict[str, Sequence[str]], dict[str, str], dict[str, str]] = ({}, {}, {})
    manifests = set(find_manifests(project))
    for module, files in lock.modules.items():
        made = [f"{package}/{module}.py", f"{package}/{module}.safetensors"]
        outputs = {path: lock.outputs[path] for path in made if path in lock.outputs}
        inputs = {path: lock.inputs[path] for path in files if path in lock.inputs}
        whole = files[0] in manifests and len(inputs) == len(files) and made[0] in outputs
        recorded = [*inputs.items(), *outputs.items()]
        if whole and all(has_digest(f"{root}/{path}", mark) for path, mark in recorded):
            kept[0][module] = files
            kept[1].update(inputs)
            kept[2].update(outputs)
    return Kept(*kept)


@contextmanager
def project_lock(project: Project) -> Iterator[None]:
    """Builds of one project wait for each other. The lock stands outside the tree."""
    import tempfile

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
