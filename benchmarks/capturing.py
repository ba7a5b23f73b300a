"""Capturing networks of real sizes beside `torch.export` alone: processor time and memory.

Seconds are those of all threads, which other programs on the machine change less than the clock.
What torch imports for its first export is imported before either.
"""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.measure import PEAK, Row, in_child, row_of
from benchmarks.realistic import NETWORKS

_START = f"""
import sys, time, torch
from benchmarks.realistic import NETWORKS
{PEAK}
name, out = sys.argv[1:]
build, shape = NETWORKS[name]
torch.manual_seed(0)
module, x = build().eval(), torch.rand(shape)
torch.export.export(torch.nn.Identity(), (x,)).run_decompositions()
"""
_OURS = f"""
from pathlib import Path
from hatch_irpytorch.capture.files import write_captured
from hatch_irpytorch.capture.pytorch.convert import from_torch
{_START}
before, start = start_peak(), time.process_time()
model = from_torch(module, x)
made = time.process_time()
write_captured(model, Path(out, "net"), "Net", "float32", force=True)
print(made - start, time.process_time() - start, peak() - before)
"""
_THEIRS = f"""
{_START}
before, start = start_peak(), time.process_time()
program = torch.export.export(module, (x,)).run_decompositions()
made, held = time.process_time(), peak() - before
torch.export.save(program, f"{{out}}/net.pt2")
print(made - start, time.process_time() - start, held)
"""
_ONE = {"OMP_NUM_THREADS": "1"}
"""Threads that wait for each other count as processor time."""
_ROUNDS = 5


def capturing(folder: Path) -> list[Row]:
    """What `irpytorch capture` does once the module is made: up to the graph, and with its files.

    Memory is what it takes beyond `torch.export`, beside the weights.
    """
    rows = []
    for name, (build, _) in NETWORKS.items():
        home = folder / "capturing"
        home.mkdir(exist_ok=True)
        with torch.device("meta"):
            weights = 4.0 * sum(tensor.numel() for tensor in build().state_dict().values())
        found = [
            [in_child(program, name, str(home), variables=_ONE) for program in (_OURS, _THEIRS)]
            for _ in range(_ROUNDS)
        ]
        beside = "`torch.export.export` and `run_decompositions`"
        made = [(ours[0], theirs[0]) for ours, theirs in found]
        rows.append(row_of(f"{name}: capturing, processor time", beside, made, "≤ 1.5"))
        written = [(ours[1], theirs[1]) for ours, theirs in found]
        step = f"{name}: capturing and writing, processor time"
        rows.append(row_of(step, f"{beside} and `torch.export.save`", written, "≤ 1.5"))
        held = [(ours[2] - theirs[2], weights) for ours, theirs in found]
        step = f"{name}: capturing and writing, memory beyond that of `torch.export`"
        rows.append(row_of(step, "the weights as float32", held, "≤ 3", unit="MB"))
    return rows
