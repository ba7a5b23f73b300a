"""Commands that write to a project wait for each other."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hatch_irpytorch.build.files import create_file, output_path
from hatch_irpytorch.build.ownership import is_regular
from hatch_irpytorch.errors import IRPyTorchError, Place, fail
from hatch_irpytorch.project import PROCESS_LOCK, Project
from hatch_irpytorch.source.reading import content, reason

if TYPE_CHECKING:
    from filelock import BaseFileLock

WAIT_SECONDS = 600.0
SILENT_SECONDS = 1.0
_IGNORED = f"{PROCESS_LOCK.rpartition('/')[0]}/.gitignore"
_IGNORE_ALL = b"*\n"
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def say_waiting(message: str) -> None:
    """Tell whoever looks at stderr why nothing happens."""
    if sys.stderr is not None:
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()


@contextmanager
def project_lock(project: Project, say: Callable[[str], None] = say_waiting) -> Iterator[None]:
    """Hold the process lock of a project, a file of its own in a folder that git passes over.

    `say` is told when another process has it for more than a second. Raises `busy` when it still
    has it after ten minutes, `cannot-lock` where the file system or the folder's rights allow none.
    """
    lock = _lock_file(project)
    _acquire(lock, say)
    try:
        yield
    finally:
        lock.release()


def remove_process_lock(project: Project) -> None:
    """Remove the file of the process lock with its folder, after a command that cleans up."""
    path = output_path(project.root, PROCESS_LOCK)
    ignored = output_path(project.root, _IGNORED)
    with suppress(OSError):
        path.unlink()
    with suppress(OSError):
        if content(ignored) == _IGNORE_ALL:
            ignored.unlink()
    for folder in (path.parent, path.parent.parent):
        with suppress(OSError):
            folder.rmdir()


def _lock_file(project: Project) -> BaseFileLock:
    from filelock import FileLock

    path = output_path(project.root, PROCESS_LOCK)
    if path.exists() and not is_regular(path):
        message = "something else than a file stands where the lock of builds belongs"
        raise fail("not-ours", Place(PROCESS_LOCK), message, "move it away")
    ignored = output_path(project.root, _IGNORED)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        create_file(ignored, _IGNORE_ALL)
    except OSError as error:
        raise _cannot(error) from None
    return FileLock(path)


def _acquire(lock: BaseFileLock, say: Callable[[str], None]) -> None:
    from filelock import Timeout

    try:
        try:
            lock.acquire(timeout=SILENT_SECONDS)
        except Timeout:
            say("waiting for another build of this project to end")
            lock.acquire(timeout=WAIT_SECONDS)
    except Timeout:
        message = "another build of this project does not end"
        raise fail("busy", Place(PROCESS_LOCK), message, "end it, or wait for it") from None
    except (OSError, NotImplementedError) as error:
        raise _cannot(error) from None


def _cannot(error: OSError | NotImplementedError) -> IRPyTorchError:
    without = isinstance(error, NotImplementedError) or error.errno in _NO_LOCKS
    if without:
        message = "the file system of the project has no file locks"
        hint = "build on a file system that has them"
    else:
        why = reason(error) if isinstance(error, OSError) else ""
        message = f"the lock that keeps builds apart cannot be taken: {why}"
        hint = "a command that writes needs a project folder that it can write to"
    return fail("cannot-lock", Place(PROCESS_LOCK), message, hint)
