"""What every command has: a parser whose help shows an example, and a way to print remarks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

from hatch_irpytorch.errors import Problem, shown, told_lines

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


def natural(text: str) -> int:
    """A number from 0 on, as an option has it."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, found {shown(text)}")
    return int(text)


def add_patterns(parser: argparse.ArgumentParser) -> None:
    """`--freeze` and `--learn`, each as often as wanted."""
    for name, text in (
        ("--freeze", "parameters that are not learned, by a pattern such as `layer1.*`"),
        ("--learn", "parameters that are learned although `--freeze` or the source says no"),
    ):
        parser.add_argument(
            name, action="append", default=[], type=_pattern, metavar="PATTERN", help=text
        )


def _pattern(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected a pattern of names, found nothing")
    return text


def print_problems(problems: Iterable[Problem]) -> None:
    """Tell what is wrong, on stderr."""
    _print(problems, "error")


def print_notes(notes: Iterable[Problem]) -> None:
    """Tell remarks about legal inputs: like problems, but called notes."""
    _print(notes, "note")


_as_json = ContextVar("_as_json", default=False)


def use_json(wanted: bool) -> None:
    """Whether `print_problems` and `print_notes` write JSON from now on."""
    _as_json.set(wanted)


def _print(problems: Iterable[Problem], severity: str) -> None:
    lines = told_lines(problems, severity)
    if _as_json.get():
        lines = (_json_line(problem, severity) for problem in problems)
    for line in lines:
        print(line, file=sys.stderr)


def _json_line(problem: Problem, severity: str) -> str:
    import json

    place = problem.place
    fields = {
        "severity": severity,
        "code": problem.code,
        "file": place.file,
        "line": place.line or None,
        "column": place.column or None,
        "node": place.node,
        "kind": place.kind or None,
        "message": problem.message,
        "hint": problem.hint or None,
        "field": problem.field or None,
        "expected": problem.expected or None,
        "found": problem.found or None,
    }
    return json.dumps(fields)
