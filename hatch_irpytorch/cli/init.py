"""`irpytorch init`: what an existing project lacks to use the hook, shown first, then written."""

from __future__ import annotations

import argparse
import sys
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.cli.command import new_command, print_notes

if TYPE_CHECKING:
    from hatch_irpytorch.init.plan import Addition
    from hatch_irpytorch.project import Project


def add_to(subparsers: Any, doc: str) -> None:
    parser = new_command(subparsers, run, "init", doc, "irpytorch init --package acme.models")
    parser.add_argument(
        "--package", metavar="NAME", help="the package to generate; default: PROJECT_models"
    )
    parser.add_argument("--github", action="store_true", help="add a workflow for GitHub, too")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--yes", action="store_true", help="write without asking at a terminal")
    which.add_argument(
        "--dry-run", action="store_true", help="only show; exit code 1 if there is anything"
    )


def run(options: argparse.Namespace) -> int:
    from hatch_irpytorch.init.plan import apply_plan, plan_init

    plan = plan_init(Path(), options.package, github=options.github)
    for addition in plan.additions:
        print(_shown(addition), end="", flush=True)
    print_notes(plan.notes)
    if not plan.additions:
        return 0
    if options.dry_run or not (options.yes or _agreed()):
        return 1
    apply_plan(plan)
    print(f"next: {_next_step(plan.project)}")
    return 0


def _next_step(project: Project) -> str:
    from hatch_irpytorch.errors import IRPyTorchError
    from hatch_irpytorch.project import find_manifests, first_manifest

    try:
        find_manifests(project)
    except IRPyTorchError:
        return f"`{project.models}/` has no manifest yet, {first_manifest(project)}"
    return f"run `irpytorch regen`, then `git add {project.output} tests/golden`"


def _shown(addition: Addition) -> str:
    before = (addition.before or "").splitlines(keepends=True)
    after = addition.after.splitlines(keepends=True)
    names = f"{addition.path} on disk", f"{addition.path} with hatch-irpytorch"
    lines = unified_diff(before, after, *names)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _agreed() -> bool:
    """The answer of whoever sits at the terminal; without one there is nobody to ask."""
    if sys.stdin is None or not sys.stdin.isatty():
        return True
    print("write these changes? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
