"""The lock file: which files are ours, and what the last run read and wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from hatch_irpytorch.errors import Place, fail

LOCK_NAME = "irpytorch.lock.json"
LOCK_FORMAT = "irpytorch.lock.v1"
_NONE: Mapping[str, Any] = MappingProxyType({})


class Lock(NamedTuple):
    """What the last run read and wrote: digests by path relative to the project.

    `modules` are the inputs of each module: its manifest, its graph and, if any, its parameters.
    """

    revision: int = 0
    inputs: Mapping[str, str] = _NONE
    outputs: Mapping[str, str] = _NONE
    modules: Mapping[str, Sequence[str]] = _NONE

    def encode(self) -> bytes:
        """JSON with one entry a line, sorted."""
        tables = {"inputs": self.inputs, "outputs": self.outputs, "modules": self.modules}
        lines = [f'  "format": "{LOCK_FORMAT}"', f'  "revision": {self.revision}']
        for name, table in tables.items():
            entries = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(table.items())]
            body = ",\n".join(entries)
            lines.append(f'  "{name}": {{\n{body}\n  }}' if entries else f'  "{name}": {{}}')
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode("ascii")


def read_lock(root: Path, output: str) -> Lock:
    """The lock file of an output folder; an empty lock when there is none.

    Raises `bad-json` for a lock file that is not one: what is ours is not known then.
    """
    name = f"{output}/{LOCK_NAME}"
    try:
        data = (root / name).read_bytes()
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        raise fail(
            "bad-json", Place(name), f"the lock file cannot be read: {error.strerror}"
        ) from None
    try:
        value = json.loads(data)
        modules = value.get("modules", {})
        lock = Lock(value["revision"], value["inputs"], value["outputs"], modules)
        paths = [*lock.inputs.items(), *lock.outputs.items()]
        sound = value["format"] == LOCK_FORMAT and type(lock.revision) is int
        sound = sound and all(type(path) is str and type(mark) is str for path, mark in paths)
        sound = sound and all(
            type(module) is str and type(files) is list and set(map(type, files)) == {str}
            for module, files in lock.modules.items()
        )
        sound = sound and all(
            path.startswith(f"{output}/") and ".." not in path for path in lock.outputs
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound:
        hint = "restore it from version control, or remove it"
        raise fail("bad-json", Place(name), "the file is not a lock file of this project", hint)
    return lock
