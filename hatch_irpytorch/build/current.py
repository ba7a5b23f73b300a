"""Whether outputs are what the inputs give: all that a build with nothing to do needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hatch_irpytorch.build.lock import PACKAGE, Locks, read_locks
from hatch_irpytorch.build.unchanged import is_as_locked
from hatch_irpytorch.project import Project, find_manifests

if TYPE_CHECKING:
    from hatch_irpytorch.build.jobs import Progress
    from hatch_irpytorch.errors import Problem


def build_outputs(
    project: Project, jobs: int | None = 1, progress: Progress | None = None
) -> tuple[Locks, tuple[Problem, ...]]:
    """What a build does: nothing when nothing changed, else make what did.

    Returns the lock files as they are then, and notes.
    """
    locks = read_locks(project)
    if is_current(project, locks):
        return locks, ()
    from hatch_irpytorch.build.regenerate import update_outputs

    notes = update_outputs(project, jobs, progress)
    return read_locks(project), notes


def is_current(project: Project, locks: Locks) -> bool:
    """Whether nothing changed since the lock files were written. Reads bytes only: no numpy."""
    if locks.unusable or locks.old is not None or PACKAGE not in locks.modules:
        return False
    made = {module: lock for module, lock in locks.modules.items() if module != PACKAGE}
    if sorted(lock.manifest for lock in made.values()) != find_manifests(project):
        return False
    known: dict[str, bool] = {}
    return all(is_as_locked(project, lock, known) for lock in locks.modules.values())
