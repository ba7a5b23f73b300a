"""Parse, dispatch, print errors; the exit code is 0, 1 for findings, 2 for bad input."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from hatch_irpytorch import __version__

COMMANDS = {
    "regen": "bring the generated package and the golden files up to date; print what changed",
    "check": "show what `regen` would change; exit code 1 if there is anything",
    "verify": "import, run and compare the generated modules; needs torch; exit code 1 on findings",
    "emit": "write the module of one graph, without a project",
    "capture": "write an nn.Module as a graph, its parameters and a manifest; needs torch",
    "import-onnx": "write an ONNX file as a graph, its parameters and a manifest; needs onnx",
    "export": "write a model as torchlean.ir.v1 with its payload inside, or its ParamStore",
    "schema": "print the JSON schema of a manifest",
}
"""Each command with what it does; its module is imported when it is the one that was named."""


def main(arguments: list[str] | None = None) -> int:
    """Run `irpytorch` with these arguments (default: those of the process)."""
    words = sys.argv[1:] if arguments is None else arguments
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        # A diff may show what the terminal's encoding lacks.
        reconfigure(errors="backslashreplace")
    options = _parser(words).parse_args(words)
    from hatch_irpytorch.errors import IRPyTorchError

    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except IRPyTorchError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read us, `head` for one, has what it wanted; nothing is left to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def _parser(words: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="irpytorch", description="torchlean.ir.v1 graphs as readable PyTorch modules"
    )
    parser.add_argument("--version", action="version", version=f"irpytorch {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    named = next((word for word in words if not word.startswith("-")), None)
    for command, doc in COMMANDS.items():
        if command == named:
            module = import_module(f"hatch_irpytorch.cli.{command.replace('-', '_')}")
            module.add_to(subparsers, doc)
        else:
            subparsers.add_parser(command, help=doc)
    return parser
