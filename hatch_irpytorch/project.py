"""A project's options and manifests; every path stays inside its root."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hatch_irpytorch.configuration import (
    PROJECT_FILE,
    HookTable,
    hatch_table,
    hook_tables,
    read_toml,
    shipped_paths,
)
from hatch_irpytorch.errors import Place, Problems, fail, nearest, shown
from hatch_irpytorch.names import import_name_problem, path_problem
from hatch_irpytorch.source.reading import reason

HOOK = "tool.hatch.build.hooks.irpytorch"
DEFAULT_PACKAGE = "irpytorch_models"
OPTIONS = ("models", "output", "package", "check")
_OF_HATCHLING = (
    "path",
    "dependencies",
    "require-runtime-dependencies",
    "require-runtime-features",
    "enable-by-default",
)

PROCESS_LOCK = ".hatch/irpytorch/process.lock"
"""Held by commands that write, relative to the root. hatchling puts no `.hatch` into an archive."""


class Project(NamedTuple):
    """Where manifests are, where modules go, and whether a build may write.

    `package` may be dotted: only its last part is written, those before it are namespaces.
    `shipped` are the paths at or below `output` that the wheel's own options name, written by hand
    or not.
    """

    root: Path
    models: str = "models"
    output: str = "generated"
    package: str = DEFAULT_PACKAGE
    check: bool = False
    shipped: tuple[str, ...] = ()

    @property
    def package_path(self) -> str:
        """The folder of the modules, relative to the root."""
        return f"{self.output}/{self.package.replace('.', '/')}"

    @property
    def package_folders(self) -> tuple[str, ...]:
        """The folders that the modules need, from theirs up to `output`."""
        parts = self.package.split(".")
        below = ("/".join((self.output, *parts[:n])) for n in range(len(parts), 0, -1))
        return (*below, self.output)


def read_options(root: Path, options: Mapping[str, Any], where: str = HOOK) -> Project:
    """The project in `root` with the options of its hook. Raises `IRPyTorchError`."""
    problems = Problems()
    place = Place("pyproject.toml")
    known: dict[str, Any] = {}
    for name, value in options.items():
        if name not in OPTIONS:
            if name not in _OF_HATCHLING:
                hint = nearest(name, OPTIONS)
                problems.add("unknown-key", place, f"unknown option `{where}.{name}`", hint)
            continue
        wanted = bool if name == "check" else str
        if type(value) is not wanted or value == "":
            expected = "true or false" if wanted is bool else "text"
            problems.mismatch("bad-option", place, f"{where}.{name}", expected, shown(value))
            continue
        known[name] = value
    problem = package_name_problem(known.get("package", DEFAULT_PACKAGE))
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


def package_name_problem(name: str) -> str:
    """Why a name, dotted or not, cannot be the package's, or an empty string."""
    return next(filter(None, map(import_name_problem, name.split("."))), "")


def configured_project(root: Path, hatch: Mapping[str, Any]) -> Project | None:
    """The project in `root` whose `tool.hatch` is given; None when it does not use the hook.

    Raises `bad-project` when two tables give the hook different options: a build of one target
    would take the files of another for its own.
    """
    tables = hook_tables(hatch)
    if not tables:
        return None
    first = tables[0]
    projects = [read_options(root, options, where) for where, options in tables]
    for other, project in zip(tables, projects, strict=True):
        if project != projects[0]:
            message = f"`{first.where}` and `{other.where}` differ in {_differing(first, other)}"
            raise fail("bad-project", Place(PROJECT_FILE), message, "keep one of the two tables")
    return projects[0]._replace(shipped=shipped_paths(hatch, projects[0].output))


def _differing(first: HookTable, second: HookTable) -> str:
    names = (name for name in OPTIONS if first.options.get(name) != second.options.get(name))
    return ", ".join(f"`{name}`" for name in names)


def find_project(start: Path) -> Project:
    """The project that `start` is in: the nearest folder, upwards, that configures the hook.

    A `pyproject.toml` without the hook, such as that of another distribution in the same
    repository, is passed over; one that cannot be read is an error. Raises `IRPyTorchError`.
    """
    without = False
    for folder in _upwards(start):
        try:
            data = read_toml(folder / PROJECT_FILE, PROJECT_FILE)
        except FileNotFoundError:
            continue
        project = configured_project(folder, hatch_table(folder, data))
        if project is not None:
            return project
        without = True
    if without:
        message = "no build hook `irpytorch` is configured"
        hint = f"add a table `[{HOOK}]`, or run `irpytorch init`"
        raise fail("bad-project", Place(PROJECT_FILE), message, hint)
    message = "the file does not exist, neither here nor in a folder above"
    raise fail("missing-file", Place(PROJECT_FILE), message)


def _upwards(start: Path) -> Iterator[Path]:
    try:
        folder = start.resolve()
    except OSError as error:
        message = f"the working directory cannot be found: {reason(error)}"
        raise fail("missing-file", Place(PROJECT_FILE), message) from None
    yield folder
    yield from folder.parents


def first_manifest(project: Project) -> str:
    """How to come to a manifest."""
    onnx = f"irpytorch import-onnx net.onnx -o {project.models}/net"
    torch = f"irpytorch capture nets:Net --shape 1,3,32,32 -o {project.models}/net"
    return f"write one with `{onnx}` or `{torch}`"


def find_manifests(project: Project) -> list[str]:
    """The manifests relative to the root, sorted. None at all is an error."""
    folder = inside(project, project.models, project.root, Place("pyproject.toml"))
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries]
    except OSError:
        found = []
    names = [f"{project.models}/{name}" for name in found if name.endswith((".yaml", ".yml"))]
    if not names:
        message = f"no file matches `{project.models}/*.yaml`"
        hint = f"{first_manifest(project)}; or, in an sdist, its include list lacks the manifests"
        raise fail("no-manifests", Place("pyproject.toml"), message, hint)
    return sorted(names)


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
