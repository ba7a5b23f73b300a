"""From bytes to a checked model: the corridor up to the plan.

What is collected here only says that something is wrong: `explain` then finds all of it anew, from
the text, since a typed reader stops at the first wrong type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from hatch_irpytorch.errors import Place, Problems
from hatch_irpytorch.garbage import collection_paused
from hatch_irpytorch.ir.check import check_graph
from hatch_irpytorch.ir.document import Document, read_document
from hatch_irpytorch.ir.explain import explain
from hatch_irpytorch.ir.graph import Graph, Model, ParamStore
from hatch_irpytorch.ir.lower import lower
from hatch_irpytorch.ir.params import StoreFile, bind_params
from hatch_irpytorch.ir.stores import read_store
from hatch_irpytorch.source.json_text import check_text
from hatch_irpytorch.source.reading import read_bytes

_Read = TypeVar("_Read")


def read_model(
    graph: str | Path,
    params: str | Path | None = None,
    *,
    graph_name: str | None = None,
    params_name: str | None = None,
    output_ids: Sequence[int] = (),
    base: ParamStore | None = None,
) -> Model:
    """The checked model in a `torchlean.ir.v1` file and, when given, a parameter file.

    `graph_name` and `params_name` are what messages call the files; by default their paths.
    `output_ids` are tensor nodes whose values are the outputs, instead of those that the file says.
    `base` holds arrays that a state dict of `layout: modules` leaves out.
    Raises `IRPyTorchError` with every problem of both files.
    """
    graph_file = graph_name or Path(graph).as_posix()
    model_bytes = read_bytes(Path(graph), graph_file)
    store = None
    if params is not None:
        params_file = params_name or Path(params).as_posix()
        store = StoreFile(params_file, read_store(Path(params), params_file))
    return build_model(model_bytes, graph_file, store, output_ids, base)


def build_model(
    data: bytes,
    file: str,
    store: StoreFile | None = None,
    output_ids: Sequence[int] = (),
    base: ParamStore | None = None,
) -> Model:
    """The checked model in the bytes of a graph document. Raises `IRPyTorchError`."""
    return _read(data, file, partial(resolve_model, store=store, output_ids=output_ids, base=base))


def build_graph(data: bytes, file: str, output_ids: Sequence[int] = ()) -> Graph:
    """The checked graph in the bytes of a document, without payload. Raises `IRPyTorchError`."""
    return _read(data, file, partial(resolve_graph, output_ids=output_ids))


def resolve_model(
    document: Document,
    problems: Problems,
    store: StoreFile | None = None,
    output_ids: Sequence[int] = (),
    base: ParamStore | None = None,
) -> Model:
    """The model of a document; what is wrong with it goes to `problems`."""
    lowered = lower(document, problems)
    lowered = replace(lowered, graph=_with_outputs(lowered.graph, output_ids, problems))
    sound = check_graph(lowered.graph, problems)
    params, notes = bind_params(lowered, sound, store, problems, base)
    return Model(lowered.graph, params, notes)


def _with_outputs(graph: Graph, output_ids: Sequence[int], problems: Problems) -> Graph:
    """The graph that gives the values of other nodes. torchlean.ir.v1: 6.43."""
    if not output_ids:
        return graph
    count = len(graph.nodes)
    for output in output_ids:
        if not 0 <= output < count:
            expected = f"the id of one of the {count} tensor nodes"
            problems.mismatch("bad-id", Place(graph.file), "output_ids", expected, f"`{output}`")
    sound = tuple(output if 0 <= output < count else 0 for output in output_ids)
    return replace(graph, output_ids=sound)


def resolve_graph(document: Document, problems: Problems, output_ids: Sequence[int] = ()) -> Graph:
    """The graph of a document, whose payload is not looked at."""
    graph = _with_outputs(lower(document, problems).graph, output_ids, problems)
    check_graph(graph, problems)
    return graph


def read_graph(graph: Path, file: str, output_ids: Sequence[int] = ()) -> Graph:
    """The checked graph in a file, without its payload. Raises `IRPyTorchError`."""
    return build_graph(read_bytes(graph, file), file, output_ids)


def _read(data: bytes, file: str, resolve: Callable[[Document, Problems], _Read]) -> _Read:
    """What `resolve` makes of a document; the reader and the explainer give it the same rules."""
    with collection_paused():
        check_text(data, file)
        problems = Problems()
        document = read_document(data, file)
        if document is not None:
            found = resolve(document, problems)
            if not len(problems):
                return found
        told = explain(data, file, resolve)
    if not told.problems:
        raise AssertionError("a graph is refused and nothing is wrong")
    raise told
