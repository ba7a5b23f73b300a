"""`irpytorch verify`: import, smoke, parity and golden of every generated module."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.cli.command import add_jobs, add_names, new_command, print_problems

if TYPE_CHECKING:
    from hatch_irpytorch.project import Project
    from hatch_irpytorch.verify.models import Checked


def add_to(subparsers: Any, doc: str) -> None:
    parser = new_command(subparsers, run, "verify", doc, "irpytorch verify digits_mlp")
    add_names(parser)
    add_jobs(parser, "how many processes run modules; default: where there is work for them")


def run(options: argparse.Namespace) -> int:
    from hatch_irpytorch.project import find_project

    project = find_project(Path())
    _leave_out(project)
    from contextlib import closing

    from hatch_irpytorch.verify.models import require_torch, verify_project

    require_torch()
    found = False
    with closing(verify_project(project, options.names, options.jobs)) as checked:
        for entry in checked:
            found = found or bool(entry.problems)
            print_problems(entry.problems)
            if entry.module:
                print(f"{entry.module}: {_summary(entry)}", flush=True)
    return 1 if found else 0


def _leave_out(project: Project) -> None:
    """From here on nothing is imported from the working directory or from among the outputs."""
    from hatch_irpytorch.verify.import_path import import_path

    ours = str(Path(__file__).resolve().parents[2])
    kept = import_path(sys.path, project.root, project.root / project.output)
    sys.path[:] = [entry for entry in sys.path if entry in kept or entry == ours]


def _summary(entry: Checked) -> str:
    count = len(entry.problems)
    if count:
        findings = f"{count} finding" + ("s" if count > 1 else "")
        return findings if entry.checks else f"not run, {findings}"
    *others, last = entry.checks
    return f"{', '.join(others)} and {last} agree" if others else f"{last} agrees"
