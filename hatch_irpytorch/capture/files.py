"""A captured model as files: the graph, its parameters and a manifest."""

from __future__ import annotations

import re
from pathlib import Path

from hatch_irpytorch.build.content import Content, digest
from hatch_irpytorch.build.files import file_bytes, replace_files
from hatch_irpytorch.build.ownership import has_own_tensors, is_regular, mark_of_weights
from hatch_irpytorch.build.places import require_place
from hatch_irpytorch.emit.marks import CAPTURED
from hatch_irpytorch.emit.options import class_name_problem
from hatch_irpytorch.emit.overflow import require_finite
from hatch_irpytorch.emit.weights import store_file
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem, Problems, fail, shown
from hatch_irpytorch.ir.graph import Model
from hatch_irpytorch.ir.shapes import numel
from hatch_irpytorch.ir.write import document_text
from hatch_irpytorch.manifest import read_manifest
from hatch_irpytorch.names import import_name_problem
from hatch_irpytorch.source.reading import read_bytes

CAPTURED_INLINE = 100_000
"""How many numbers a captured model may have before its manifest puts them in a file."""

PRODUCER = {"producer": "hatch-irpytorch"}
"""A field of the root that marks a graph as written by a capture; readers pass over it."""

WRITTEN = "written"
"""Another one: the digest of the text without this field, as the capture wrote it."""

_WRITTEN = re.compile(rb', "written": "(sha256:[0-9a-f]{64})"')


def captured_paths(output: Path) -> tuple[Path, Path, Path]:
    """The graph, the parameters and the manifest of a capture's `-o`."""
    suffixes = (".ir.json", ".safetensors", ".yaml")
    graph, params, manifest = (output.with_name(output.name + suffix) for suffix in suffixes)
    return graph, params, manifest


def require_output(output: Path, *, force: bool) -> None:
    """Raise what stands against writing there: `bad-name`, `not-ours`, `missing-file`.

    Without `force` a graph and its parameters are replaced only when they are, both of them, as an
    earlier capture wrote them: not trained since, and not edited.
    """
    problem = import_name_problem(output.name)
    if problem:
        raise fail("bad-name", Place("--output"), f"{shown(output.name)}: {problem}")
    graph, params, manifest = captured_paths(output)
    problems = Problems()
    for path in (graph, params, manifest):
        require_place(path)
        if path.is_symlink() or (path.exists() and not is_regular(path)):
            message = "no file of its own, but a link or something else, stands there"
            problems.add("not-ours", Place(path.as_posix()), message, "choose another `-o`")
    problems.raise_if_any()
    if force or _is_as_captured(graph, params):
        return
    for path in (graph, params):
        if path.exists():
            message = "the file exists and is not as a capture wrote it"
            hint = "choose another `-o`, or replace it with `--force`"
            problems.add("not-ours", Place(path.as_posix()), message, hint)
    problems.raise_if_any()


def write_captured(
    model: Model, output: Path, class_name: str, dtype: str, *, force: bool = False
) -> list[Path]:
    """Write `<output>.ir.json`, `.safetensors` and, unless there is one, `.yaml`.

    Each is there before the first of them takes its place.
    Returns the paths written. Raises `IRPyTorchError`: as `require_output`, `overflow` for a number
    beyond the dtype of the module, and `cannot-write`.
    """
    require_output(output, force=force)
    require_finite(model, range(len(model.graph.nodes)), dtype)
    graph, params, manifest = captured_paths(output)
    files: dict[Path, Content] = {}
    if model.params or params.exists():
        files[params] = store_file(model, CAPTURED, packed=True)
    mark = digest(document_text(model.graph, None, PRODUCER).encode("ascii"))
    files[graph] = document_text(model.graph, None, {**PRODUCER, WRITTEN: mark}).encode("ascii")
    if not manifest.exists():
        options = _manifest_text(model, output.name, class_name, dtype)
        files[manifest] = options.encode("ascii")
    written = [path for path in (graph, params, manifest) if path in files]
    replace_files((path, files[path], path.as_posix()) for path in written)
    return written


def manifest_notes(model: Model, output: Path, dtype: str) -> list[Problem]:
    """What the manifest of a capture lacks that an earlier one, or its user, wrote otherwise."""
    path = captured_paths(output)[2]
    try:
        manifest = read_manifest(read_bytes(path, path.as_posix()), path.as_posix())
    except IRPyTorchError:
        return []  # a build tells
    notes = []
    if model.params and manifest.params is None:
        line = f"params: {captured_paths(output)[1].name}"
        message = "the captured model has parameters and the manifest names none"
        notes.append(Problem("missing-key", Place(path.as_posix()), message, f"add `{line}`"))
    if manifest.emit.dtype == "float32" != dtype:
        message = f"the captured parameters are {dtype}, the module will be float32"
        hint = f"add `dtype: {dtype}` below `emit:`"
        notes.append(Problem("missing-key", Place(path.as_posix()), message, hint))
    return notes


def _is_as_captured(graph: Path, params: Path) -> bool:
    """Whether a graph and its parameters are each what a capture wrote, or not there."""
    if params.exists():
        mark = mark_of_weights(params) or ""
        if not graph.exists() or not mark.startswith(CAPTURED) or not has_own_tensors(params):
            return False
    text = file_bytes(graph, graph.as_posix())
    if text is None:
        return True
    marks: list[bytes] = _WRITTEN.findall(text[:4096])
    own = digest(_WRITTEN.sub(b"", text, count=1)).encode("ascii")
    return marks == [own]


def _manifest_text(model: Model, name: str, class_name: str, dtype: str) -> str:
    lines = [f"ir: {name}.ir.json"]
    if model.params:
        lines.append(f"params: {name}.safetensors")
    options = []
    if not class_name_problem(class_name):
        options.append(f"  class_name: {class_name}")
    if dtype != "float32":
        options.append(f"  dtype: {dtype}")
    if model.mixes_rows:
        options.append("  batch: fixed")
    if sum(numel(array.shape) for array in model.params.values()) > CAPTURED_INLINE:
        options.append("  weights: safetensors")
    return "\n".join([*lines, *(["emit:", *options] if options else [])]) + "\n"
