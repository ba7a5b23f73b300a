"""Formatting numbers, reading documents, generating graphs, and how all that grows."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from torch.nn import functional as F  # noqa: N812

from benchmarks.inputs import GRAPHS, Document, network, weights
from benchmarks.measure import PEAK, Row, in_child, paired, seconds
from hatch_irpytorch.emit.tables import _number_lines

Curves = dict[str, list[tuple[int, float]]]

_READ = (
    PEAK
    + """
import sys, time, orjson, pathlib
from hatch_irpytorch.ir.read import build_model
before = start_peak()
data = pathlib.Path(sys.argv[1]).read_bytes()
start = time.perf_counter()
kept = build_model(data, "graph") if sys.argv[2] == "ours" else orjson.loads(data)
print(time.perf_counter() - start, peak() - before)
"""
)


def formatting() -> list[Row]:
    """A million weights as the lines of tables beside `orjson.dumps` of each row."""
    rows = []
    for row in (100, 1_000):
        array = weights(1_000_000 // row, row)

        def ours(array: Any = array) -> None:
            for _ in _number_lines(array, array.shape, "float32"):
                pass

        def theirs(array: Any = array) -> None:
            for values in array:
                orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)

        step = f"a million weights in rows of {row} as text"
        beside = "`orjson.dumps`, row by row"
        rows.append(
            paired(step, beside, seconds(ours), seconds(theirs), "≥ 0.7", rounds=15, inverse=True)
        )
    return rows


def reading(folder: Path) -> list[Row]:
    """Documents with their payload beside `orjson.loads`, and their memory beside the arrays."""
    rows = []
    for count in (1_000_000, 5_000_000):
        values = weights(count // 1_000, 1_000)
        numbers = orjson.loads(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY))
        outputs = len(values)
        linear = {"id": 1, "kind": "linear", "parents": [0], "shape": [1, outputs]}
        linear |= {"weight": numbers, "bias": [0.5] * outputs}
        value = network(1, 1_000) | {"output_ids": [1]}
        value["nodes"][0]["shape"] = [1, 1_000]
        value["nodes"].append(linear | {"in_dim": 1_000, "out_dim": outputs})
        path = folder / "payload.ir.json"
        path.write_text(json.dumps(value))
        ours: list[list[float]] = []

        def read(path: Path = path, ours: list[list[float]] = ours) -> float:
            ours.append(in_child(_READ, str(path), "ours"))
            return ours[-1][0]

        def loads(path: Path = path) -> float:
            return in_child(_READ, str(path), "orjson")[0]

        step = f"IR JSON with {count // 1_000_000} million weights inside"
        rows.append(paired(step, "`orjson.loads` of the same bytes", read, loads, "≤ 2"))
        peak = statistics.median(memory for _, memory in ours)
        size = 8.0 * (count + outputs)
        more = peak - path.stat().st_size - size
        ratio = more / (8.0 * count)
        what = f"{step}: memory beyond the file and its arrays"
        rows.append(Row(what, "largest array", more, 8.0 * count, ratio, ratio, ratio, "≤ 6", "MB"))
    return rows


def fx_graph(value: Document) -> tuple[torch.nn.Module, torch.fx.Graph]:
    """The same graph for `torch.fx`, with its parameters."""
    graph, root = torch.fx.Graph(), torch.nn.Module()
    values: list[Any] = []
    for node in value["nodes"]:
        parents = [values[parent] for parent in node["parents"]]

        def held(field: str, node: Any = node) -> Any:
            name = f"{node['kind']}_{node['id']}_{field}"
            setattr(root, name, torch.nn.Parameter(torch.tensor(node[field])))
            return graph.get_attr(name)

        kind = node["kind"]
        if kind == "input":
            values.append(graph.placeholder("x"))
        elif kind == "linear":
            arguments = (*parents, held("weight"), held("bias"))
            values.append(graph.call_function(F.linear, arguments))
        elif kind == "layernorm":
            arguments = (*parents, tuple(node["shape"][-1:]), held("gamma"), held("beta"))
            values.append(graph.call_function(F.layer_norm, arguments))
        else:
            values.append(graph.call_function(getattr(torch, kind), tuple(parents)))
    graph.output(values[-1])
    return root, graph


_GENERATING = """
import json, sys, tempfile, time
from pathlib import Path
from benchmarks import inputs
side, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
if side == "theirs":
    import torch
    from benchmarks.emitting import fx_graph as prepared
    def write(made, folder):
        torch.fx.GraphModule(*made).to_folder(folder)
else:
    from benchmarks.generation import source_of
    def prepared(value):
        return json.dumps(value).encode()
    def write(made, folder):
        (Path(folder) / "module.py").write_text(source_of(made))
make = inputs.GRAPHS[name]
with tempfile.TemporaryDirectory() as folder:
    write(prepared(make(10)), folder)
    made = prepared(make(count))
    start = time.perf_counter()
    write(made, folder)
    print(time.perf_counter() - start)
"""


def generating() -> list[Row]:
    """From the bytes of a graph to the file beside `GraphModule` and `to_folder`.

    Each side has processes of its own, as in use: generating never imports torch.
    """
    rows = []
    for name, reach in (("network", "≥ 4"), ("chain", "≥ 5")):

        def run(side: str, name: str = name) -> Callable[[], float]:
            return lambda: in_child(_GENERATING, side, name, "10000")[0]

        step = f"generating a {name} of 10,000 nodes, checks included"
        beside = "`torch.fx`: `GraphModule` and `to_folder`, without its tracing"
        rows.append(paired(step, beside, run("ours"), run("theirs"), reach, inverse=True))
    return rows


_GENERATION = """
import json, sys, time
from benchmarks.generation import source_of
from benchmarks.inputs import GRAPHS
make, count = GRAPHS[sys.argv[1]], int(sys.argv[2])
source_of(json.dumps(make(10)).encode())
data = json.dumps(make(count)).encode()
start = time.perf_counter()
source_of(data)
print(time.perf_counter() - start)
"""


def growth() -> tuple[Curves, list[Row]]:
    """Seconds for 10 to 100,000 nodes of several forms, and the factor of the last step.

    Each graph has a process of its own, as in use: in one that has made others already, a small
    graph finds its memory ready, and a large one has to ask the kernel for its own. Values are so
    large that forwards of 10,000 nodes delete the dead ones too (but for the one of many parents).
    """
    curves: Curves = {}
    rows = []
    for name in GRAPHS:
        small = [(count, _generation(name, count)()) for count in (10, 100, 1_000)]
        pair = _generation(name, 100_000), _generation(name, 10_000)
        row = paired(f"{name}: 100,000 nodes", "10,000 nodes", *pair, "≤ 11", rounds=5)
        curves[name] = [*small, (10_000, row.theirs), (100_000, row.ours)]
        rows.append(row)
    return curves, rows


def _generation(name: str, count: int) -> Callable[[], float]:
    return lambda: in_child(_GENERATION, name, str(count))[0]


def generating_memory() -> list[Row]:
    """Memory of generating 100,000 nodes beside 10,000."""
    program = """
import json, sys, tracemalloc
from benchmarks.inputs import chain
from hatch_irpytorch import EmitOptions, emit_module
from hatch_irpytorch.ir.read import build_model
emit_module(build_model(json.dumps(chain(10, [4, 8])).encode(), "graph"), EmitOptions())
data = json.dumps(chain(int(sys.argv[1]), [4, 8])).encode()
tracemalloc.start()
emit_module(build_model(data, "graph"), EmitOptions())
print(tracemalloc.get_traced_memory()[1])
"""
    return [
        paired(
            "memory of generating 100,000 nodes",
            "10,000 nodes",
            lambda: in_child(program, "100000")[0],
            lambda: in_child(program, "10000")[0],
            "≤ 11",
            rounds=3,
            unit="MB",
        )
    ]


def weight_files(folder: Path) -> list[Row]:
    """400 MB of weights from file to file: memory that is not the mapped file."""
    from safetensors.numpy import save_file

    models = folder / "big" / "models"
    models.mkdir(parents=True)
    (folder / "big" / "pyproject.toml").write_text("[tool.hatch.build.hooks.irpytorch]\n")
    tensors = {}
    nodes = [{"id": 0, "kind": "input", "parents": [], "shape": [1, 5_000]}]
    for i in range(1, 5):
        tensors[f"linear_{i}_W"] = weights(5_000, 5_000)
        tensors[f"linear_{i}_b"] = np.zeros(5_000, np.float32)
        nodes.append({"id": i, "kind": "linear", "parents": [i - 1], "shape": [1, 5_000]})
    save_file(tensors, models / "big.safetensors")
    value = network(1) | {"nodes": nodes, "output_ids": [4]}
    (models / "big.ir.json").write_text(json.dumps(value))
    manifest = "ir: big.ir.json\nparams: big.safetensors\nemit:\n  weights: safetensors\n"
    (models / "big.yaml").write_text(manifest)
    program = """
import threading, time
from hatch_irpytorch.build.current import build_outputs
from hatch_irpytorch.project import find_project
from pathlib import Path
import hatch_irpytorch.emit.module, hatch_irpytorch.ir.read, hatch_irpytorch.emit.weights
def held():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["RssAnon"].split()[0]) * 1024
before = most = held()
done = False
def watch():
    global most
    while not done:
        most = max(most, held())
        time.sleep(0.001)
thread = threading.Thread(target=watch)
thread.start()
build_outputs(find_project(Path()))
done = True
thread.join()
print(most - before)
"""
    held = in_child(program, cwd=folder / "big")[0]
    size = float(sum(array.nbytes for array in tensors.values()))
    step = "generating 400 MB of weights, file to file: memory beyond the mapped files"
    ratio = held / size
    print(f"{step}: {held / 2**20:.0f} MB", flush=True)
    return [Row(step, "the weights", held, size, ratio, ratio, ratio, "< 100 MB", "MB")]
