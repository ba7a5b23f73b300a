"""The straight line from a project's manifests to its outputs, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from hatch_irpytorch import emit
from hatch_irpytorch.build.content import Content, digest
from hatch_irpytorch.build.jobs import Progress, generate_models
from hatch_irpytorch.build.lock import PACKAGE, ModuleLock
from hatch_irpytorch.build.model import GeneratedModel, input_digest
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem, Problems, nearest, shown
from hatch_irpytorch.project import Project, find_manifests, inside
from hatch_irpytorch.source.reading import read_bytes

if TYPE_CHECKING:
    from hatch_irpytorch.manifest import Manifest

_NONE: Mapping[str, ModuleLock] = MappingProxyType({})


@dataclass(frozen=True)
class Generated:
    """What the chosen manifests of a project give, in memory.

    `manifests` are those that were read, `models` those that were chosen, `inputs` the digests of
    all that was read, `kept` the lock files of modules that were neither.
    """

    manifests: tuple[Manifest, ...]
    models: tuple[GeneratedModel, ...]
    inputs: Mapping[str, str]
    outputs: Mapping[str, Content]
    kept: Mapping[str, ModuleLock]

    @property
    def notes(self) -> tuple[Problem, ...]:
        return tuple(note for model in self.models for note in model.notes)

    def locks(self) -> dict[str, ModuleLock]:
        """The lock files of all modules, and that of the package's own files."""
        found = dict(self.kept)
        for model in self.models:
            inputs = {path: self.inputs[path] for path in model.inputs_of}
            found[model.manifest.module] = _lock(inputs, model.outputs)
        shared = {path: data for path, data in self.outputs.items() if not _is_made(path, found)}
        return {**found, PACKAGE: _lock({}, shared)}


def _lock(inputs: Mapping[str, str], outputs: Mapping[str, Content]) -> ModuleLock:
    marks = {path.rpartition("/")[2]: digest(data) for path, data in sorted(outputs.items())}
    return ModuleLock(emit.REVISION, inputs, marks)


def _is_made(path: str, locks: Mapping[str, ModuleLock]) -> bool:
    name = path.rpartition("/")[2]
    return name.partition(".")[0] in locks and name != "py.typed"


def generate_project(
    project: Project,
    names: Sequence[str] = (),
    *,
    golden: bool = False,
    jobs: int | None = 1,
    kept: Mapping[str, ModuleLock] = _NONE,
    progress: Progress | None = None,
) -> Generated:
    """The outputs of a project, or of the modules `names`, made by `jobs` processes.

    What is `kept` is neither read nor made. Raises `IRPyTorchError` with the problems of every
    manifest that was chosen.
    """
    inputs: dict[str, str] = {}
    manifests = read_manifests(project, inputs, names, kept)
    chosen = [manifest for manifest in manifests if not names or manifest.module in names]
    models = generate_models(project, chosen, golden, jobs, progress)
    outputs: dict[str, Content] = {}
    changed: set[str] = set()
    for model in models:
        changed |= {path for path, mark in model.inputs.items() if inputs.get(path, mark) != mark}
        inputs |= model.inputs
        outputs |= model.outputs
    outputs |= package_files(project)
    earlier = {path for lock in kept.values() for path in lock.inputs}
    others = {f"{project.package_path}/{name}" for lock in kept.values() for name in lock.outputs}
    _refuse_case_clashes([*sorted({*earlier, *inputs}), *sorted({*others, *outputs})])
    _refuse_changes(project, inputs, changed)
    return Generated(tuple(manifests), tuple(models), inputs, outputs, kept)


def _refuse_case_clashes(paths: list[str]) -> None:
    """Two files that some systems take for one are an error on all."""
    problems = Problems()
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(path.casefold(), path)
        if other != path:
            message = f"the path differs from {shown(other)} only in upper and lower case"
            problems.add("case-clash", Place(path), message, "rename one of the two")
    problems.raise_if_any()


def _refuse_changes(project: Project, inputs: dict[str, str], changed: set[str]) -> None:
    """An input edited while it was read would be recorded under another content's digest."""
    problems = Problems()
    for path, mark in inputs.items():
        if path in changed or input_digest(project.root / path, path) != mark:
            problems.add("changed", Place(path), "the file changed while it was read", "run again")
    problems.raise_if_any()


def read_manifests(
    project: Project,
    inputs: dict[str, str],
    names: Sequence[str] = (),
    kept: Mapping[str, ModuleLock] = _NONE,
) -> list[Manifest]:
    """Every manifest of a project that is not kept, by file; their digests go to `inputs`.

    Raises with the problems of all of them, and `unknown-module` for a name that none has.
    """
    from hatch_irpytorch.manifest import read_manifest

    problems = Problems()
    manifests: list[Manifest] = []
    owners = {module: lock.manifest for module, lock in kept.items()}
    read = set(owners.values())
    for file in find_manifests(project):
        if file in read:
            continue
        try:
            path = inside(project, file, project.root, Place(file))
            data = read_bytes(path, file)
            manifest = read_manifest(data, file)
        except IRPyTorchError as error:
            problems.extend(error.problems)
            continue
        inputs[file] = digest(data)
        if manifest.module in owners:
            message = (
                f"the module `{manifest.module}` is already made by `{owners[manifest.module]}`"
            )
            problems.add("duplicate-module", Place(file), message, "set another `module:`")
            continue
        owners[manifest.module] = file
        manifests.append(manifest)
    for name in names:
        if name not in owners and not len(problems):
            message = f"no manifest makes a module {shown(name)}"
            problems.add("unknown-module", Place(project.models), message, nearest(name, owners))
    problems.raise_if_any()
    return manifests


def package_files(project: Project) -> dict[str, Content]:
    """`__init__.py`, which imports nothing, and the marker of typed packages."""
    first, second = emit.header(f"{project.models}/")
    text = f'# {first}\n# {second}\n"""Generated models."""\n'
    return {
        f"{project.package_path}/__init__.py": text.encode("utf-8"),
        f"{project.package_path}/py.typed": b"",
    }
