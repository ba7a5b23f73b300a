"""A module named on the command line: imported, made, given its state, captured."""

from __future__ import annotations

import inspect
import math
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from hatch_irpytorch.build.export import STORE_ENDING
from hatch_irpytorch.capture.builder import first_line
from hatch_irpytorch.capture.pytorch.convert import from_torch
from hatch_irpytorch.capture.pytorch.examples import dtype_of
from hatch_irpytorch.capture.pytorch.refusals import shown_path
from hatch_irpytorch.emit.options import normal_dtype
from hatch_irpytorch.errors import IRPyTorchError, Place, fail, nearest, shown, text_of
from hatch_irpytorch.ir.graph import Model
from hatch_irpytorch.source.reading import require_file

MAX_ENTRIES = 1 << 27
"""No input that is captured has more: half a gigabyte of float32."""

_PLACE = Place("MODULE:FACTORY")


@dataclass(frozen=True)
class Made:
    """A captured module: its graph, the name of its class and the dtype of its parameters."""

    model: Model
    class_name: str
    dtype: str


@dataclass(frozen=True)
class Wanted:
    """How a module is captured: the shape of its input, and what `capture.from_torch` takes."""

    shape: tuple[int, ...]
    tokens: int | None = None
    parameter: str = ""
    bind: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    keep: Sequence[str] = ()


def capture_factory(
    factory: str, wanted: Wanted, state_dict: Path | None = None, seed: int = 0
) -> Made:
    """The module that `package.module:attribute` is or returns, captured for one input shape.

    `seed` is torch's when the attribute is called. Raises `IRPyTorchError`, also for what the
    user's own code raises; what that prints goes to stderr.
    """
    if math.prod(wanted.shape) > MAX_ENTRIES:
        message = f"an input has at most {MAX_ENTRIES} entries, this shape has more"
        raise fail("too-large", Place("--shape"), message)
    if not -(1 << 63) <= seed < 1 << 64:
        raise fail("bad-option", Place("--seed"), "a seed of torch has at most 64 bits")
    if state_dict is not None:
        _require_state(state_dict)
    torch.manual_seed(seed)
    with redirect_stdout(sys.stderr):
        module = load_module(factory)
        if state_dict is not None:
            _load_state(module, state_dict)
        with _users_code(f"listing the parameters of {shown(factory)}", "capture-failed"):
            dtype = dtype_of(module)
        model = from_torch(
            module,
            _example(wanted.shape, dtype, wanted.tokens),
            tokens=wanted.tokens,
            parameter=wanted.parameter,
            bind=wanted.bind,
            keep=wanted.keep,
        )
    return Made(model, type(module).__name__, normal_dtype(str(dtype)) or "float32")


def _example(shape: tuple[int, ...], dtype: torch.dtype, tokens: int | None) -> torch.Tensor:
    try:
        if tokens is not None:
            return torch.randint(tokens, shape)
        return torch.rand(shape, dtype=torch.float32).to(dtype)
    except (RuntimeError, TypeError) as error:
        message = f"no input of this shape can be made: {first_line(error)}"
        raise fail("bad-option", Place("--shape"), message) from None


def load_module(factory: str) -> nn.Module:
    """The module that `package.module:attribute` is, or returns when it is called."""
    name, colon, attribute = factory.partition(":")
    if not colon or not all(part.isidentifier() for part in (*name.split("."), attribute)):
        message = f"expected `package.module:Factory`, found {shown(factory)}"
        raise fail("bad-option", _PLACE, message)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    with _users_code(f"importing {shown(name)}", "import-failed"):
        source = import_module(name)
    try:
        with _users_code(f"looking up {shown(attribute)}", "import-failed", AttributeError):
            found = getattr(source, attribute)
    except AttributeError as error:
        hint = nearest(attribute, (word for word in dir(source) if not word.startswith("_")))
        raise fail("import-failed", _PLACE, str(error), hint) from None
    if isinstance(found, nn.Module):
        return found
    module = found
    if callable(found):
        hint = ""
        if _needs_arguments(found):
            hint = "it is called without arguments; name a function that takes none"
        with _users_code(f"calling {shown(factory)}", "capture-failed", hint=hint):
            module = found()
    if not isinstance(module, nn.Module):
        message = f"{shown(factory)} gives {type(module).__name__}, not a torch.nn.Module"
        raise fail("bad-option", _PLACE, message)
    return module


def _needs_arguments(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    except ValueError:
        return False
    return False


@contextmanager
def _users_code(
    doing: str, code: str, passed: type[Exception] | tuple[()] = (), *, hint: str = ""
) -> Iterator[None]:
    """What the user's own code raises, `SystemExit` too, as an error at its line."""
    try:
        yield
    except (KeyboardInterrupt, IRPyTorchError, MemoryError):
        raise
    except BaseException as error:
        if passed and isinstance(error, passed):
            raise
        message = f"{doing} raised {type(error).__name__}: {first_line(error)}"
        raise fail(code, _raised_at(error), message, hint) from error


def _raised_at(error: BaseException) -> Place:
    """The innermost line of a file below the working folder."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return Place(shown_path(error.filename), error.lineno, error.offset or 1)
    frames = [
        (shown_path(frame.filename), frame.lineno or 1)
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    own = [frame for frame in frames if not Path(frame[0]).is_absolute() and frame[0][:1] != "<"]
    return Place(own[-1][0], own[-1][1], 1) if own else _PLACE


def _require_state(path: Path) -> None:
    """Raise what stands against reading a state dict: its ending, or that it is no file."""
    place = Place(path.as_posix())
    if path.suffix != STORE_ENDING:
        message = f"parameters must be a file that ends in `{STORE_ENDING}`"
        hint = "write it with `safetensors.torch.save_file(module.state_dict(), FILE)`"
        raise fail("bad-params", place, message, hint)
    require_file(path, place.file)


def _load_state(module: nn.Module, path: Path) -> None:
    place = Place(path.as_posix())
    try:
        state = load_file(path)
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise fail("bad-params", place, first_line(error)) from None
    try:
        with _users_code(f"loading {shown(path.name)}", "capture-failed", RuntimeError):
            module.load_state_dict(state)
    except RuntimeError as error:
        told = text_of(error).strip().replace("\n", " ")[:300]
        raise fail("bad-params", place, told) from None
