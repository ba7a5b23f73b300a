"""`irpytorch import-onnx`: an ONNX file as a graph with its parameters and a manifest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hatch_irpytorch.cli.capture import add_output
from hatch_irpytorch.cli.command import add_patterns, new_command, print_notes
from hatch_irpytorch.cli.inputs import add_inputs, bound, pairs, read_shape

_EXAMPLE = "irpytorch import-onnx net.onnx --shape input=1,3,32,32 -o models/net"


def add_to(subparsers: Any, doc: str) -> None:
    parser = new_command(subparsers, run, "import-onnx", doc, _EXAMPLE)
    parser.add_argument("file", type=Path, metavar="FILE", help="the ONNX file")
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=1,3,32,32",
        help="the shape of an input that the file leaves open; open extents are 1 unless told",
    )
    add_inputs(parser)
    add_patterns(parser)
    add_output(parser)


def run(options: argparse.Namespace) -> int:
    from hatch_irpytorch.capture import from_onnx
    from hatch_irpytorch.capture.files import manifest_notes, require_output, write_captured
    from hatch_irpytorch.cli.kinds import told_by_kind
    from hatch_irpytorch.ir.freezing import with_learned
    from hatch_irpytorch.manifest import default_class_name

    output: Path = options.output
    require_output(output, force=options.force)
    shapes = {name: read_shape(text, "--shape") for name, text in pairs(options.shape, "--shape")}
    bind, tokens, keep = bound(options.bind), options.tokens, options.keep_output
    with told_by_kind(options.file, "import-onnx"):
        model = from_onnx(options.file, shapes=shapes, tokens=tokens, bind=bind, keep=keep)
    model = with_learned(model, options.freeze, options.learn)
    print_notes(model.notes)
    class_name, force = default_class_name(output.name), options.force
    for path in write_captured(model, output, class_name, "float32", force=force):
        print(path.as_posix())
    print_notes(manifest_notes(model, output, "float32"))
    return 0
