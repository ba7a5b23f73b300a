"""`docs/benchmarks.md`: tables with medians and quartiles, and plots."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.emitting import Curves
from benchmarks.measure import ROOT, Row
from benchmarks.peers import Peer

DOCS = ROOT / "docs"
_HEAD = "| step | beside | ours | theirs | ratio | quartiles | wanted |\n" + "| --- " * 7 + "|\n"


def table(rows: Sequence[Row]) -> str:
    """Markdown of some rows."""
    return _HEAD + "".join(_line(row) for row in rows)


def _line(row: Row) -> str:
    spread = f"{row.low:.2f} to {row.high:.2f}" if row.low != row.high else ""
    figures = f"{_figure(row.ours, row.unit)} | {_figure(row.theirs, row.unit)}"
    return f"| {row.step} | {row.beside} | {figures} | {row.ratio:.2f} | {spread} | {row.reach} |\n"


def _figure(value: float, unit: str) -> str:
    if unit == "MB":
        return f"{value / 2**20:.1f} MB"
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1e3:.1f} ms" if value >= 1e-3 else f"{value * 1e6:.0f} µs"


def peer_table(found: Sequence[Peer]) -> str:
    """Markdown of the peers."""
    lines = "| | to produce | to load | size | forward beside the net | two runs, same bytes |\n"
    lines += "| --- | --- | --- | --- | --- | --- |\n"
    for peer in found:
        if peer.note:
            lines += f"| {peer.name} | {peer.note} | | | | |\n"
            continue
        same = "yes" if peer.same_bytes else "no"
        lines += (
            f"| {peer.name} | {_figure(peer.produce, 's')} | {_figure(peer.load, 's')} "
            f"| {peer.size / 1e3:.0f} kB | {peer.forward:.2f} | {same} |\n"
        )
    return lines


def plot(curves: Curves, across: str, name: str) -> str:
    """A figure with logarithmic axes in `docs/`; returns its Markdown."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "hatch-irpytorch"
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for label, points in curves.items():
        axes.loglog(*zip(*points, strict=True), marker="o", label=label)
    axes.set_xlabel(across)
    axes.set_ylabel("seconds")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend()
    path = DOCS / f"benchmarks_{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")
    return f"![seconds over {across}]({path.name})\n"


def machine() -> str:
    """What the figures were taken on."""
    cores = len(os.sched_getaffinity(0))
    names = ("torch", "numpy", "orjson", "safetensors")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{cores} cores, Python {platform.python_version()}, {packages}."


def write(sections: Sequence[tuple[str, str]], path: Path = DOCS / "benchmarks.md") -> None:
    """The report."""
    text = (
        "# Benchmarks\n\n"
        "`nox -s bench` measures all this and writes this file. Every ratio is from one run:\n"
        "ours and theirs in turn, the median of the pairs, the quartiles as its spread. Ratios\n"
        "say something about other machines, seconds do not. No test asserts any of it.\n\n"
        f"{machine()}\n"
    )
    for title, body in sections:
        text += f"\n## {title}\n\n{body}"
    path.write_text(text, encoding="utf-8")
