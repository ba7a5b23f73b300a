"""Run all peers and write their parts of docs/coverage.md: `nox -s peers`."""

from __future__ import annotations

import logging
import sys
import warnings
from importlib.metadata import version

from architectures import ARCHITECTURES

from peers import onnx_nodes, torch_own
from peers.coverage import PAGE, write_part, write_top
from peers.tally import WRONG, Tally

_EXAMPLES = 12

_TOP = """\
# What comes in through the doors, counted

Written by `nox -s peers`, with onnx {onnx} and torch {torch}. A case passes when the graph,
evaluated by the reference, equals what its source expects. All others are listed with their reason.

- Networks of the verification competition (`tests/doors/test_onnx.py`, 100 random inputs each,
  within 1e-4 of ONNX Runtime): 10 of 10.
- Architectures written for the purpose (`tests/architectures/`, within 1e-5 of the original
  module): {architectures} of {architectures}.
"""


def section(title: str, note: str, tally: Tally) -> str:
    """One source as a table of reasons, with the ops behind them."""
    total = tally.passed + tally.reasons.total()
    lines = [
        f"## {title}",
        "",
        note,
        "",
        "| outcome | cases | ops, most frequent first |",
        "| --- | --- | --- |",
        f"| passed | {tally.passed} of {total} | |",
    ]
    for reason, count in tally.reasons.most_common():
        names = [f"`{op}`" for op, _ in tally.ops[reason].most_common(_EXAMPLES)]
        more = len(tally.ops[reason]) - len(names)
        tail = f" and {more} more" if more > 0 else ""
        lines.append(f"| {reason} | {count} | {', '.join(names)}{tail} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    tallies = {
        "ONNX: the backend tests of single nodes": (
            "All node tests that the `onnx` package ships; the first real input is run-time, the "
            "others are bound to their values.",
            onnx_nodes.run(),
        ),
        "PyTorch: `module_db`": (
            "All samples of all modules in eval mode, float32.",
            torch_own.modules(),
        ),
        "PyTorch: `op_db`": (
            f"The first {torch_own.SAMPLES} samples of each op, float32.",
            torch_own.ops(),
        ),
    }
    count = len(ARCHITECTURES)
    write_top(_TOP.format(onnx=version("onnx"), torch=version("torch"), architectures=count))
    for title, (note, tally) in tallies.items():
        write_part(title, section(title, note, tally))
    print(PAGE.read_text(encoding="utf-8"))
    wrong = [name for _, tally in tallies.values() for name in tally.wrong]
    print(f"{WRONG}: {wrong}" if wrong else "nothing wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
