"""`irpytorch emit`: one graph to one module, without a project."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.cli.command import add_patterns, natural, new_command, print_notes
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem, fail, nearest, shown

if TYPE_CHECKING:
    from hatch_irpytorch.emit.options import EmitOptions
    from hatch_irpytorch.ir.graph import Model

_EXAMPLE = "irpytorch emit mlp.ir.json --params mlp.safetensors --class-name MLP -o mlp.py"


def add_to(subparsers: Any, doc: str) -> None:
    from hatch_irpytorch.emit.options import BATCHES, DTYPES, LAYOUTS, WEIGHTS, EmitOptions

    parser = new_command(subparsers, run, "emit", doc, _EXAMPLE)
    flag = argparse.BooleanOptionalAction
    parser.add_argument("ir", metavar="IR.json", type=Path, help="the graph")
    text = "the ParamStore; default: IR.safetensors beside a graph that lacks numbers"
    parser.add_argument("--params", type=Path, metavar="FILE", help=text)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the module; default, and `-`: standard output",
    )
    parser.add_argument(
        "--output-id",
        action="append",
        type=natural,
        default=[],
        metavar="ID",
        help="return the value of this node, the `v3` of a module for 3, instead of the outputs",
    )
    parser.add_argument("--class-name", metavar="NAME")
    text = "a line for each node, or the classes that a person would write"
    parser.add_argument("--layout", choices=LAYOUTS, help=text)
    parser.add_argument("--dtype", help=", ".join(DTYPES))
    parser.add_argument("--training-skeleton", action=flag)
    parser.add_argument("--learnable-consts", action=flag)
    parser.add_argument("--compress-broadcast-params", action=flag)
    parser.add_argument("--weights", choices=WEIGHTS)
    parser.add_argument("--inline-limit", type=natural, metavar="N")
    parser.add_argument("--fuse", action="store_true", help="one call for several nodes")
    text = "any batch size: where it is proven (auto), never, or else an error; added: a new axis"
    parser.add_argument("--batch", choices=BATCHES, help=text)
    parser.add_argument("--batch-axis", type=natural, metavar="AXIS", help="default: 0")
    parser.add_argument("--free", metavar="2,3", help="further axes of the input to leave free")
    add_patterns(parser)
    parser.set_defaults(**{**vars(EmitOptions()), "free": "", "freeze": [], "learn": []})


def run(options: argparse.Namespace) -> int:
    from hatch_irpytorch.cli.emitted import require_target, write_emitted
    from hatch_irpytorch.emit import EMIT_AGAIN, emit_module
    from hatch_irpytorch.garbage import collection_paused

    emit_options = _emit_options(options)
    in_file = emit_options.weights == "safetensors"
    target = require_target(options.output, in_file)
    with collection_paused():
        model, inputs = _model(options.ir, options.params, options.output_id)
        emitted = emit_module(
            model,
            emit_options,
            origin=options.ir.name,
            weights_file=target.weights.name if target.weights else None,
            change=EMIT_AGAIN,
        )
    print_notes(model.notes)
    write_emitted(target, emitted, inputs)
    return 0


def _model(graph: Path, params: Path | None, output_ids: list[int]) -> tuple[Model, list[Path]]:
    """The model and the files that it came from; a graph may have its parameters beside it."""
    from hatch_irpytorch.cli.kinds import told_by_kind
    from hatch_irpytorch.ir.read import read_model

    with told_by_kind(graph, "emit"):
        try:
            read = [path for path in (graph, params) if path is not None]
            return read_model(graph, params, output_ids=output_ids), read
        except IRPyTorchError as error:
            lacks = any(problem.code == "missing-payload" for problem in error.problems)
            if params is not None or not lacks:
                raise
            beside = graph.with_name(graph.name.partition(".")[0] + ".safetensors")
            if not beside.is_file():
                raise
    model = read_model(graph, beside, output_ids=output_ids)
    message = "the parameters that the graph lacks were taken from here"
    print_notes([Problem("params-beside", Place(beside.as_posix()), message)])
    return model, [graph, beside]


def _emit_options(options: argparse.Namespace) -> EmitOptions:
    from hatch_irpytorch.cli.inputs import read_shape
    from hatch_irpytorch.emit.options import (
        DTYPES,
        EmitOptions,
        axes_problem,
        class_name_problem,
        normal_dtype,
    )

    problem = class_name_problem(options.class_name)
    if problem:
        message = f"{shown(options.class_name)}: {problem}"
        raise fail("bad-name", Place("--class-name"), message)
    dtype = normal_dtype(options.dtype)
    if dtype is None:
        message = f"{shown(options.dtype)} is not one of {', '.join(DTYPES)}"
        raise fail("bad-option", Place("--dtype"), message, nearest(options.dtype, DTYPES))
    free = read_shape(options.free, "--free")
    problem = axes_problem(options.batch, options.batch_axis, free)
    if problem:
        raise fail("bad-option", Place("--free" if free else "--batch-axis"), problem)
    return EmitOptions(
        class_name=options.class_name,
        layout=options.layout,
        dtype=dtype,
        training_skeleton=options.training_skeleton,
        learnable_consts=options.learnable_consts,
        compress_broadcast_params=options.compress_broadcast_params,
        weights=options.weights,
        inline_limit=options.inline_limit,
        fuse=options.fuse,
        batch=options.batch,
        batch_axis=options.batch_axis,
        free=free,
        freeze=tuple(options.freeze),
        learn=tuple(options.learn),
    )
