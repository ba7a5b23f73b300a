"""What `pyproject.toml` and `hatch.toml` say to hatchling, as far as it concerns the hook."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from hatch_irpytorch.errors import Place, fail
from hatch_irpytorch.source.reading import content, reason

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT_FILE = "pyproject.toml"
HATCH_FILE = "hatch.toml"
MAX_BYTES = 1 << 20
"""No configuration that people write is larger."""

IN_TREE = "hatch_irpytorch/_in_tree.py"
_MAX_DOTS = 500
_HOOK_NAME = "irpytorch"
_WILD = frozenset("*?[]!")


class HookTable(NamedTuple):
    """A table that configures the hook: its name in full, and its options."""

    where: str
    options: Mapping[str, Any]


def read_toml(path: Path, name: str) -> dict[str, Any]:
    """A TOML file of a project, which errors call `name`.

    Raises `bad-project` for all that cannot be used, `FileNotFoundError` when nothing is there.
    """
    try:
        text = content(path, MAX_BYTES).decode("utf-8")
        _refuse_long_keys(text, name)
        return tomllib.loads(text)
    except FileNotFoundError:
        raise
    except OSError as error:
        message = f"the file cannot be read: {reason(error)}"
        raise fail("bad-project", Place(name), message) from None
    except UnicodeDecodeError as error:
        message = f"not TOML: byte {error.start} is not UTF-8"
        raise fail("bad-project", Place(name), message) from None
    except RecursionError:
        raise fail("bad-project", Place(name), "not usable: it is nested too deeply") from None
    except ValueError as error:
        raise fail("bad-project", Place(name), f"not TOML: {error}") from None


def _refuse_long_keys(text: str, name: str) -> None:
    """The parser needs memory by the square of how many parts a key has."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > _MAX_DOTS:
            message = f"not usable: line {number} has more than {_MAX_DOTS} dots"
            raise fail("bad-project", Place(name), message)


def hatch_table(root: Path, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """`tool.hatch` of a project file; as in hatchling, keys of a `hatch.toml` go before its own."""
    own = table(table(data, "tool", "tool"), "hatch", "tool.hatch")
    try:
        return {**own, **read_toml(root / HATCH_FILE, HATCH_FILE)}
    except FileNotFoundError:
        return own


def table(parent: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """A table inside another, empty when it is not there. Raises `bad-project` for other values."""
    value = parent.get(key, {})
    if not isinstance(value, dict):
        found = f"an array of {len(value)}" if isinstance(value, list) else "a value"
        message = f"`{where}` must be a table, found {found}"
        raise fail("bad-project", Place(PROJECT_FILE), message)
    return value


def hook_tables(hatch: Mapping[str, Any]) -> list[HookTable]:
    """The tables that configure the hook, for all targets or for one. Raises `bad-project`."""
    return [found for where, options in _build_tables(hatch) for found in _hooks(where, options)]


def _build_tables(hatch: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """`tool.hatch.build` and the table of each target, which have the same options."""
    where = "tool.hatch.build"
    build = table(hatch, "build", where)
    yield where, build
    targets = table(build, "targets", f"{where}.targets")
    for name in targets:
        yield f"{where}.targets.{name}", table(targets, name, f"{where}.targets.{name}")


def _hooks(where: str, options: Mapping[str, Any]) -> Iterator[HookTable]:
    hooks = table(options, "hooks", f"{where}.hooks")
    for name in hooks:
        full = f"{where}.hooks.{name}"
        found = table(hooks, name, full)
        if name == _HOOK_NAME or (name == "custom" and found.get("path") == IN_TREE):
            yield HookTable(full, found)


def shipped_paths(hatch: Mapping[str, Any], output: str) -> tuple[str, ...]:
    """The paths at or below `output` that the options of the wheel name, sorted.

    Of a pattern only the part before its first wildcard counts.
    """
    build = table(hatch, "build", "tool.hatch.build")
    targets = table(build, "targets", "tool.hatch.build.targets")
    wheel = table(targets, "wheel", "tool.hatch.build.targets.wheel")
    named: list[object] = []
    for key in ("packages", "only-include", "include", "force-include"):
        value = wheel.get(key, build.get(key, []))
        named += list(value) if isinstance(value, list | dict) else []
    paths = {_plain(path) for path in named if isinstance(path, str)}
    return tuple(sorted(p for p in paths if p == output or p.startswith(f"{output}/")))


def _plain(path: str) -> str:
    parts = path.replace("\\", "/").split("/")
    return posixpath.normpath("/".join(takewhile(_WILD.isdisjoint, parts))).strip("/")
