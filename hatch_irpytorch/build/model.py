"""One manifest: its inputs read, its model checked, its outputs made in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hatch_irpytorch import emit
from hatch_irpytorch.build.content import Content, digest, file_digest
from hatch_irpytorch.errors import Place, Problem, fail, shown
from hatch_irpytorch.garbage import collection_paused
from hatch_irpytorch.project import Project, inside
from hatch_irpytorch.source.reading import read_bytes, reason

if TYPE_CHECKING:
    from hatch_irpytorch.build.golden import GoldenFile
    from hatch_irpytorch.ir.graph import Model
    from hatch_irpytorch.manifest import Manifest


@dataclass(frozen=True)
class GeneratedModel:
    """What one manifest gives: digests of its inputs by path, outputs by path, notes, golden file.

    `golden` is None when it was not asked for, and has no case when no trial input fits the graph.
    """

    manifest: Manifest
    inputs: Mapping[str, str]
    outputs: Mapping[str, Content]
    notes: tuple[Problem, ...]
    golden: GoldenFile | None

    @property
    def inputs_of(self) -> tuple[str, ...]:
        """The files that the module is made from, the manifest first."""
        return (self.manifest.file, *self.inputs)


def generate_model(project: Project, manifest: Manifest, golden: bool) -> GeneratedModel:
    """The outputs of one manifest. Raises `IRPyTorchError`."""
    with collection_paused():
        model, inputs = load_model(project, manifest)
        outputs = _emit(project, manifest, model)
    file = None
    if golden:
        from hatch_irpytorch.build.golden import golden_file, make_golden

        file = golden_file(project.root, manifest.module, make_golden(model))
    return GeneratedModel(manifest, inputs, outputs, model.notes, file)


def load_model(project: Project, manifest: Manifest) -> tuple[Model, dict[str, str]]:
    """The checked model of a manifest, and the digests of the files it came from."""
    from hatch_irpytorch.ir.read import read_model

    inputs: dict[str, str] = {}
    graph, graph_name = _input_file(project, manifest, manifest.ir, manifest.ir_place, inputs)
    params, params_name = None, None
    if manifest.params is not None:
        params, params_name = _input_file(
            project, manifest, manifest.params, manifest.params_place, inputs
        )
    model = read_model(
        graph,
        params,
        graph_name=graph_name,
        params_name=params_name,
        output_ids=manifest.output_ids,
    )
    return model, inputs


def _input_file(
    project: Project, manifest: Manifest, relative: str, place: Place, inputs: dict[str, str]
) -> tuple[Path, str]:
    path, name = input_path(project, manifest, relative, place)
    try:
        inputs[name] = file_digest(path)
    except FileNotFoundError:
        message = f"{shown(relative)} does not exist beside the manifest"
        raise fail("missing-file", place, message) from None
    except OSError as error:
        message = f"{shown(relative)} cannot be read: {reason(error)}"
        raise fail("missing-file", place, message) from None
    return path, name


def input_digest(path: Path, name: str) -> str:
    """The digest of an input. Raises `missing-file`."""
    try:
        return file_digest(path)
    except OSError:
        return digest(read_bytes(path, name))


def input_path(
    project: Project, manifest: Manifest, relative: str, place: Place
) -> tuple[Path, str]:
    """A path that a manifest names: resolved, and relative to the root."""
    folder = (project.root / manifest.file).parent
    path = inside(project, relative, folder, place)
    return path, path.relative_to(project.root).as_posix()


def _emit(project: Project, manifest: Manifest, model: Model) -> dict[str, Content]:
    base = f"{project.package_path}/{manifest.module}"
    weights_file = f"{manifest.module}.safetensors"
    emitted = emit.emit_module(
        model, manifest.emit, origin=manifest.file, weights_file=weights_file
    )
    outputs: dict[str, Content] = {f"{base}.py": emitted.source.encode("utf-8")}
    if emitted.weights is not None:
        outputs[f"{base}.safetensors"] = emitted.weights
    return outputs
