"""From bytes to a checked model: the corridor up to the plan."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from hatch_irpytorch.errors import Problems
from hatch_irpytorch.garbage import collection_paused
from hatch_irpytorch.ir.check import check_graph
from hatch_irpytorch.ir.graph import Graph, Model
from hatch_irpytorch.ir.lower import lower
from hatch_irpytorch.ir.lowered import Lowered
from hatch_irpytorch.ir.params import StoreFile, bind_params
from hatch_irpytorch.ir.stores import read_store
from hatch_irpytorch.ir.wire import NODES, read_document
from hatch_irpytorch.source.json_text import parse_json
from hatch_irpytorch.source.reading import read_bytes


def read_model(
    graph: str | Path,
    params: str | Path | None = None,
    *,
    graph_name: str | None = None,
    params_name: str | None = None,
) -> Model:
    """The checked model in a `torchlean.ir.v1` file and, when given, a parameter file.

    `graph_name` and `params_name` are what messages call the files; by default their paths.
    Raises `IRPyTorchError` with every problem of both files.
    """
    graph_file = graph_name or Path(graph).as_posix()
    model_bytes = read_bytes(Path(graph), graph_file)
    store = None
    if params is not None:
        params_file = params_name or Path(params).as_posix()
        store = StoreFile(params_file, read_store(Path(params), params_file))
    return build_model(model_bytes, graph_file, store)


def build_model(data: bytes, file: str, store: StoreFile | None = None) -> Model:
    """The checked model in the bytes of a graph document. Raises `IRPyTorchError`."""
    with collection_paused():
        return _build_model(data, file, store)


def read_graph(graph: Path, file: str) -> Graph:
    """The checked graph in a file, without its payload. Raises `IRPyTorchError`."""
    problems = Problems()
    with collection_paused():
        lowered, _ = _checked_graph(read_bytes(graph, file), file, problems)
    problems.raise_if_any()
    return lowered.graph


def _build_model(data: bytes, file: str, store: StoreFile | None) -> Model:
    problems = Problems()
    lowered, sound = _checked_graph(data, file, problems)
    params, notes = bind_params(lowered, sound, store, problems)
    problems.raise_if_any()
    return Model(lowered.graph, params, notes)


def _checked_graph(data: bytes, file: str, problems: Problems) -> tuple[Lowered, Collection[int]]:
    """The lowered graph and the nodes that are sound; what is wrong goes to `problems`."""
    value = parse_json(data, file, long_arrays=True, parts=NODES)
    document = read_document(value, file, problems)
    if document is None:
        problems.raise_if_any()
        raise AssertionError("a document is missing only after a problem")
    lowered = lower(document, problems)
    return lowered, check_graph(lowered.graph, problems)
