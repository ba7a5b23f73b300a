"""How a command or a build ends when something is raised: what is told, and the exit code."""

from __future__ import annotations

from typing import NamedTuple

from hatch_irpytorch.errors import IRPyTorchError, Place, Problem, text_of

BAD_INPUT = 2
INTERNAL = 70
INTERRUPTED = 130
_REPORT = "please report it with the command and its input; `--debug` shows where it came from"


class Ending(NamedTuple):
    """The problems to tell, and the exit code."""

    problems: tuple[Problem, ...]
    code: int

    @property
    def text(self) -> str:
        """The problems as lines, as every error of ours reads."""
        return str(IRPyTorchError(self.problems))


def ending(error: BaseException, where: str = "irpytorch") -> Ending:
    """How to end after any exception; `where` is the place of what names none of its own.

    Bad input is told as it is. What the machine refuses has words of its own; all that remains is
    a mistake of this project, told in one sentence.
    """
    if isinstance(error, IRPyTorchError):
        return Ending(error.problems, BAD_INPUT)
    if isinstance(error, KeyboardInterrupt):
        return Ending((Problem("interrupted", Place(where), "stopped by Ctrl-C"),), INTERRUPTED)
    if isinstance(error, MemoryError):
        message = "there is too little memory for this"
        hint = "give it less at once, or a machine with more"
        return Ending((Problem("out-of-memory", Place(where), message, hint),), BAD_INPUT)
    if isinstance(error, RecursionError):
        message = "an input is nested too deeply, or refers to itself"
        return Ending((Problem("too-deep", Place(where), message),), BAD_INPUT)
    if isinstance(error, OSError):
        return Ending((_refusal(error, where),), BAD_INPUT)
    message = f"this was not foreseen: {type(error).__name__}: {_first_line(error)}"
    return Ending((Problem("internal", Place(where), message, _REPORT),), INTERNAL)


def _refusal(error: OSError, where: str) -> Problem:
    """What the operating system refused, and for which file where it says that."""
    name = error.filename
    file = name if isinstance(name, str) and name else where
    why = error.strerror or _first_line(error)
    if "temporary" in why:
        hint = "set TMPDIR to a folder that can be written to"
        return Problem(
            "system", Place(where), "there is no usable folder for temporary files", hint
        )
    return Problem("system", Place(file), f"the system refuses it: {why}")


def _first_line(error: BaseException) -> str:
    lines = (line.strip() for line in text_of(error).splitlines())
    return next(filter(None, lines), "no message")
