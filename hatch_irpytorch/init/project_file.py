"""`pyproject.toml` with what the hook needs: a requirement, its table, its package in the wheel."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatch_irpytorch.configuration import (
    HATCH_FILE,
    PROJECT_FILE,
    hatch_table,
    hook_tables,
    shipped_paths,
    table,
)
from hatch_irpytorch.errors import IRPyTorchError, Place, fail, shown
from hatch_irpytorch.init.toml_edits import array_place, array_text, with_item, with_key
from hatch_irpytorch.init.toml_places import Key
from hatch_irpytorch.project import HOOK, Project, configured_project, read_options
from hatch_irpytorch.shipping import hatchling_told, wheel_options

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DISTRIBUTION = "hatch-irpytorch"
_BACKEND = "hatchling.build"
_BUILD_SYSTEM: Key = ("build-system",)
_BUILD: Key = ("tool", "hatch", "build")
_WHEEL: Key = (*_BUILD, "targets", "wheel")
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def project_of(root: Path, data: Mapping[str, Any], package: str | None) -> Project:
    """The project as the hook will see it; `package` names one that is not configured yet.

    Raises `bad-project` when hatchling does not build it, `bad-option`, `bad-name`.
    """
    build_system = table(data, "build-system", "build-system")
    backend = build_system.get("build-backend")
    if backend != _BACKEND:
        found = shown(backend) if backend is not None else "no `build-backend`"
        message = f"the project must be built by hatchling, found {found}"
        hint = f'set `build-backend = "{_BACKEND}"` in [build-system]'
        raise fail("bad-project", Place(PROJECT_FILE), message, hint)
    hatch = hatch_table(root, data)
    configured = configured_project(root, hatch)
    if configured is None:
        name = package if package is not None else _default_package(data)
        project = read_options(root, {"package": name}, HOOK)
        return project._replace(shipped=shipped_paths(hatch, project.output))
    if package not in (None, configured.package):
        message = f"the hook's package is {shown(configured.package)} already"
        raise fail("bad-option", Place("--package"), message)
    return configured


def _default_package(data: Mapping[str, Any]) -> str:
    """The name of the distribution and `_models`, as an identifier."""
    name = table(data, "project", "project").get("name")
    if not isinstance(name, str):
        message = "`project.name` is missing"
        raise fail("bad-project", Place(PROJECT_FILE), message, "name the package by `--package`")
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") + "_models"


def with_hook(text: str, project: Project) -> str:
    """The text of a project file with all that is not in it yet; the rest stays byte for byte.

    Raises `bad-project` where the additions have no place that this finds.
    """
    data = tomllib.loads(text)
    hatch = hatch_table(project.root, data)
    expected, new = copy.deepcopy(data), text
    missing = {}
    if not _is_required(data, hatch):
        missing["[build-system]"] = f'"{DISTRIBUTION}" in `requires`'
        requires = array_place(new, (_BUILD_SYSTEM,), "requires")
        if requires is None:
            raise _by_hand(missing, PROJECT_FILE)
        new = with_item(new, requires, DISTRIBUTION)
        _get(expected, requires).append(DISTRIBUTION)
    if not hook_tables(hatch):
        missing[f"[{HOOK}]"] = f'`package = "{project.package}"`'
        new = with_key(new, tuple(HOOK.split(".")), "package", f'"{project.package}"')
        _set(expected, (*HOOK.split("."), "package"), project.package)
    if not _is_shipped(project):
        options = _wheel_options(project)
        lines = " and ".join(f"`{key} = {array_text(value)}`" for key, value in options.items())
        missing["[tool.hatch.build.targets.wheel]"] = lines
        new = _with_wheel(new, options, expected)
    in_hatch_file = _get(data, _BUILD) != hatch.get("build", {})
    if missing and (in_hatch_file or _parsed(new) != expected):
        raise _by_hand(missing, HATCH_FILE if in_hatch_file else PROJECT_FILE)
    return new


def requirement(text: str) -> str:
    """How a project file asks for the hook, to be repeated where it is installed otherwise."""
    requires = _get(tomllib.loads(text), (*_BUILD_SYSTEM, "requires"))
    named = (r for r in requires or () if isinstance(r, str) and _distribution(r) == DISTRIBUTION)
    return next(named, DISTRIBUTION)


def _is_required(data: Mapping[str, Any], hatch: Mapping[str, Any]) -> bool:
    """Whether a build environment gets the hook, by any of the lists that hatchling reads."""
    build = table(hatch, "build", "tool.hatch.build")
    hooks = hook_tables(hatch)
    if any(hook.where.endswith(".custom") for hook in hooks):
        return True
    lists = [table(data, "build-system", "build-system").get("requires"), build.get("dependencies")]
    lists += [hook.options.get("dependencies") for hook in hooks]
    named = (r for found in lists if isinstance(found, list) for r in found if isinstance(r, str))
    return any(_distribution(requirement) == DISTRIBUTION for requirement in named)


def _distribution(requirement: str) -> str:
    """The name in a requirement, as indexes compare it."""
    match = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", match.group(1)).lower() if match else ""


def _is_shipped(project: Project) -> bool:
    """Whether an option of the wheel names the package, or a folder that it is in."""
    path = f"{project.package_path}/"
    return any(path.startswith(f"{named}/") for named in project.shipped)


def _with_wheel(text: str, options: dict[str, list[str]], expected: dict[str, Any]) -> str:
    for key, wanted in options.items():
        place = array_place(text, (_WHEEL, _BUILD), key)
        if place is None:
            text = with_key(text, _WHEEL, key, array_text(wanted))
            _set(expected, (*_WHEEL, key), wanted)
            continue
        present = _get(expected, place)
        for item in wanted:
            if item not in present:
                text = with_item(text, place, item)
                present.append(item)
    return text


def _wheel_options(project: Project) -> dict[str, list[str]]:
    """By hatchling itself: what it ships by its own rules has to be named once anything is."""
    from hatchling.builders.wheel import WheelBuilder

    builder = WheelBuilder(str(project.root))
    try:
        with hatchling_told():
            return wheel_options(project, builder.config)
    except IRPyTorchError as error:
        if "Unable to determine which files to ship" not in str(error):
            raise
        return {"packages": [f"{project.output}/{project.package.partition('.')[0]}"]}


def _set(data: dict[str, Any], key: Key, value: object) -> None:
    for part in key[:-1]:
        data = data.setdefault(part, {})
    data[key[-1]] = value


def _get(data: Mapping[str, Any], key: Key) -> Any:
    """The value of a key, an empty table where one on the way is not there."""
    found: Any = data
    for part in key:
        found = found.get(part, {})
    return found


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except ValueError:
        return None


def _by_hand(missing: Mapping[str, str], file: str) -> IRPyTorchError:
    message = "there is no place where this can be added without changing other lines"
    lines = ", ".join(f"{line} in {where}" for where, line in missing.items())
    return fail("bad-project", Place(file), message, f"add by hand: {lines}")
