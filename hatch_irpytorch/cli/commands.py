"""The commands that need no torch: regen, check, emit, schema."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.errors import Place, fail, nearest, shown

if TYPE_CHECKING:
    from hatch_irpytorch.build.outputs import Difference
    from hatch_irpytorch.emit.options import EmitOptions


def add_commands(subparsers: Any) -> None:
    regen = _command(
        subparsers, "regen", "bring the generated package up to date", "irpytorch regen"
    )
    regen.set_defaults(run=run_regen)
    check = _command(subparsers, "check", "show what `regen` would change", "irpytorch check")
    check.set_defaults(run=run_check)
    emit = _command(
        subparsers,
        "emit",
        "one graph to one module, without a project",
        "irpytorch emit mlp.ir.json --params mlp.safetensors --class-name MLP -o mlp.py",
    )
    _add_emit_arguments(emit)
    emit.set_defaults(run=run_emit)
    schema = _command(
        subparsers,
        "schema",
        "print the JSON schema of a manifest",
        "irpytorch schema > schema.json",
    )
    schema.set_defaults(run=run_schema)


def _command(subparsers: Any, name: str, doc: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=doc, description=doc, epilog=f"example: {example}"
    )
    return parser


def run_regen(options: argparse.Namespace) -> int:
    from hatch_irpytorch.build.generate import regenerate
    from hatch_irpytorch.project import find_project

    changed, notes = regenerate(find_project(Path()), skip_current=False)
    for note in notes:
        print(str(note).replace("error[", "note[", 1), file=sys.stderr)
    for path in changed:
        print(path)
    return 0


def run_check(options: argparse.Namespace) -> int:
    from hatch_irpytorch.build.generate import differences
    from hatch_irpytorch.build.outputs import describe
    from hatch_irpytorch.project import find_project

    found = differences(find_project(Path()))
    for difference in found:
        print("".join(_unified_diff(difference)), end="")
    for difference in found:
        print(describe(difference), file=sys.stderr)
    return 1 if found else 0


def _unified_diff(difference: Difference) -> list[str]:
    before = (difference.before or b"").decode("utf-8", "replace").splitlines(keepends=True)
    after = (difference.after or b"").decode("utf-8", "replace").splitlines(keepends=True)
    if difference.path.endswith(".safetensors"):
        return [f"{difference.path}: binary files differ\n"]
    names = f"{difference.path} on disk", f"{difference.path} regenerated"
    return list(difflib.unified_diff(before, after, *names))


def _add_emit_arguments(parser: argparse.ArgumentParser) -> None:
    from hatch_irpytorch.emit.options import DEFAULT_CLASS_NAME, WEIGHTS

    flag = argparse.BooleanOptionalAction
    parser.add_argument("ir", metavar="IR.json", type=Path)
    parser.add_argument("--params", type=Path, metavar="FILE")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE")
    parser.add_argument("--class-name", default=DEFAULT_CLASS_NAME)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--training-skeleton", action=flag, default=True)
    parser.add_argument("--learnable-consts", action=flag, default=True)
    parser.add_argument("--compress-broadcast-params", action=flag, default=True)
    parser.add_argument("--weights", choices=WEIGHTS, default="inline")


def run_emit(options: argparse.Namespace) -> int:
    from hatch_irpytorch.emit import emit_module
    from hatch_irpytorch.ir.read import read_model

    emit_options = _emit_options(options)
    output: Path | None = options.output
    if emit_options.weights == "safetensors" and output is None:
        message = "`--weights safetensors` writes a second file and needs `-o FILE`"
        raise fail("bad-option", Place("--weights"), message)
    model = read_model(options.ir, options.params)
    weights_file = output.with_suffix(".safetensors").name if output else None
    emitted = emit_module(model, emit_options, origin=options.ir.name, weights_file=weights_file)
    if output is None:
        print(emitted.source, end="")
        return 0
    _write_emitted(output, emitted.source.encode("utf-8"), emitted.weights)
    return 0


def _write_emitted(output: Path, source: bytes, weights: bytes | None) -> None:
    from hatch_irpytorch.build.outputs import OUR_FIRST_WORDS, file_bytes, replace_file

    before = file_bytes(output)
    if before is not None and not before.startswith(OUR_FIRST_WORDS):
        message = "the file exists and was not written by hatch-irpytorch"
        raise fail("not-ours", Place(str(output)), message, "choose another name")
    if weights is not None:
        beside = output.with_suffix(".safetensors")
        if before is None and beside.exists():
            raise fail("not-ours", Place(str(beside)), "the weight file exists already")
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
    )


def run_schema(options: argparse.Namespace) -> int:
    from hatch_irpytorch.manifest import manifest_schema

    print(json.dumps(manifest_schema(), indent=2))
    return 0
