"""Lock files, one a module: what the last run read and wrote, by digest.

They tell stale outputs from edited ones and let a build in which nothing changed end early. They do
not decide what is ours: `ownership` does. One that cannot be used is made again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from hatch_irpytorch.build.files import file_bytes, folder_names, output_bytes, output_paths
from hatch_irpytorch.build.ownership import has_conflict, module_of
from hatch_irpytorch.names import import_name_problem, path_problem
from hatch_irpytorch.project import Project

LOCK_FOLDER = "irpytorch.lock"
LOCK_FORMAT = "irpytorch.lock.v2"
ENDING = ".json"

PACKAGE = "__init__"
"""The lock that stands for the package's own files, which no manifest makes."""

OLD_NAME = "irpytorch.lock.json"
OLD_FORMAT = "irpytorch.lock.v1"
"""The one lock file of all modules, until 0.1.0 was finished."""

_NONE: Mapping[str, Any] = MappingProxyType({})


class ModuleLock(NamedTuple):
    """What one module was made from and what was written: digests.

    `inputs` are by path relative to the project, the manifest first; `outputs` by name in the
    package folder. `revision` is that of the emitter.
    """

    revision: int = 0
    inputs: Mapping[str, str] = _NONE
    outputs: Mapping[str, str] = _NONE

    @property
    def manifest(self) -> str:
        return next(iter(self.inputs), "")

    def encode(self) -> bytes:
        """JSON with one entry a line."""
        lines = [f'  "format": "{LOCK_FORMAT}"', f'  "revision": {self.revision}']
        for name, table in (("inputs", self.inputs), ("outputs", self.outputs)):
            entries = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in table.items()]
            body = ",\n".join(entries)
            lines.append(f'  "{name}": {{\n{body}\n  }}' if entries else f'  "{name}": {{}}')
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")


class Locks(NamedTuple):
    """The lock files of a project by module.

    `unusable` are the paths of those that hold something else, such as a merge conflict. `old` are
    digests by name in the package folder of a lock file from before there was one a module.
    """

    modules: Mapping[str, ModuleLock] = _NONE
    unusable: tuple[str, ...] = ()
    old: Mapping[str, str] | None = None

    def recorded(self, name: str) -> str | None:
        """The digest with which a file of the package was written, if any lock says so."""
        stem = name.partition(".")[0]
        module = self.modules.get(PACKAGE if name == "py.typed" else stem, ModuleLock())
        return module.outputs.get(name, (self.old or {}).get(name))


def lock_path(project: Project, module: str) -> str:
    return f"{project.output}/{LOCK_FOLDER}/{module}{ENDING}"


def old_lock_path(project: Project) -> str:
    return f"{project.output}/{OLD_NAME}"


def read_locks(project: Project) -> Locks:
    """The lock files of a project. Raises for links, pipes and folders in their place."""
    found: dict[str, str] = {}
    for name in folder_names(project.root, f"{project.output}/{LOCK_FOLDER}"):
        module = name.removesuffix(ENDING)
        if name.endswith(ENDING) and (module == PACKAGE or not import_name_problem(module)):
            found[lock_path(project, module)] = module
    modules: dict[str, ModuleLock] = {}
    unusable: list[str] = []
    for path, full in output_paths(project.root, found).items():
        module = found[path]
        lock = _decoded(file_bytes(full, path) or b"", module)
        if lock is None:
            unusable.append(path)
        else:
            modules[module] = lock
    old = output_bytes(project.root, old_lock_path(project))
    if old is None or not is_lock_text(old, OLD_FORMAT):
        return Locks(modules, tuple(unusable))
    return Locks(modules, tuple(unusable), _old_outputs(old, project))


def is_lock_text(data: bytes, form: str) -> bool:
    """Whether a text is a lock file of this format, or was one before a merge."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return has_conflict(data) and f'"format": "{form}"'.encode("ascii") in data
    return isinstance(value, dict) and value.get("format") == form


def _decoded(data: bytes, module: str) -> ModuleLock | None:
    """The lock in the bytes of a file, or None when it is no lock of this module."""
    try:
        value = json.loads(data)
        lock = ModuleLock(value["revision"], value["inputs"], value["outputs"])
        sound = value["format"] == LOCK_FORMAT and type(lock.revision) is int
        sound = sound and _are_digests(lock.inputs) and _are_digests(lock.outputs)
        sound = sound and not any(map(path_problem, lock.inputs))
        sound = sound and not any(path.startswith("/") for path in lock.inputs)
        own = ("__init__.py", "py.typed")
        sound = sound and all(
            name in own if module == PACKAGE else module_of(name) == module for name in lock.outputs
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return lock if sound else None


def _are_digests(table: Mapping[str, object]) -> bool:
    return all(type(mark) is str and mark.isascii() for mark in table.values())


def _old_outputs(data: bytes, project: Project) -> dict[str, str]:
    """The digests of an old lock file, as far as they speak of files in the package folder."""
    try:
        outputs = json.loads(data)["outputs"]
        folder = f"{project.package_path}/"
        return {
            path.removeprefix(folder): mark
            for path, mark in outputs.items()
            if path.startswith(folder) and type(mark) is str
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
