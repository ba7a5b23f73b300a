"""Outputs as {path: content}: compared with what is on disk, written, removed."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hatch_irpytorch.build.content import (
    BINARY_ENDINGS,
    Content,
    OnDisk,
    digest,
    file_digest,
    same_text,
)
from hatch_irpytorch.build.files import (
    file_bytes,
    folder_names,
    is_leftover,
    output_bytes,
    output_path,
    output_paths,
    remove_file,
    remove_leftovers,
    replace_files,
)
from hatch_irpytorch.build.lock import (
    LOCK_FOLDER,
    LOCK_FORMAT,
    Locks,
    ModuleLock,
    is_lock_text,
    lock_path,
    old_lock_path,
    read_locks,
)
from hatch_irpytorch.build.ownership import (
    has_conflict,
    has_module_mark,
    is_generated_weights,
    is_regular,
    module_of,
)
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem
from hatch_irpytorch.project import Project

Outputs = Mapping[str, Content]


class Difference(NamedTuple):
    """One file that is not as it should be; `state` is also the problem's code.

    Without `before` and `after` nothing would be written or removed: the file is only told.
    """

    path: str
    state: str
    before: bytes | OnDisk | None = None
    after: Content | None = None


_SENTENCES = {
    "missing": "the file does not exist",
    "stale": "the file is older than its inputs",
    "orphaned": "the file has no manifest any more",
    "edited-by-hand": "the file differs from what was last generated",
    "not-ours": "nothing of hatch-irpytorch's, and it stands among generated files",
}


def compare(project: Project, locks: Locks, outputs: Outputs) -> list[Difference]:
    """Every output that is not on disk as it should be, by path."""
    found = []
    for path, full in output_paths(project.root, sorted(outputs)).items():
        before, after = _found(full, path), outputs[path]
        if _same(before, after):
            continue
        name = path.rpartition("/")[2]
        if before is None:
            state = "missing"
        elif not _may_replace(full, before, locks):
            state = "not-ours"
        elif locks.recorded(name) not in (None, digest(before)):
            state = "edited-by-hand"
        else:
            state = "stale"
        found.append(Difference(path, state, before, after))
    return found


def _found(full: Path, path: str) -> bytes | OnDisk | None:
    """What is on disk; weight files are not read into memory."""
    if not path.endswith(BINARY_ENDINGS):
        return file_bytes(full, path)
    try:
        return OnDisk(full, file_digest(full))
    except FileNotFoundError:
        return None
    except OSError:
        return file_bytes(full, path)


def _same(before: bytes | OnDisk | None, after: Content) -> bool:
    if before is None:
        return False
    if isinstance(before, bytes) and isinstance(after, bytes):
        return same_text(before, after)
    return digest(before) == digest(after)


def _may_replace(full: Path, before: bytes | OnDisk, locks: Locks) -> bool:
    """Whether a file is ours by its mark; a weight file of an old lock counts until it is made."""
    if isinstance(before, OnDisk):
        return (locks.old or {}).get(full.name) == before.digest or _is_marked(full, before)
    return _is_marked(full, before)


def _is_marked(full: Path, before: bytes | OnDisk) -> bool:
    if isinstance(before, OnDisk):
        return is_generated_weights(full)
    if full.name == "py.typed":
        return before == b""
    return full.suffix == ".py" and has_module_mark(before)


def leftovers(project: Project, locks: Locks, wanted: Collection[str]) -> list[Difference]:
    """What else stands in the package folder; `wanted` are the names that belong there.

    A file of ours is removed only when the lock has its digest: those have a `before`.
    """
    found = []
    folder = project.package_path
    for name in folder_names(project.root, folder):
        path, full = f"{folder}/{name}", project.root / folder / name
        if name in wanted or name == "__pycache__" or is_leftover(name):
            continue
        before = _found(full, path) if module_of(name) and is_regular(full) else None
        if before is None or not _is_marked(full, before):
            adopted = before is not None and (locks.old or {}).get(name) == digest(before)
            state = "orphaned" if adopted else "not-ours"
            found.append(Difference(path, state))
        elif locks.recorded(name) == digest(before):
            found.append(Difference(path, "orphaned", before))
        else:
            found.append(Difference(path, "orphaned"))
    return found


def describe(difference: Difference) -> Problem:
    """A difference as a problem that names the remedy."""
    code = "stale" if difference.state == "missing" else difference.state
    hint = "run `irpytorch regen`"
    if difference.state == "edited-by-hand":
        hint += " or restore it"
    elif difference.state == "not-ours":
        hint = "move it away"
    elif difference.before is None and difference.state == "orphaned":
        hint = f"remove it yourself: `rm {shlex.quote(difference.path)}`"
    return Problem(code, Place(difference.path), _SENTENCES[difference.state], hint)


class Changes(NamedTuple):
    """What a run changes: files written and removed, the lock files last, and notes."""

    written: tuple[Difference, ...]
    removed: tuple[Difference, ...]
    locks: tuple[Difference, ...] = ()
    notes: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.written or self.removed or self.locks)


def planned_changes(
    project: Project,
    locks: Locks,
    new: Mapping[str, ModuleLock],
    outputs: Outputs,
    *,
    whole: bool,
) -> Changes:
    """What has to be written and, of a whole project, what has no manifest and has to go.

    `locks` are those on disk, `new` those of the modules that `outputs` and earlier runs made.
    Raises `not-ours`.
    """
    differences = compare(project, locks, outputs)
    problems = [_refused(d) for d in differences if d.state == "not-ours"]
    if problems:
        raise IRPyTorchError(problems)
    wanted = {name for lock in new.values() for name in lock.outputs}
    others = leftovers(project, locks, wanted) if whole else []
    notes = [describe(d) for d in others if d.state == "orphaned" and d.before is None]
    texts = ((d.path, d.before) for d in differences if isinstance(d.before, bytes))
    conflicts = [path for path, before in texts if has_conflict(before)]
    made = {lock_path(project, module) for module in new}
    unusable = [path for path in locks.unusable if path in made]
    notes += [_rebuilt(path) for path in sorted([*conflicts, *unusable])]
    return Changes(
        tuple(differences),
        tuple(d for d in others if d.before is not None),
        tuple(lock_differences(project, locks, new, whole=whole)),
        tuple(notes),
    )


def apply_changes(project: Project, changes: Changes) -> None:
    """Write and remove, the lock files last. Raises `cannot-write`."""
    for differences in (changes.written, changes.removed, changes.locks):
        apply(project.root, differences)
    changed = [*changes.written, *changes.removed, *changes.locks]
    for folder in {(project.root / difference.path).parent for difference in changed}:
        remove_leftovers(folder)


def lock_differences(
    project: Project, locks: Locks, new: Mapping[str, ModuleLock], *, whole: bool
) -> list[Difference]:
    """The lock files to write and, of a whole project, those to remove."""
    found = []
    for module, lock in sorted(new.items()):
        path, after = lock_path(project, module), lock.encode()
        if path in locks.unusable or locks.modules.get(module) != lock:
            before = output_bytes(project.root, path)
            found.append(Difference(path, "missing" if before is None else "stale", before, after))
    if not whole:
        return found
    known = {lock_path(project, module) for module in new}
    texts = ((path, output_bytes(project.root, path)) for path in locks.unusable)
    paths = [path for path, text in texts if text is not None and is_lock_text(text, LOCK_FORMAT)]
    paths += [lock_path(project, module) for module in locks.modules]
    if locks.old is not None:
        paths.append(old_lock_path(project))
    for path in sorted(set(paths) - known):
        found.append(Difference(path, "orphaned", output_bytes(project.root, path)))
    return found


def apply(root: Path, differences: Sequence[Difference]) -> None:
    """Write and remove what the differences say, each file at once or not at all."""
    paths = output_paths(root, [difference.path for difference in differences])
    replace_files((paths[d.path], d.after, d.path) for d in differences if d.after is not None)
    for difference in differences:
        if difference.after is None:
            remove_file(paths[difference.path], difference.path)


def _refused(difference: Difference) -> Problem:
    message = "a file that hatch-irpytorch did not write stands where an output belongs"
    place = Place(difference.path)
    return Problem("not-ours", place, message, "move it away or rename the module")


def _rebuilt(path: str) -> Problem:
    message = "the file held a merge conflict or something else than we write, and was made again"
    return Problem("rebuilt", Place(path), message)


def clean_outputs(project: Project) -> list[str]:
    """Remove the files with our mark that are as we wrote them; returns their paths.

    Raises `edited-by-hand`, before anything is removed.
    """
    locks = read_locks(project)
    ours = []
    problems = []
    for name in folder_names(project.root, project.package_path):
        path = f"{project.package_path}/{name}"
        full = project.root / path
        named = module_of(name) or name in ("__init__.py", "py.typed")
        before = _found(full, path) if named and is_regular(full) else None
        if before is None or not _is_marked(full, before):
            continue
        if locks.recorded(name) == digest(before):
            ours.append(path)
        elif locks.recorded(name) is not None:
            message = "the file was edited by hand and is left alone"
            hint = "restore it or remove it yourself"
            problems.append(Problem("edited-by-hand", Place(path), message, hint))
    if problems:
        raise IRPyTorchError(problems)
    derived = lock_differences(project, locks, {}, whole=True)
    for path in (*ours, *(difference.path for difference in derived)):
        remove_file(output_path(project.root, path), path)
    for folder in (f"{project.output}/{LOCK_FOLDER}", *project.package_folders):
        remove_leftovers(project.root / folder)
        with suppress(OSError):
            (project.root / folder).rmdir()
    return ours
