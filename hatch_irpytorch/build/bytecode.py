"""Bytecode that Python would take for a generated module although it is not that module's.

`import` prefers a file in `__pycache__` to the source beside it, when a time stamp fits or the file
says that nothing needs to be compared. What Python itself wrote there is no finding.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path
from typing import NamedTuple

from hatch_irpytorch.build import code_objects
from hatch_irpytorch.build.files import folder_names
from hatch_irpytorch.build.ownership import module_of
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem
from hatch_irpytorch.project import Project
from hatch_irpytorch.source.reading import content, reason

_HEADER = 16
_HASHED, _CHECKED = 1, 2
_SECONDS = 300.0
_HINT = "remove it"
_NEVER_READ = "Python would run this file unseen: it says that the source need not be compared"
_OTHER_CODE = "the bytecode is not that of the module, and Python would run it"


class _Cache(NamedTuple):
    """A file that Python would take for the code of a module."""

    file: str
    source: Path
    path: Path
    optimization: int


def foreign_bytecode(project: Project) -> list[Problem]:
    """Findings for the `__pycache__` of the package; nothing in it is loaded in this process."""
    found: dict[str, str] = {}
    caches = []
    folder = f"{project.package_path}/__pycache__"
    try:
        names = folder_names(project.root, folder)
    except IRPyTorchError as error:
        return list(error.problems)
    for name in names:
        file = f"{folder}/{name}"
        module, _, rest = name.partition(".")
        if not name.endswith(".pyc") or not (module == "__init__" or module_of(f"{module}.py")):
            continue
        source = project.root / project.package_path / f"{module}.py"
        path = project.root / file
        try:
            taken = _is_taken(path, source, rest)
        except OSError as error:
            found[file] = f"the file cannot be read: {reason(error)}"
            continue
        if taken is None:
            found[file] = _NEVER_READ
        elif taken:
            caches.append(_Cache(file, source, path, _optimization(rest) or 0))
    found |= dict.fromkeys(_unlike(caches), _OTHER_CODE)
    return [
        Problem("foreign-code", Place(file), message, _HINT)
        for file, message in sorted(found.items())
    ]


def _is_taken(path: Path, source: Path, rest: str) -> bool | None:
    """Whether this Python would take a file for the code of `source`; None if any does, unseen."""
    data = content(path)[:_HEADER]
    flags = int.from_bytes(data[4:8], "little")
    if len(data) == _HEADER and flags & _HASHED and not flags & _CHECKED:
        return None
    if _optimization(rest) is None or data[:4] != MAGIC_NUMBER:
        return False
    try:
        text = content(source)
        stamp = source.stat()
    except OSError:
        return False
    if flags & _HASHED:
        return data[8:] == source_hash(text)
    expected = (int(stamp.st_mtime), stamp.st_size)
    return data[8:] == b"".join((n & 0xFFFFFFFF).to_bytes(4, "little") for n in expected)


def _optimization(rest: str) -> int | None:
    """The level of optimization in what follows the name of a module; None for another Python."""
    tag = f"{sys.implementation.cache_tag}."
    if not rest.startswith(tag):
        return None
    level = rest.removeprefix(tag).removesuffix("pyc").removesuffix(".")
    return {"": 0, "opt-1": 1, "opt-2": 2}.get(level)


def _unlike(caches: list[_Cache]) -> list[str]:
    """The files whose code is not that of their source, or that end the process that loads them."""
    found = []
    waiting = caches
    while waiting:
        answers = _compared(waiting)
        found += [c.file for c, same in zip(waiting, answers, strict=False) if not same]
        if len(answers) < len(waiting):
            found.append(waiting[len(answers)].file)
        waiting = waiting[len(answers) + 1 :]
    return found


def _compared(caches: list[_Cache]) -> list[bool]:
    """Whether each has the code of its source, up to the one that the process did not survive."""
    command = [sys.executable, "-I", "-S", "-B", str(Path(code_objects.__file__).resolve())]
    asked = [[str(cache.source), str(cache.path), cache.optimization] for cache in caches]
    try:
        result = subprocess.run(
            command,
            input=json.dumps(asked).encode("ascii"),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        said = result.stdout
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
    return [line == b"same" for line in said.split(b"\n")[:-1]][: len(caches)]
