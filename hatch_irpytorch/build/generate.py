"""The straight line from manifests to outputs, for one model and for a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hatch_irpytorch import emit
from hatch_irpytorch.build.outputs import Lock, digest
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem, Problems, fail, nearest, shown
from hatch_irpytorch.project import Project, find_manifests, inside
from hatch_irpytorch.source.reading import read_bytes

if TYPE_CHECKING:
    from hatch_irpytorch.ir.graph import Model
    from hatch_irpytorch.manifest import Manifest


@dataclass(frozen=True)
class Generated:
    """What the chosen manifests of a project give, in memory.

    `manifests` are all of the project, `models` those that were chosen.
    """

    manifests: tuple[Manifest, ...]
    models: tuple[tuple[Manifest, Model], ...]
    inputs: dict[str, str]
    outputs: dict[str, bytes]

    @property
    def notes(self) -> tuple[Problem, ...]:
        return tuple(note for _, model in self.models for note in model.notes)

    def lock(self) -> Lock:
        digests = {path: digest(data) for path, data in self.outputs.items()}
        return Lock(emit.REVISION, self.inputs, digests)


def generate_project(project: Project, names: Sequence[str] = ()) -> Generated:
    """The outputs of a project, or of the modules `names`.

    Raises `IRPyTorchError` with the problems of every manifest that was chosen.
    """
    inputs: dict[str, str] = {}
    manifests = read_manifests(project, inputs, names)
    models = load_models(project, manifests, inputs, names)
    outputs: dict[str, bytes] = {}
    for manifest, model in models:
        outputs |= _emit(project, manifest, model)
    outputs |= _package_files(project, manifests)
    _refuse_case_clashes([*inputs, *outputs])
    _refuse_changes(project, inputs)
    return Generated(tuple(manifests), tuple(models), inputs, outputs)


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


def _refuse_changes(project: Project, inputs: dict[str, str]) -> None:
    """An input edited while it was read would be recorded under another content's digest."""
    problems = Problems()
    for path, mark in inputs.items():
        if digest(read_bytes(project.root / path, path)) != mark:
            problems.add("changed", Place(path), "the file changed while it was read", "run again")
    problems.raise_if_any()


def read_manifests(
    project: Project, inputs: dict[str, str], names: Sequence[str] = ()
) -> list[Manifest]:
    """Every manifest of a project, sorted by file; their digests are added to `inputs`.

    Raises with the problems of all of them, and `unknown-module` for a name that none has.
    """
    from hatch_irpytorch.manifest import read_manifest

    problems = Problems()
    manifests: list[Manifest] = []
    owners: dict[str, str] = {}
    for file in find_manifests(project):
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


def load_models(
    project: Project, manifests: list[Manifest], inputs: dict[str, str], names: Sequence[str] = ()
) -> list[tuple[Manifest, Model]]:
    """The checked models of the manifests, of all or of those named; digests go to `inputs`."""
    problems = Problems()
    models = []
    for manifest in manifests:
        if names and manifest.module not in names:
            continue
        try:
            models.append((manifest, _load_model(project, manifest, inputs)))
        except IRPyTorchError as error:
            problems.extend(error.problems)
    problems.raise_if_any()
    return models


def _load_model(project: Project, manifest: Manifest, inputs: dict[str, str]) -> Model:
    from hatch_irpytorch.ir.read import read_model

    graph, graph_name = _input_file(project, manifest, manifest.ir, manifest.ir_place, inputs)
    params, params_name = None, None
    if manifest.params is not None:
        params, params_name = _input_file(
            project, manifest, manifest.params, manifest.params_place, inputs
        )
    return read_model(graph, params, graph_name=graph_name, params_name=params_name)


def _input_file(
    project: Project, manifest: Manifest, relative: str, place: Place, inputs: dict[str, str]
) -> tuple[Path, str]:
    path, name = input_path(project, manifest, relative, place)
    if not path.is_file():
        message = f"`{relative}` does not exist beside the manifest"
        raise fail("missing-file", place, message)
    inputs[name] = digest(read_bytes(path, name))
    return path, name


def input_path(
    project: Project, manifest: Manifest, relative: str, place: Place
) -> tuple[Path, str]:
    """A path that a manifest names: resolved, and relative to the root."""
    folder = (project.root / manifest.file).parent
    path = inside(project, relative, folder, place)
    return path, path.relative_to(project.root).as_posix()


def _emit(project: Project, manifest: Manifest, model: Model) -> dict[str, bytes]:
    base = f"{project.package_path}/{manifest.module}"
    weights_file = f"{manifest.module}.safetensors"
    emitted = emit.emit_module(
        model, manifest.emit, origin=manifest.file, weights_file=weights_file
    )
    outputs = {f"{base}.py": emitted.source.encode("utf-8")}
    if emitted.weights is not None:
        outputs[f"{base}.safetensors"] = emitted.weights
    return outputs


def _package_files(project: Project, manifests: list[Manifest]) -> dict[str, bytes]:
    """`__init__.py`, which imports nothing, and the marker of typed packages."""
    modules = "".join(f"- {module}\n" for module in sorted(m.module for m in manifests))
    first, second = emit.header(f"{project.models}/")
    text = f'# {first}\n# {second}\n"""Generated models:\n\n{modules}"""\n'
    return {
        f"{project.package_path}/__init__.py": text.encode("utf-8"),
        f"{project.package_path}/py.typed": b"",
    }
