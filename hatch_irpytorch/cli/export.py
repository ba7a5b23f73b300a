"""`irpytorch export`: the graph with its payload, or the ParamStore, for the Lean side."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from hatch_irpytorch.cli.command import new_command, print_notes
from hatch_irpytorch.errors import Place, fail, shown

_EXAMPLE = "irpytorch export digits_mlp --state-dict trained.safetensors -o digits_mlp.ir.json"


def add_to(subparsers: Any, doc: str) -> None:
    parser = new_command(subparsers, run, "export", doc, _EXAMPLE)
    parser.add_argument("module", metavar="MODULE", help="a module of this project")
    parser.add_argument(
        "--state-dict",
        type=Path,
        metavar="FILE",
        help="parameters of a trained module, instead of those that the manifest names",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help=".json or .safetensors"
    )
    other = "take parameters that were trained for another graph, by their names"
    parser.add_argument("--other-graph", action="store_true", help=other)
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace a file that exists",
    )


def run(options: argparse.Namespace) -> int:
    from hatch_irpytorch.build import export
    from hatch_irpytorch.build.content import Content
    from hatch_irpytorch.build.files import replace_file
    from hatch_irpytorch.build.generate import read_manifests
    from hatch_irpytorch.build.ownership import is_regular
    from hatch_irpytorch.build.places import require_place
    from hatch_irpytorch.build.upstream import upstream_notes
    from hatch_irpytorch.project import find_project

    output: Path = options.output
    name = output.as_posix()
    require_place(output)
    if output.suffix not in (export.JSON_ENDING, export.STORE_ENDING):
        message = f"the output must end in `.json` or `.safetensors`, found {shown(output.name)}"
        raise fail("bad-option", Place("--output"), message)
    if os.path.lexists(output) and not is_regular(output):
        message = "no file, but a link or something else, stands there"
        raise fail("not-ours", Place(name), message, "choose another name")
    if output.exists() and not options.force:
        hint = "choose another name, or replace it with `--force`"
        raise fail("not-ours", Place(name), "the file exists", hint)
    project = find_project(Path())
    manifests = read_manifests(project, {}, [options.module])
    (manifest,) = (m for m in manifests if m.module == options.module)
    model = export.load_trained(
        project, manifest, options.state_dict, other_graph=options.other_graph
    )
    print_notes(model.notes)
    data: Content
    if output.suffix == export.JSON_ENDING:
        data = export.exported_json(model)
        print_notes(upstream_notes(model))
    else:
        data = export.exported_store(model)
    replace_file(output, data, name)
    print(name)
    return 0
