"""`irpytorch capture`: an `nn.Module` as a graph with its parameters and a manifest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hatch_irpytorch.cli.command import add_patterns, new_command, print_notes
from hatch_irpytorch.cli.inputs import add_inputs, bound, read_shape
from hatch_irpytorch.errors import Place, fail, shown

_EXAMPLE = "irpytorch capture nets:SmallCNN --shape 1,1,8,8 -o models/small_cnn"


def add_to(subparsers: Any, doc: str) -> None:
    parser = new_command(subparsers, run, "capture", doc, _EXAMPLE)
    parser.add_argument(
        "factory",
        metavar="MODULE:FACTORY",
        help="a module, or what returns one when called, by import path from here",
    )
    parser.add_argument(
        "--shape",
        required=True,
        metavar="[NAME=]1,3,32,32",
        help="the shape of the one input; NAME: its parameter of `forward`, if unclear",
    )
    add_inputs(parser)
    parser.add_argument(
        "--state-dict", type=Path, metavar="FILE", help="a safetensors file to load before"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="torch's seed before the call; default 0"
    )
    add_patterns(parser)
    add_output(parser)


def add_output(parser: argparse.ArgumentParser) -> None:
    text = "the name of the three files without their endings"
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="models/NAME", help=text
    )
    force = "replace a graph and parameters that were trained or edited since"
    parser.add_argument("--force", action="store_true", help=force)


def run(options: argparse.Namespace) -> int:
    from tempfile import gettempdir

    from hatch_irpytorch.capture.files import manifest_notes, require_output, write_captured
    from hatch_irpytorch.ir.freezing import with_learned
    from hatch_irpytorch.verify.models import require_torch

    parameter, _, text = options.shape.rpartition("=")
    shape = read_shape(text, "--shape")
    require_output(options.output, force=options.force)
    _require_factory(options.factory)
    require_torch("irpytorch capture", "capturing a module")
    # torch asks for a folder for temporary files, and its own error says much else.
    gettempdir()
    from hatch_irpytorch.capture.pytorch.factory import Wanted, capture_factory

    bind, keep = bound(options.bind), options.keep_output
    wanted = Wanted(shape, options.tokens, parameter, bind, keep)
    made = capture_factory(options.factory, wanted, options.state_dict, options.seed)
    model = with_learned(made.model, options.freeze, options.learn)
    print_notes(model.notes)
    output, force = options.output, options.force
    for path in write_captured(model, output, made.class_name, made.dtype, force=force):
        print(path.as_posix())
    print_notes(manifest_notes(model, output, made.dtype))
    return 0


def _require_factory(factory: str) -> None:
    """Raise `bad-option` for a file, which is the usual slip."""
    from hatch_irpytorch.cli.kinds import kind_of

    name, _, attribute = factory.partition(":")
    kind = kind_of(Path(name))
    if kind is None or (attribute and kind.command != "capture"):
        return
    message = f"{shown(name)} is {kind.name}"
    hint = kind.remedy
    if kind.command == "capture":
        message = f"{shown(name)} is a file, a module is named as `import` names it"
        hint = f"such as `{_EXAMPLE.split()[2]}`"
    raise fail("bad-option", Place("MODULE:FACTORY"), message, hint)
