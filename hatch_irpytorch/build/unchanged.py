"""Which modules are as their lock files say. Reads bytes only: no numpy."""

from __future__ import annotations

from collections.abc import Mapping

from hatch_irpytorch import emit
from hatch_irpytorch.build.content import file_digest
from hatch_irpytorch.build.lock import Locks, ModuleLock
from hatch_irpytorch.build.ownership import is_regular
from hatch_irpytorch.project import Project, find_manifests


def unchanged_modules(project: Project, locks: Locks) -> dict[str, ModuleLock]:
    """The lock files of the modules whose inputs and outputs are all as they say."""
    manifests = set(find_manifests(project))
    known: dict[str, bool] = {}
    return {
        module: lock
        for module, lock in locks.modules.items()
        if lock.manifest in manifests
        and f"{module}.py" in lock.outputs
        and is_as_locked(project, lock, known)
    }


def is_as_locked(project: Project, lock: ModuleLock, known: dict[str, bool]) -> bool:
    """Whether each file that a lock names has its digest; `known` remembers shared inputs."""
    if lock.revision != emit.REVISION:
        return False
    for path, mark in lock.inputs.items():
        key = f"{path} {mark}"
        if key not in known:
            known[key] = has_digest(f"{project.root}/{path}", mark)
        if not known[key]:
            return False
    return _outputs_are(project, lock.outputs)


def _outputs_are(project: Project, outputs: Mapping[str, str]) -> bool:
    folder = f"{project.root}/{project.package_path}"
    return all(has_digest(f"{folder}/{name}", mark) for name, mark in outputs.items())


def has_digest(path: str, mark: str) -> bool:
    """Whether a regular file has the content that a digest stands for."""
    try:
        return is_regular(path) and file_digest(path) == mark
    except OSError:
        return False
