"""Run every benchmark and write the report: `python -m benchmarks`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import building, capturing, emitting, forward, importing, peers, realistic, report


def main() -> None:
    """Some fifteen minutes; the machine should have nothing else to do."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        curves, factors = emitting.growth()
        inline_curves, inline_rows = importing.inline(folder)
        sections = [
            (
                "Generating",
                report.table([*emitting.formatting(), *emitting.reading(folder)])
                + "\n"
                + report.table([*emitting.generating(), *factors])
                + "\n"
                + report.table([*emitting.generating_memory(), *emitting.weight_files(folder)])
                + "\n"
                + report.plot(curves | importing.long_forward(folder), "nodes", "nodes"),
            ),
            ("Networks of real sizes", report.table(realistic.real_sizes(folder))),
            ("Capturing", report.table(capturing.capturing(folder))),
            (
                "Building",
                report.table(
                    [
                        *building.nothing_changed(folder),
                        *building.one_changed(folder),
                        *building.cold(folder),
                        *building.verifying(folder),
                        *building.help_text(),
                    ]
                ),
            ),
            (
                "Importing",
                report.table([*inline_rows, *importing.from_file(folder)])
                + "\n"
                + report.plot(inline_curves, "inline weights", "weights"),
            ),
            (
                "Forward",
                report.table([*forward.eager(), *forward.keeping_memory()])
                + "\n"
                + report.table(forward.any_batch())
                + "\n"
                + report.table([*forward.fused(), *forward.memory(), *forward.reference()]),
            ),
            ("Peers, on a small CNN", report.peer_table(peers.peers(folder))),
        ]
        report.write(sections)


if __name__ == "__main__":
    main()
