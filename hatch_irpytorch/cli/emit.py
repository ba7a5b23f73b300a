"""`irpytorch emit`: one graph to one module, without a project."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.cli.command import new_command, positive, print_notes
from hatch_irpytorch.errors import Place, fail, nearest, shown

if TYPE_CHECKING:
    from hatch_irpytorch.emit.options import EmitOptions
    from hatch_irpytorch.emit.weights import TensorFile

_EXAMPLE = "irpytorch emit mlp.ir.json --params mlp.safetensors --class-name MLP -o mlp.py"


def add_to(subparsers: Any, doc: str) -> None:
    from hatch_irpytorch.emit.options import DEFAULT_CLASS_NAME, DTYPES, INLINE_LIMIT, WEIGHTS

    parser = new_command(subparsers, run, "emit", doc, _EXAMPLE)
    flag = argparse.BooleanOptionalAction
    parser.add_argument("ir", metavar="IR.json", type=Path, help="the graph")
    parser.add_argument("--params", type=Path, metavar="FILE", help="the ParamStore")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the module; default: standard output"
    )
    parser.add_argument("--class-name", default=DEFAULT_CLASS_NAME, metavar="NAME")
    parser.add_argument("--dtype", default="float32", help=", ".join(DTYPES))
    parser.add_argument("--training-skeleton", action=flag, default=True)
    parser.add_argument("--learnable-consts", action=flag, default=True)
    parser.add_argument("--compress-broadcast-params", action=flag, default=True)
    parser.add_argument("--weights", choices=WEIGHTS, default="inline")
    parser.add_argument("--inline-limit", type=positive, default=INLINE_LIMIT, metavar="N")
    parser.add_argument("--fuse", action="store_true", help="one call for several nodes")


def run(options: argparse.Namespace) -> int:
    from hatch_irpytorch.emit import emit_module
    from hatch_irpytorch.garbage import collection_paused
    from hatch_irpytorch.ir.read import read_model

    emit_options = _emit_options(options)
    output: Path | None = options.output
    weights_file = _weights_file(output) if emit_options.weights == "safetensors" else None
    name = options.ir.name
    with collection_paused():
        model = read_model(options.ir, options.params)
        emitted = emit_module(model, emit_options, origin=name, weights_file=weights_file)
    print_notes(model.notes)
    if output is None:
        print(emitted.source, end="")
        return 0
    _write(options, emitted.source.encode("utf-8"), emitted.weights)
    return 0


def _weights_file(output: Path | None) -> str:
    """The name of the weight file beside the module, which the module's source repeats."""
    if output is None:
        message = "`--weights safetensors` writes a second file and needs `-o FILE`"
        raise fail("bad-option", Place("--weights"), message)
    if not output.stem.isascii() or not output.stem.isidentifier():
        message = f"{shown(output.name)} must be an ASCII identifier before its suffix"
        raise fail("bad-name", Place("--output"), message)
    return output.with_suffix(".safetensors").name


def _write(options: argparse.Namespace, source: bytes, weights: TensorFile | None) -> None:
    """Replace only what an earlier run wrote: the module, and the weight file that it names."""
    from hatch_irpytorch.build.files import file_bytes, replace_file
    from hatch_irpytorch.build.ownership import has_module_mark

    output: Path = options.output
    before = file_bytes(output, str(output))
    if before is not None and not has_module_mark(before):
        message = "the file exists and was not written by hatch-irpytorch"
        raise fail("not-ours", Place(str(output)), message, "choose another name")
    if weights is not None:
        beside = output.with_suffix(".safetensors")
        named = before is not None and f'with_name("{beside.name}")'.encode() in before
        inputs = [options.ir.resolve(), *(p.resolve() for p in [options.params] if p is not None)]
        if beside.exists() and (not named or beside.resolve() in inputs):
            message = "the file exists and the module beside it does not name it as its weights"
            raise fail("not-ours", Place(str(beside)), message, "choose another name")
        replace_file(beside, weights, str(beside))
    replace_file(output, source, str(output))


def _emit_options(options: argparse.Namespace) -> EmitOptions:
    from hatch_irpytorch.emit.options import DTYPES, EmitOptions, class_name_problem, normal_dtype

    problem = class_name_problem(options.class_name)
    if problem:
        message = f"{shown(options.class_name)}: {problem}"
        raise fail("bad-name", Place("--class-name"), message)
    dtype = normal_dtype(options.dtype)
    if dtype is None:
        message = f"{shown(options.dtype)} is not one of {', '.join(DTYPES)}"
        raise fail("bad-option", Place("--dtype"), message, nearest(options.dtype, DTYPES))
    return EmitOptions(
        class_name=options.class_name,
        dtype=dtype,
        training_skeleton=options.training_skeleton,
        learnable_consts=options.learnable_consts,
        compress_broadcast_params=options.compress_broadcast_params,
        weights=options.weights,
        inline_limit=options.inline_limit,
        fuse=options.fuse,
    )
