"""`irpytorch check`: what `regen` would change, as a unified diff."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.cli.command import add_jobs, new_command, print_problems

if TYPE_CHECKING:
    from hatch_irpytorch.build.outputs import Difference


def add_to(subparsers: Any, doc: str) -> None:
    add_jobs(new_command(subparsers, run, "check", doc, "irpytorch check"))


def run(options: argparse.Namespace) -> int:
    from hatch_irpytorch.build.bytecode import foreign_bytecode
    from hatch_irpytorch.build.outputs import describe
    from hatch_irpytorch.build.progress import terminal_progress
    from hatch_irpytorch.build.regenerate import differences
    from hatch_irpytorch.project import find_project

    project = find_project(Path())
    progress = terminal_progress()
    found = differences(project, golden=True, jobs=options.jobs, progress=progress)
    for difference in found:
        if difference.before is not None or difference.after is not None:
            print(_shown(difference), end="")
    problems = [*map(describe, found), *foreign_bytecode(project)]
    print_problems(problems)
    return 1 if problems else 0


def _shown(difference: Difference) -> str:
    if difference.path.endswith(".safetensors"):
        return f"{difference.path}: binary files differ\n"
    from difflib import unified_diff

    before, after = _lines(difference.before), _lines(difference.after)
    names = f"{difference.path} on disk", f"{difference.path} regenerated"
    return "".join(unified_diff(before, after, *names))


def _lines(content: object) -> list[str]:
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else ""
    return text.splitlines(keepends=True)
