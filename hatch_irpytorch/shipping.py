"""What a target of hatchling would ship, compared with what the generated package needs."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hatch_irpytorch.build.lock import LOCK_FOLDER, Locks, lock_path
from hatch_irpytorch.build.ownership import is_regular
from hatch_irpytorch.configuration import PROJECT_FILE
from hatch_irpytorch.errors import Place, Problem, Problems, fail
from hatch_irpytorch.project import PROCESS_LOCK, Project

if TYPE_CHECKING:
    from hatchling.builders.config import BuilderConfig
    from hatchling.builders.plugin.interface import BuilderInterface, IncludedFile

_WHEEL = "[tool.hatch.build.targets.wheel]"
_SDIST = "[tool.hatch.build.targets.sdist]"
_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\*?[]!#"})


class Shipped(NamedTuple):
    """A file that a target would ship: where it is, and its path in the archive."""

    source: str
    target: str


def mark_artifacts(project: Project, build_data: dict[str, Any], target: str) -> None:
    """Let a target ship the package although git ignores it; a sdist the lock files, too."""
    build_data["artifacts"].append(f"/{_pattern(project.package_path)}/")
    if target == "sdist":
        build_data["artifacts"].append(f"/{_pattern(_lock_folder(project))}/")


def leave_locks_out(project: Project, config: BuilderConfig, target: str) -> None:
    """Exclude the lock files where a target takes the whole output folder, or all of `.hatch`.

    Hooks can add files and have no way of their own to leave some out: this is the option itself.
    """
    before = config.target_config.get("exclude", config.build_config.get("exclude", []))
    patterns = [f"/{_pattern(folder)}/" for folder in _kept_out(project, target)]
    if isinstance(before, list) and before[-len(patterns) :] != patterns:
        config.target_config["exclude"] = [*before, *patterns]


def _kept_out(project: Project, target: str) -> list[str]:
    """The folders of the process lock and, of a wheel, of the lock files."""
    folders = [posixpath.dirname(PROCESS_LOCK)]
    return [*folders, _lock_folder(project)] if target == "wheel" else folders


def check_wheel(
    project: Project,
    locks: Locks,
    config: BuilderConfig,
    version: str,
    build_data: dict[str, Any],
) -> None:
    """Raise `not-shipped` when the package would not be importable out of a wheel by its name.

    `locks` name the files of the package; `config` and `build_data` are hatchling's, `version` is
    `standard` or `editable`.
    """
    problems = Problems()
    builder = _fresh(config.builder)
    with builder.config.set_build_data(build_data):
        if version == "editable" and builder.config.dev_mode_dirs:
            forced = _targets(builder.recurse_forced_files(_forced(builder, build_data)))
            if not _exposes(project, builder.config):
                dirs = [*builder.config.dev_mode_dirs, project.output]
                line = f"`dev-mode-dirs = {_array(dirs)}` in [tool.hatch.build]"
                problems.extend(_problems(project, locks, forced, line))
        else:
            shipped = _targets(builder.recurse_included_files())
            problems.extend(_problems(project, locks, shipped, _line(project, builder.config)))
            problems.extend(_locks_in(project, "wheel", shipped))
    problems.raise_if_any()


def complete_sdist(
    project: Project, locks: Locks, config: BuilderConfig, build_data: dict[str, Any]
) -> list[Problem]:
    """Add to an sdist what a wheel is built from, where git ignores it or no option names it.

    What the project's own `exclude` leaves out stays out; it is told. Raises `not-shipped`.
    """
    builder = _fresh(config.builder)
    with builder.config.set_build_data(build_data):
        shipped = _targets(builder.recurse_included_files())
    problems = Problems()
    problems.extend(_locks_in(project, "sdist", shipped))
    problems.raise_if_any()
    sources = {file.source for file in shipped}
    needed = sorted({path for lock in locks.modules.values() for path in lock.inputs})
    if project.check:
        needed += [*_package_files(project, locks), *(lock_path(project, m) for m in locks.modules)]
    missing = [path for path, real in _real_of(project, needed) if real not in sources]
    excluded = set(_excluded(config, missing))
    for path in missing:
        if path not in excluded:
            build_data["force_include"][str(project.root / path)] = path
    if not excluded:
        return []
    message = f"the sdist lacks {_some(sorted(excluded))}, which a wheel is built from"
    hint = f"see `exclude` in {_SDIST}"
    return [Problem("not-shipped", Place(PROJECT_FILE), message, hint)]


def _excluded(config: BuilderConfig, paths: list[str]) -> Iterable[str]:
    """Those of the paths that the project's own `exclude` leaves out."""
    from pathspec import GitIgnoreSpec

    patterns = config.target_config.get("exclude", config.build_config.get("exclude", []))
    return GitIgnoreSpec.from_lines(patterns).match_files(paths)


@contextmanager
def hatchling_told() -> Iterator[None]:
    """What hatchling says of its own options, as an error of the project and not of ours."""
    try:
        yield
    except (TypeError, ValueError, FileNotFoundError) as error:
        message = f"hatchling refuses the configuration: {error}"
        raise fail("bad-project", Place(PROJECT_FILE), message) from None


def _fresh(builder: BuilderInterface[Any, Any]) -> BuilderInterface[Any, Any]:
    """A builder of the same target that has settled nothing yet, as later hooks may need."""
    return type(builder)(
        builder.root,
        plugin_manager=builder.plugin_manager,
        metadata=builder.metadata,
        app=builder.app,
    )


def _targets(files: Iterable[IncludedFile]) -> list[Shipped]:
    found = [(file.path, _posix(file.distribution_path)) for file in files]
    sources = _real_files(path for path, _ in found)
    return [Shipped(source, target) for source, (_, target) in zip(sources, found, strict=True)]


def _forced(builder: Any, build_data: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = builder.get_forced_inclusion_map(build_data)
    return found


def _exposes(project: Project, config: BuilderConfig) -> bool:
    """Whether an editable install puts the output folder on the path."""
    dirs = (_real(Path(config.root, name)) for name in config.dev_mode_dirs)
    return _real(project.root / project.output) in dirs


def _problems(project: Project, locks: Locks, shipped: list[Shipped], line: str) -> list[Problem]:
    places: dict[str, list[str]] = {}
    for file in shipped:
        places.setdefault(file.source, []).append(file.target)
    lost, moved = [], ""
    for path, real in _real_of(project, _package_files(project, locks)):
        found = places.get(real, [])
        if path.removeprefix(f"{project.output}/") not in found:
            lost.append(path)
            moved = moved or next(iter(found), "")
    if not lost:
        return []
    message = f"the wheel would lack {_some(lost)}"
    if moved:
        message = f"the wheel would hold {_some(lost)} as `{moved}`"
        message += f", which is not `{project.package}` when it is imported"
    hint = f"write {line}" if line else ""
    return [Problem("not-shipped", Place(PROJECT_FILE), message, hint)]


def _locks_in(project: Project, target: str, shipped: list[Shipped]) -> list[Problem]:
    """Lock files that `force-include` or `artifacts` brings in all the same."""
    folders = tuple(_real(project.root / name) + os.sep for name in _kept_out(project, target))
    found = [file.target for file in shipped if file.source.startswith(folders)]
    if not found:
        return []
    message = f"the {target} would hold {_some(found)}, notes of builds"
    hint = f"name `{project.package_path}` where an option forces the folder above it in"
    return [Problem("not-shipped", Place(PROJECT_FILE), message, hint)]


def _line(project: Project, config: BuilderConfig) -> str:
    """The lines that would ship the package, beside what is shipped already."""
    options = wheel_options(project, config).items()
    return f"{' and '.join(f'`{key} = {_array(paths)}`' for key, paths in options)} in {_WHEEL}"


def wheel_options(project: Project, config: BuilderConfig) -> dict[str, list[str]]:
    """The options of the wheel that ship the package, beside what is shipped already.

    Only those that name files by hand are followed; raises what hatchling raises where it finds
    none to ship.
    """
    top = f"{project.output}/{project.package.partition('.')[0]}"
    named = config.target_config or config.build_config
    sources = {"sources": [project.output]}
    if "packages" not in named and ("include" in named or "only-include" in named):
        key = "only-include" if "only-include" in named else "include"
        entry = top if key == "only-include" else f"/{top}/**"
        paths = [path for path in named[key] if _posix(path).strip("/") != project.output]
        return {key: list(dict.fromkeys([*paths, entry])), **sources}
    kept = [path for path in map(_posix, config.only_include.values()) if _stays(project, path)]
    if set(kept) <= set(map(_posix, config.packages)):
        return {"packages": [*kept, top]}
    return {"only-include": [*kept, top], **sources}


def _stays(project: Project, path: str) -> bool:
    """Whether a path that is shipped now has files, and others than the package's."""
    apart = path != project.output and not f"{project.package_path}/".startswith(f"{path}/")
    below = path.startswith(f"{project.package_path}/")
    return apart and not below and (project.root / path).exists()


def _package_files(project: Project, locks: Locks) -> list[str]:
    names = sorted({name for lock in locks.modules.values() for name in lock.outputs})
    return [f"{project.package_path}/{name}" for name in names]


def _lock_folder(project: Project) -> str:
    return f"{project.output}/{LOCK_FOLDER}"


def _pattern(path: str) -> str:
    """A path as a pattern of git that stands for nothing else."""
    return path.translate(_SPECIAL)


def _real(path: str | Path) -> str:
    return os.path.realpath(path)


def _real_of(project: Project, paths: list[str]) -> Iterator[tuple[str, str]]:
    """Paths relative to the project, each with where it really is."""
    return zip(paths, _real_files(f"{project.root}/{path}" for path in paths), strict=True)


def _real_files(paths: Iterable[str]) -> Iterator[str]:
    """Where files really are. Each of their folders is resolved once."""
    folders: dict[str, str] = {}
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = _real(folder).rstrip(os.sep)
        real = f"{folders[folder]}{os.sep}{name}"
        yield real if is_regular(real) else _real(real)


def _posix(path: str) -> str:
    return path.replace(os.sep, "/")


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"`{paths[0]}`{more}"


def _array(paths: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{path}"' for path in paths) + "]"
