"""Parse, dispatch, print errors; the exit code is 0, 1 for findings, 2 for bad input."""

from __future__ import annotations

import argparse
import sys

from hatch_irpytorch.errors import IRPyTorchError


def main(arguments: list[str] | None = None) -> int:
    """Run `irpytorch` with these arguments (default: those of the process)."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except IRPyTorchError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    from hatch_irpytorch.cli import commands

    parser = argparse.ArgumentParser(
        prog="irpytorch", description="torchlean.ir.v1 graphs as readable PyTorch modules"
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_commands(subparsers)
    return parser
