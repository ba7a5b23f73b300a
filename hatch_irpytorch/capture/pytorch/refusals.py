"""Why torch.export refuses a module, in words of the user's: the input, or the way through it."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import nn

from hatch_irpytorch.capture.builder import first_line
from hatch_irpytorch.errors import IRPyTorchError, Place, fail
from hatch_irpytorch.ir.shapes import shape_text

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_NOT_USERS = (
    *(f"{Path(file).parent}{os.sep}" for file in (torch.__file__, __file__)),
    "<",
)
_BY_NUMBERS = re.compile(
    r"(?i)data.dependent|dynamic control flow|could not guard|symbolically trace|"
    r"branching on (?:data|tensor)|Tensor\.item|unbacked"
)
_WHOLE_NUMBERS = re.compile(
    r"(?i)scalar types? (?:Long|Int)|\bindices\b|used as ind(?:ex|ices)|integer (?:tensor|type)|"
    r"not implemented for '(?:Float|Double|Half|BFloat16)'|only integer tensors|(?:Long|Int)Tensor"
)
_NO_SHAPE = re.compile(r"NotImplementedError|\bdevice\b|uninitialized")
_OF_SHAPES = (RuntimeError, ValueError, LookupError, AssertionError, TypeError)


def definition(module: nn.Module, file: str) -> Place:
    """Where the user wrote `forward`."""
    code = getattr(getattr(module.forward, "__func__", None), "__code__", None)
    if code is None or code.co_filename.startswith(_NOT_USERS):
        return Place(file)
    return Place(shown_path(code.co_filename), code.co_firstlineno, 1)


def export_problem(
    error: BaseException,
    module: nn.Module,
    example: torch.Tensor,
    file: str,
    quietly: Callable[[nn.Module], AbstractContextManager[None]],
) -> IRPyTorchError:
    """The error for what torch.export raised; `forward` itself is asked whether it is its own."""
    own = _own_error(module, example, quietly)
    if own is None:
        place = own_place(str(error), file)
        hint = ""
        if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
            hint = "a part of it is compiled by TorchScript: capture what that was made of"
        elif _BY_NUMBERS.search(f"{type(error).__name__} {error}"):
            hint = "the path through `forward` must not depend on the numbers of the input"
        message = f"torch.export refuses the module: {first_line(error)}"
        return fail("capture-failed", place, message, hint)
    shape = shape_text(tuple(example.shape))
    said = f"{type(own).__name__}: {first_line(own)}"
    message = f"`forward` itself fails for an input of shape {shape}: {said}"
    hint = ""
    if _WHOLE_NUMBERS.search(str(own)):
        hint = "it may want whole numbers: say what they are below with `--tokens`"
    elif isinstance(own, _OF_SHAPES) and not _NO_SHAPE.search(said):
        hint = "is it the shape that the module takes?"
    place = own_place("".join(traceback.format_tb(own.__traceback__)), file)
    return fail("capture-failed", place, message, hint)


def _own_error(
    module: nn.Module,
    example: torch.Tensor,
    quietly: Callable[[nn.Module], AbstractContextManager[None]],
) -> BaseException | None:
    try:
        with quietly(module), torch.no_grad():
            module(example.clone())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's own code may raise anything
        return error
    return None


def own_place(trace: str, file: str) -> Place:
    """The innermost line of the user's own source in the text of a trace."""
    frames = [frame for frame in _FRAME.findall(trace) if not frame[0].startswith(_NOT_USERS)]
    return Place(shown_path(frames[-1][0]), int(frames[-1][1]), 1) if frames else Place(file)


def shown_path(path: str) -> str:
    """A source file relative to the working folder where it lies in it."""
    try:
        return Path(path).resolve().relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return path
