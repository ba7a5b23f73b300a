"""Parse, dispatch, tell errors; the exit code is 0, 1 for findings, 2 for bad input, 70, 130."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from warnings import catch_warnings, simplefilter

from hatch_irpytorch import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

COMMANDS = {
    "init": "add the hook to an existing project; each change is shown as a diff first",
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

_OPTIONS = {
    "json": "tell every problem and note as a line of JSON on stderr, none left out or cut",
    "debug": "add the traceback to an error",
}


def main(arguments: list[str] | None = None) -> int:
    """Run `irpytorch` with these arguments (default: those of the process)."""
    words = sys.argv[1:] if arguments is None else arguments
    with (
        redirect_stdout(_output(sys.stdout, "standard output")),
        redirect_stderr(_output(sys.stderr)),
        catch_warnings(),
    ):
        if not sys.warnoptions:
            # What libraries warn of is no problem with a place and a code, and no JSON.
            simplefilter("ignore")
        return _run(words)


def _run(words: list[str]) -> int:
    flags = {name: f"--{name}" in words for name in _OPTIONS}
    place = "irpytorch"
    try:
        options = _parser(words).parse_args(words)
        flags = {name: getattr(options, name) for name in _OPTIONS}
        place = f"irpytorch {options.command}"
        from hatch_irpytorch.cli.command import use_json

        use_json(flags["json"])
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except _Answered:
        sys.stdout.flush()
        return 0
    except BaseException as error:
        return _told(error, place, flags)


def _told(error: BaseException, place: str, flags: dict[str, bool]) -> int:
    from hatch_irpytorch.cli.command import print_problems, use_json
    from hatch_irpytorch.unforeseen import ending

    if flags["debug"]:
        import traceback

        traceback.print_exception(error)
    use_json(flags["json"])
    found = ending(error, place)
    print_problems(found.problems)
    return found.code


def _output(stream: Any, name: str = "") -> Any:
    if stream is None:
        stream = open(os.devnull, "w")  # noqa: PTH123, SIM115
    return _Output(stream, name)


class _Output:
    """A stream whose reader may go away, as `head` does, while the command goes on.

    With a name a disk that is full is an error, without one it is passed over.
    """

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name
        if hasattr(stream, "reconfigure"):
            # A diff may show what the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError as error:
            self._ended(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._ended(error)

    def _ended(self, error: OSError) -> None:
        """What is still to be written goes nowhere: Python writes it at its own end otherwise."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if self._name and not isinstance(error, BrokenPipeError):
            from hatch_irpytorch.errors import Place, fail

            message = f"it cannot be written: {error.strerror}"
            raise fail("cannot-write", Place(self._name), message) from None


class _Answered(BaseException):
    """The command line was a question, `--help` or `--version`, and is answered."""


class _Parser(argparse.ArgumentParser):
    """Wrong usage is an error like all others: one line, with a place and a code."""

    def error(self, message: str) -> NoReturn:
        from hatch_irpytorch.errors import Place, fail

        raise fail("bad-option", Place(self.prog), message, f"see `{self.prog} --help`")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise _Answered


def _parser(words: list[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="irpytorch", description="torchlean.ir.v1 graphs as readable PyTorch modules"
    )
    parser.add_argument("--version", action="version", version=f"irpytorch {__version__}")
    for name, doc in _OPTIONS.items():
        parser.add_argument(f"--{name}", action="store_true", help=doc)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    named = next((word for word in words if not word.startswith("-")), None)
    for command, doc in COMMANDS.items():
        if command == named:
            module = import_module(f"hatch_irpytorch.cli.{command.replace('-', '_')}")
            module.add_to(subparsers, doc)
            for name, text in _OPTIONS.items():
                own = subparsers.choices[command]
                own.add_argument(
                    f"--{name}", action="store_true", default=argparse.SUPPRESS, help=text
                )
        else:
            subparsers.add_parser(command, help=doc)
    return parser
