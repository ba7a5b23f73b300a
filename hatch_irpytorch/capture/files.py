"""A captured model as files: the graph, its parameters and a manifest."""

from __future__ import annotations

import json
from pathlib import Path

from hatch_irpytorch.build.files import file_bytes, replace_file
from hatch_irpytorch.build.places import require_place
from hatch_irpytorch.emit.marks import CAPTURED
from hatch_irpytorch.emit.options import class_name_problem
from hatch_irpytorch.emit.weights import store_bytes
from hatch_irpytorch.errors import Place, Problems, fail, shown
from hatch_irpytorch.ir.graph import Model, numel
from hatch_irpytorch.ir.wire import document_text
from hatch_irpytorch.names import import_name_problem

CAPTURED_INLINE = 100_000
"""How many numbers a captured model may have before its manifest puts them in a file."""

PRODUCER = {"producer": "hatch-irpytorch"}
"""A field of the root that marks a graph as written by a capture; readers pass over it."""


def write_captured(model: Model, output: Path, class_name: str, dtype: str) -> list[Path]:
    """Write `<output>.ir.json`, `.safetensors` and, unless there is one, `.yaml`.

    Returns the paths written. Only a graph that an earlier capture wrote is replaced, and the
    parameters with it. Raises `IRPyTorchError`: `bad-name`, `not-ours`, `cannot-write`.
    """
    require_output(output)
    graph, params, manifest = _paths(output)
    files = {graph: document_text(model.graph, None, PRODUCER).encode("ascii")}
    if model.params:
        files[params] = store_bytes(model, CAPTURED, packed=True)
    if not manifest.exists():
        options = _manifest_text(model, output.name, class_name, dtype)
        files[manifest] = options.encode("ascii")
    for path, data in files.items():
        replace_file(path, data, path.as_posix())
    return list(files)


def _paths(output: Path) -> list[Path]:
    endings = (".ir.json", ".safetensors", ".yaml")
    return [output.with_name(output.name + ending) for ending in endings]


def require_output(output: Path) -> None:
    """Raise what `write_captured` would raise; to be asked before the work."""
    problem = import_name_problem(output.name)
    if problem:
        raise fail("bad-name", Place("--output"), f"{shown(output.name)}: {problem}")
    graph, params, _ = _paths(output)
    for path in _paths(output):
        require_place(path)
    problems = Problems()
    before = file_bytes(graph, graph.as_posix())
    mark = json.dumps(PRODUCER)[1:-1].encode("ascii")
    ours = before is not None and mark in before[:1000]
    for path in (graph, params):
        if path.is_symlink() or (path.exists() and not ours):
            message = "the file exists and was not written by a capture"
            problems.add("not-ours", Place(path.as_posix()), message, "choose another `-o`")
    problems.raise_if_any()


def _manifest_text(model: Model, name: str, class_name: str, dtype: str) -> str:
    lines = [f"ir: {name}.ir.json"]
    if model.params:
        lines.append(f"params: {name}.safetensors")
    options = []
    if not class_name_problem(class_name):
        options.append(f"  class_name: {class_name}")
    if dtype != "float32":
        options.append(f"  dtype: {dtype}")
    if sum(numel(array.shape) for array in model.params.values()) > CAPTURED_INLINE:
        options.append("  weights: safetensors")
    return "\n".join([*lines, *(["emit:", *options] if options else [])]) + "\n"
