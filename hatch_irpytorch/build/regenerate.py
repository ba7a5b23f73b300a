"""Bring a project's outputs up to date, or say what that would change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from hatch_irpytorch.build.lock import Locks, ModuleLock, read_locks
from hatch_irpytorch.build.outputs import (
    Changes,
    Difference,
    apply_changes,
    compare,
    describe,
    leftovers,
    lock_differences,
    planned_changes,
)
from hatch_irpytorch.build.process_lock import project_lock
from hatch_irpytorch.build.surroundings import strangers
from hatch_irpytorch.build.unchanged import unchanged_modules
from hatch_irpytorch.errors import Problem
from hatch_irpytorch.project import Project

if TYPE_CHECKING:
    from hatch_irpytorch.build.generate import Generated
    from hatch_irpytorch.build.jobs import Progress


def update_outputs(
    project: Project, jobs: int | None = 1, progress: Progress | None = None
) -> tuple[Problem, ...]:
    """Make the modules whose inputs or outputs changed, where any did; returns notes."""
    from hatch_irpytorch.build.generate import generate_project

    def planned(locks: Locks) -> Changes:
        kept = unchanged_modules(project, locks)
        generated = generate_project(project, jobs=jobs, kept=kept, progress=progress)
        new, outputs = generated.locks(), generated.outputs
        changes = planned_changes(project, locks, new, outputs, whole=True)
        return changes._replace(notes=(*generated.notes, *changes.notes))

    return _carried_out(project, planned).notes


def regenerate(
    project: Project,
    names: Sequence[str] = (),
    jobs: int | None = 1,
    progress: Progress | None = None,
) -> Changes:
    """Write outputs and golden files, of all modules or those named.

    `jobs` processes make them, None for as many as the machine has cores.
    """
    from hatch_irpytorch.build.generate import generate_project

    whole = not names

    def planned(locks: Locks) -> Changes:
        generated = generate_project(project, names, golden=True, jobs=jobs, progress=progress)
        goldens = _golden_differences(project, generated, prune=whole)
        new, outputs = generated.locks(), generated.outputs
        notes = [*_empty_goldens(generated), *map(describe, filter(_is_told, goldens))]
        changes = planned_changes(project, locks, new, outputs, whole=whole)
        return Changes(
            (*changes.written, *(d for d in goldens if d.after is not None)),
            (*changes.removed, *(d for d in goldens if d.after is None and not _is_told(d))),
            changes.locks,
            (*generated.notes, *notes, *changes.notes),
        )

    return _carried_out(project, planned)


def _carried_out(project: Project, planned: Callable[[Locks], Changes]) -> Changes:
    """Plan, then write; only the writing waits for others, and it is planned again after them."""
    while True:
        locks = read_locks(project)
        changes = planned(locks)
        if not changes:
            return changes
        with project_lock(project):
            if read_locks(project) == locks:
                apply_changes(project, changes)
                return changes


def _is_told(difference: Difference) -> bool:
    """Whether a file is only told of, and neither written nor removed."""
    return difference.before is None and difference.after is None


def _golden_differences(project: Project, generated: Generated, prune: bool) -> list[Difference]:
    from hatch_irpytorch.build.golden import golden_differences

    made = ((model.manifest.module, model.golden) for model in generated.models)
    wanted = {module: golden.data for module, golden in made if golden is not None}
    return golden_differences(project.root, wanted, prune)


def _empty_goldens(generated: Generated) -> list[Problem]:
    from hatch_irpytorch.build.golden import golden_note

    made = ((model.manifest.module, model.golden) for model in generated.models)
    return [golden_note(module) for module, golden in made if golden and not golden.cases]


def differences(
    project: Project,
    names: Sequence[str] = (),
    *,
    golden: bool,
    jobs: int | None = 1,
    progress: Progress | None = None,
) -> list[Difference]:
    """What `regenerate` would change, and what stands among its outputs that is not ours.

    A build does not look at golden files. Nothing is written and no lock is taken.
    """
    from hatch_irpytorch.build.generate import generate_project

    generated = generate_project(project, names, golden=golden, jobs=jobs, progress=progress)
    found = output_differences(project, generated, whole=not names)
    if golden:
        found += _golden_differences(project, generated, prune=not names)
    return found


def output_differences(project: Project, generated: Generated, *, whole: bool) -> list[Difference]:
    """How the files of a package, and its lock files, differ from what was generated.

    With `whole` every other file of the package folder is one more, else only those that are not
    ours. So is what stands beside the package and is nobody's.
    """
    locks = read_locks(project)
    new = generated.locks()
    found = compare(project, locks, generated.outputs)
    wanted = {name for lock in new.values() for name in lock.outputs}
    others = leftovers(project, locks, wanted)
    found += others if whole else [d for d in others if d.state == "not-ours"]
    found += [Difference(path, "not-ours") for path in strangers(project)]
    changed = {d.path.rpartition("/")[2].partition(".")[0] for d in found}
    return found + _lock_files(project, locks, new, changed, whole=whole)


def _lock_files(
    project: Project,
    locks: Locks,
    new: Mapping[str, ModuleLock],
    changed: set[str],
    *,
    whole: bool,
) -> list[Difference]:
    """Lock files that differ although what they speak of does not: that is told once."""
    return [
        difference
        for difference in lock_differences(project, locks, new, whole=whole)
        if difference.path.rpartition("/")[2].partition(".")[0] not in changed
    ]
