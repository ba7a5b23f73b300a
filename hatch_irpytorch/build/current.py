"""Whether outputs are what the inputs give: all that a build with nothing to do needs."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from hatch_irpytorch import emit
from hatch_irpytorch.build.content import file_digest
from hatch_irpytorch.build.lock import read_lock
from hatch_irpytorch.project import Project, find_manifests

if TYPE_CHECKING:
    from hatch_irpytorch.build.jobs import Progress
    from hatch_irpytorch.errors import Problem


def build_outputs(
    project: Project, jobs: int | None = 1, progress: Progress | None = None
) -> tuple[Problem, ...]:
    """What a build does: nothing when nothing changed, else make what did; returns notes."""
    if is_current(project):
        return ()
    from hatch_irpytorch.build.regenerate import update_outputs

    return update_outputs(project, jobs, progress)


def is_current(project: Project) -> bool:
    """Whether nothing changed since the lock was written. Reads bytes only: no numpy.

    Raises `bad-json` for a lock file that is not one.
    """
    lock = read_lock(project.root, project.output)
    if lock.revision != emit.REVISION or not lock.outputs:
        return False
    if not all(path.startswith(f"{project.package_path}/") for path in lock.outputs):
        return False
    manifests = {path for path in lock.inputs if path.endswith((".yaml", ".yml"))}
    if manifests != set(find_manifests(project)):
        return False
    root = project.root
    recorded = [*lock.inputs.items(), *lock.outputs.items()]
    return all(has_digest(f"{root}/{path}", mark) for path, mark in recorded)


def has_digest(path: str, mark: str) -> bool:
    """Whether a regular file has the content that a digest stands for."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode) and file_digest(path) == mark
    except OSError:
        return False
