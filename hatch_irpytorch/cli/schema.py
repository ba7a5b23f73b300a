"""`irpytorch schema`: the JSON schema of a manifest, for editors."""

from __future__ import annotations

import argparse
import json
from typing import Any

from hatch_irpytorch.cli.command import new_command


def add_to(subparsers: Any, doc: str) -> None:
    new_command(subparsers, run, "schema", doc, "irpytorch schema > manifest.schema.json")


def run(options: argparse.Namespace) -> int:
    from hatch_irpytorch.manifest_fields import manifest_schema

    print(json.dumps(manifest_schema(), indent=2))
    return 0
