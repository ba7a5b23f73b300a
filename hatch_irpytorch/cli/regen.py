"""`irpytorch regen`: bring the generated package and the golden files up to date."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hatch_irpytorch.cli.command import add_jobs, add_names, new_command, print_notes


def add_to(subparsers: Any, doc: str) -> None:
    parser = new_command(subparsers, run, "regen", doc, "irpytorch regen digits_mlp")
    add_names(parser)
    add_jobs(parser)


def run(options: argparse.Namespace) -> int:
    from hatch_irpytorch.build.progress import terminal_progress
    from hatch_irpytorch.build.regenerate import regenerate
    from hatch_irpytorch.project import find_project

    project = find_project(Path())
    changes = regenerate(project, options.names, options.jobs, terminal_progress())
    print_notes(changes.notes)
    for written in changes.written:
        print(written.path)
    for removed in changes.removed:
        print(f"removed {removed.path}")
    return 0
