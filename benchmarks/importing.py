"""Importing generated modules: inline weights, weights in a file, very long forwards."""

from __future__ import annotations

import compileall
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from benchmarks.emitting import Curves
from benchmarks.inputs import chain, one_linear, weights
from benchmarks.measure import PEAK, Row, in_child, paired
from hatch_irpytorch import EmitOptions, emit_module
from hatch_irpytorch.ir.params import StoreFile
from hatch_irpytorch.ir.read import build_model
from hatch_irpytorch.ir.stores import read_store

_IMPORT = (
    PEAK
    + """
import sys, time, numpy, torch, safetensors.torch
sys.path.insert(0, sys.argv[1])
before = start_peak()
start = time.perf_counter()
import module
kept = module.ExportedIRModel()
print(time.perf_counter() - start, peak() - before)
"""
)
_FILE = """
import sys, time, numpy, torch
from safetensors.torch import load_file
sys.path.insert(0, sys.argv[1])
start = time.perf_counter()
if sys.argv[2] == "module":
    import module
    kept = module.ExportedIRModel()
elif sys.argv[2] == "one line":
    from one_line import kept
else:
    kept = load_file(sys.argv[1] + "/module.safetensors")
if sys.argv[3] == "read":
    tensors = kept.state_dict() if sys.argv[2] == "module" else kept
    total = sum(float(tensor.sum()) for tensor in tensors.values())
print(time.perf_counter() - start)
"""


def _written(folder: Path, rows: int, row: int, kind: str) -> Path:
    """A module of one linear node in a folder of its own."""
    place = folder / f"{kind}_{rows * row}"
    place.mkdir()
    array = weights(rows, row)
    save_file(
        {"linear_1_W": array, "linear_1_b": np.zeros(rows, np.float32)}, place / "p.safetensors"
    )
    store = StoreFile("p", read_store(place / "p.safetensors", "p"))
    model = build_model(json.dumps(one_linear(rows, row)).encode(), "graph", store)
    options = EmitOptions(weights="safetensors" if kind == "file" else "inline", inline_limit=10**9)
    emitted = emit_module(model, options, weights_file="module.safetensors")
    source = emitted.source
    if kind == "list":
        lines = ",\n".join(f"    {values}" for values in array.astype(float).tolist())
        start, end = source.index("LINEAR_1_W = "), source.index("LINEAR_1_B = ")
        source = f"{source[:start]}LINEAR_1_W = [\n{lines},\n]\n{source[end:]}"
        source = source.replace(
            f"numbers(LINEAR_1_W, ({rows}, {row}), dtype)", "torch.tensor(LINEAR_1_W, dtype=dtype)"
        )
    (place / "module.py").write_text(source)
    if emitted.weights is not None:
        (place / "module.safetensors").write_bytes(bytes(emitted.weights))
    return place


def inline(folder: Path) -> tuple[Curves, list[Row]]:
    """Inline weights beside a list literal: time, and memory."""
    curves: Curves = {"text, as we write it": [], "list literal": []}
    rows: list[Row] = []
    for count in (1_000, 10_000, 100_000, 1_000_000):
        ours, theirs = (_written(folder, count // 100, 100, kind) for kind in ("text", "list"))
        memory: dict[Path, list[float]] = {ours: [], theirs: []}

        def run(place: Path, memory: dict[Path, list[float]] = memory) -> float:
            passed, peak = in_child(_IMPORT, str(place))
            memory[place].append(peak)
            return passed

        row = paired(
            f"importing {count:,} inline weights, without a .pyc",
            "`torch.tensor([...])` of a list literal",
            lambda ours=ours, run=run: run(ours),  # type: ignore[misc]
            lambda theirs=theirs, run=run: run(theirs),  # type: ignore[misc]
            "≥ 20" if count == 1_000_000 else "",
            rounds=3,
            inverse=True,
        )
        curves["text, as we write it"].append((count, row.ours))
        curves["list literal"].append((count, row.theirs))
        if count == 1_000_000:
            own, other = (statistics.median(memory[place]) for place in (ours, theirs))
            ratio = other / own
            step = "importing 1,000,000 inline weights: memory"
            print(f"{step}: {ratio:.1f}", flush=True)
            rows += [row, Row(step, row.beside, own, other, ratio, ratio, ratio, "≥ 10", "MB")]
    return curves, rows


def from_file(folder: Path) -> list[Row]:
    """100 million weights in a file beside the library's own `load_file`.

    Both map the file, which takes less than a millisecond, and an import costs something whatever
    the module says; so a second row has a module of one line beside it, and a third reads every
    weight as well. The modules' `.pyc` are there, as after an installation.
    """
    place = _written(folder, 100_000, 1_000, "file")
    file = str(place / "module.safetensors")
    line = f"from safetensors.torch import load_file\n\nkept = load_file({file!r})\n"
    (place / "one_line.py").write_text(line)
    compileall.compile_dir(place, quiet=1)

    def run(what: str, extent: str) -> Callable[[], float]:
        return lambda: in_child(_FILE, str(place), what, extent)[0]

    step = "importing a module with 100 million weights in a file"
    beside = "`safetensors.torch.load_file` of the file"
    mapped = run("module", "map"), run("load", "map")
    one_line = "a module that says `kept = load_file(...)` and nothing else"
    bare = run("module", "map"), run("one line", "map")
    read = run("module", "read"), run("load", "read")
    return [
        paired(f"{step}: mapped", beside, *mapped, "≤ 1.1", rounds=15),
        paired(f"{step}: mapped", one_line, *bare, "", rounds=15),
        paired(f"{step}: and every weight read once", beside, *read, "≤ 1.1", rounds=15),
    ]


def long_forward(folder: Path) -> Curves:
    """Seconds to import modules of 10 to 100,000 nodes, without a .pyc."""
    found = []
    for count in (10, 100, 1_000, 10_000, 100_000):
        place = folder / f"long_{count}"
        place.mkdir()
        model = build_model(json.dumps(chain(count, [4, 8])).encode(), "graph")
        (place / "module.py").write_text(emit_module(model, EmitOptions()).source)
        found.append((count, in_child(_IMPORT, str(place))[0]))
        print(f"importing {count} nodes: {found[-1][1]:.3f} s", flush=True)
    return {"import of a forward": found}
