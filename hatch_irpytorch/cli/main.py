"""Parse, dispatch, print errors; the exit code is 0, 1 for findings, 2 for bad input."""

from __future__ import annotations

import argparse
import io
import os
import sys

from hatch_irpytorch import __version__
from hatch_irpytorch.cli import capture, check, emit, export, import_onnx, regen, schema, verify
from hatch_irpytorch.errors import IRPyTorchError

_COMMANDS = (regen, check, verify, emit, capture, import_onnx, export, schema)


def main(arguments: list[str] | None = None) -> int:
    """Run `irpytorch` with these arguments (default: those of the process)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A diff may show what the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="irpytorch", description="torchlean.ir.v1 graphs as readable PyTorch modules"
    )
    parser.add_argument("--version", action="version", version=f"irpytorch {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_to(subparsers)
    return parser
