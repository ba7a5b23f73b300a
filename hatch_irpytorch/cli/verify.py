"""`irpytorch verify`: import, smoke, parity and golden of every generated module."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hatch_irpytorch.cli.command import add_names, new_command, print_problems


def add_to(subparsers: Any, doc: str) -> None:
    add_names(new_command(subparsers, run, "verify", doc, "irpytorch verify digits_mlp"))


def run(options: argparse.Namespace) -> int:
    from hatch_irpytorch.build.generate import read_manifests
    from hatch_irpytorch.project import find_project
    from hatch_irpytorch.verify.models import load_models, require_torch, verify_models

    project = find_project(Path())
    require_torch()
    manifests = read_manifests(project, {}, options.names)
    models = load_models(project, manifests, options.names)
    found = verify_models(project, models)
    print_problems(found)
    if not found:
        for manifest, _ in models:
            print(f"{manifest.module}: import, smoke, parity and golden agree")
    return 1 if found else 0
