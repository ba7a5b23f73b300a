"""A project's options and manifests; every path stays inside its root."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hatch_irpytorch.errors import Place, Problems, fail, nearest, shown
from hatch_irpytorch.names import import_name_problem, path_problem
from hatch_irpytorch.source.reading import read_bytes

HOOK = "tool.hatch.build.hooks.irpytorch"
DEFAULT_PACKAGE = "irpytorch_models"
OPTIONS = ("models", "output", "package", "check")

PROCESS_LOCK = ".hatch/irpytorch/process.lock"
"""Held by commands that write, relative to the root. hatchling puts no `.hatch` into an archive."""


class Project(NamedTuple):
    """Where manifests are, where modules go, and whether a build may write."""

    root: Path
    models: str = "models"
    output: str = "generated"
    package: str = DEFAULT_PACKAGE
    check: bool = False

    @property
    def package_path(self) -> str:
        return f"{self.output}/{self.package}"


def read_options(root: Path, options: Mapping[str, Any], where: str = HOOK) -> Project:
    """The project in `root` with the options of its hook. Raises `IRPyTorchError`."""
    problems = Problems()
    place = Place("pyproject.toml")
    known: dict[str, Any] = {}
    for name, value in options.items():
        if name not in OPTIONS:
            if name not in (
                "path",
                "dependencies",
                "require-runtime-dependencies",
                "require-runtime-features",
                "enable-by-default",
            ):
                hint = nearest(name, OPTIONS)
                problems.add("unknown-key", place, f"unknown option `{where}.{name}`", hint)
            continue
        wanted = bool if name == "check" else str
        if type(value) is not wanted or value == "":
            expected = "true or false" if wanted is bool else "text"
            problems.mismatch("bad-option", place, f"{where}.{name}", expected, shown(value))
            continue
        known[name] = value
    problem = import_name_problem(known.get("package", DEFAULT_PACKAGE))
    if problem:
        found = shown(known["package"])
        problems.mismatch("bad-name", place, f"{where}.package", "a package name", found, problem)
    problems.raise_if_any()
    project = Project(root.resolve(), **known)
    folders: dict[str, str] = {}
    for name in ("models", "output"):
        folder = inside(project, getattr(project, name), project.root, place)
        if folder == project.root:
            expected = "a folder below the project's root"
            problems.mismatch("bad-option", place, f"{where}.{name}", expected, "the root itself")
        folders[name] = posixpath.normpath(getattr(project, name))
    problems.raise_if_any()
    project = project._replace(models=folders["models"], output=folders["output"])
    inside(project, project.package_path, project.root, place)
    return project


def find_project(start: Path) -> Project:
    """The project in `start`: its `pyproject.toml` names the hook. Raises `IRPyTorchError`."""
    file = start / "pyproject.toml"
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        data = tomllib.loads(read_bytes(file, "pyproject.toml").decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise fail("bad-project", Place("pyproject.toml"), f"not TOML: {error}") from None
    build = data.get("tool", {}).get("hatch", {}).get("build", {})
    places = [("tool.hatch.build", build)]
    for target, options in sorted(build.get("targets", {}).items()):
        places.append((f"tool.hatch.build.targets.{target}", options))
    for where, options in places:
        for name in ("irpytorch", "custom"):
            if name in options.get("hooks", {}):
                return read_options(start, options["hooks"][name], f"{where}.hooks.{name}")
    message = "no build hook `irpytorch` is configured"
    raise fail("bad-project", Place("pyproject.toml"), message, f"add a table `[{HOOK}]`")


def find_manifests(project: Project) -> list[str]:
    """The manifests relative to the root, sorted. None at all is an error."""
    folder = inside(project, project.models, project.root, Place("pyproject.toml"))
    found = [*folder.glob("*.yaml"), *folder.glob("*.yml")]
    names = sorted(f"{project.models}/{path.name}" for path in found)
    if not names:
        message = f"no file matches `{project.models}/*.yaml`"
        hint = "if this is an sdist, its include list lacks the manifests"
        raise fail("no-manifests", Place("pyproject.toml"), message, hint)
    return names


def inside(project: Project, relative: str, base: Path, place: Place) -> Path:
    """`relative` to `base` as a resolved path, which must not leave the project's root."""
    if relative.startswith(("/", "\\")) or Path(relative).is_absolute():
        raise fail("outside-project", place, f"{shown(relative)} must be a relative path")
    problem = path_problem(relative)
    if problem:
        raise fail("bad-path", place, f"{shown(relative)} cannot be used: {problem}")
    try:
        path = (base / relative).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        # Before Python 3.13 a link that leads to itself is a RuntimeError.
        why = error.strerror if isinstance(error, OSError) else "a symbolic link leads to itself"
        raise fail("bad-path", place, f"{shown(relative)} cannot be used: {why}") from None
    if not path.is_relative_to(project.root):
        message = f"{shown(relative)} leads out of the project"
        raise fail("outside-project", place, message)
    return path
