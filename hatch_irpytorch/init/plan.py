"""What `irpytorch init` would change in a project, and the change itself."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hatch_irpytorch.build.files import output_path, replace_file
from hatch_irpytorch.build.places import require_place
from hatch_irpytorch.build.process_lock import project_lock
from hatch_irpytorch.configuration import MAX_BYTES, PROJECT_FILE, read_toml
from hatch_irpytorch.errors import Place, Problem, fail
from hatch_irpytorch.init.project_file import project_of, requirement, with_hook
from hatch_irpytorch.init.texts import (
    ATTRIBUTES,
    PRE_COMMIT,
    WORKFLOW,
    with_attributes,
    with_pre_commit,
    workflow,
)
from hatch_irpytorch.project import Project
from hatch_irpytorch.source.reading import decode_text, read_bytes


class Addition(NamedTuple):
    """A file before and after; `before` is None where there is none."""

    path: str
    before: str | None
    after: str


class Plan(NamedTuple):
    """The files that would change, and remarks about those that stay as they are."""

    project: Project
    additions: tuple[Addition, ...]
    notes: tuple[Problem, ...]


def plan_init(start: Path, package: str | None, *, github: bool) -> Plan:
    """What the project that `start` is in lacks, by the nearest `pyproject.toml` upwards.

    Nothing is written. Raises `IRPyTorchError` for a project that cannot use the hook.
    """
    root = _project_folder(start)
    data = read_toml(root / PROJECT_FILE, PROJECT_FILE)
    project_text = _text(root, PROJECT_FILE) or ""
    project = project_of(root, data, package)
    files: list[tuple[str, Callable[[str], str]]] = [
        (PROJECT_FILE, lambda text: with_hook(text, project)),
        (ATTRIBUTES, lambda text: with_attributes(text, project)),
    ]
    notes = []
    top = _repository_folder(root)
    if top == root:
        files.append((PRE_COMMIT, lambda text: with_pre_commit(text, project)))
        if github:
            files.append((WORKFLOW, lambda text: text or workflow(requirement(project_text))))
    else:
        message = "not at the top of the repository, where pre-commit and workflows are read"
        hint = "add a step there that runs `irpytorch check` in this folder"
        notes.append(Problem("bad-project", Place(PROJECT_FILE), message, hint))
    additions = [_addition(root, path, change) for path, change in files]
    changed = tuple(found for found in additions if found.after != (found.before or ""))
    return Plan(project, changed, tuple(notes))


def apply_plan(plan: Plan) -> None:
    """Write what was planned, each file at once or not at all, with the rights that it had.

    Raises `changed` when a file is not as it was read, before anything is written.
    """
    root = plan.project.root
    with project_lock(plan.project):
        for addition in plan.additions:
            if _text(root, addition.path) != addition.before:
                message = "the file changed while its additions were shown"
                raise fail("changed", Place(addition.path), message, "run again")
        for addition in plan.additions:
            path = root / addition.path
            mode = stat.S_IMODE(path.stat().st_mode) if addition.before is not None else None
            replace_file(path, addition.after.encode("utf-8"), addition.path)
            if mode is not None:
                path.chmod(mode)


def _project_folder(start: Path) -> Path:
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / PROJECT_FILE).is_symlink() or (folder / PROJECT_FILE).exists():
            return folder
    message = "the file does not exist, neither here nor in a folder above"
    raise fail("missing-file", Place(PROJECT_FILE), message, "a project has to be there already")


def _repository_folder(root: Path) -> Path:
    """The folder of the repository that a project is in; its own where there is none."""
    return next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)


def _addition(root: Path, path: str, change: Callable[[str], str]) -> Addition:
    require_place(root / path, path)
    before = _text(root, path)
    return Addition(path, before, change(before or ""))


def _text(root: Path, path: str) -> str | None:
    """The text of a regular file, None where nothing is. Links are refused: they stay links."""
    full = output_path(root, path)
    if not full.exists():
        return None
    return decode_text(read_bytes(full, path, MAX_BYTES), path)
