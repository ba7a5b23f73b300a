"""What every command has: a parser whose help shows an example, and a way to print remarks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from typing import Any

from hatch_irpytorch.errors import Problem, shown

Run = Callable[[argparse.Namespace], int]


def new_command(
    subparsers: Any, run: Run, name: str, doc: str, example: str
) -> argparse.ArgumentParser:
    """The parser of a command; `run` returns the exit code."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=doc, description=doc, epilog=f"example: {example}"
    )
    parser.set_defaults(run=run)
    return parser


def add_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="a module; default: all")


_GENERATING = "how many processes generate models; default: all cores, where there is work for them"


def add_jobs(parser: argparse.ArgumentParser, text: str = _GENERATING) -> None:
    parser.add_argument("--jobs", type=positive, metavar="N", help=text)


def positive(text: str) -> int:
    """A number from 1 on, as an option has it."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, found {shown(text)}")
    return int(text)


def print_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)


def print_notes(notes: Iterable[Problem]) -> None:
    """Remarks about legal inputs: like problems, but called notes."""
    for note in notes:
        print(str(note).replace("error[", "note[", 1), file=sys.stderr)
