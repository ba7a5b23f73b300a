"""A module named on the command line: imported, made, given its state, captured."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from hatch_irpytorch.capture.pytorch.convert import from_torch
from hatch_irpytorch.emit.options import normal_dtype
from hatch_irpytorch.errors import Place, fail, shown
from hatch_irpytorch.ir.graph import Model

_PLACE = Place("MODULE:FACTORY")


@dataclass(frozen=True)
class Made:
    """A captured module: its graph, the name of its class and the dtype of its parameters."""

    model: Model
    class_name: str
    dtype: str


def capture_factory(
    factory: str, shape: tuple[int, ...], state_dict: Path | None, seed: int
) -> Made:
    """The module that `package.module:attribute` is or returns, captured for one input shape.

    `seed` is torch's when the attribute is called. Raises `IRPyTorchError`; what the user's own
    code raises passes through.
    """
    torch.manual_seed(seed)
    module = load_module(factory)
    if state_dict is not None:
        _load_state(module, state_dict)
    tensors = [*module.parameters(), *module.buffers()]
    kinds = [tensor.dtype for tensor in tensors if tensor.dtype.is_floating_point]
    dtype = kinds[0] if kinds else torch.float32
    model = from_torch(module, torch.rand(shape, dtype=dtype))
    return Made(model, type(module).__name__, normal_dtype(str(dtype)) or "float32")


def load_module(factory: str) -> nn.Module:
    """The module that `package.module:attribute` is, or returns when it is called."""
    name, colon, attribute = factory.partition(":")
    if not colon or not all(part.isidentifier() for part in (*name.split("."), attribute)):
        message = f"expected `package.module:Factory`, found {shown(factory)}"
        raise fail("bad-option", _PLACE, message)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(import_module(name), attribute)
    except (ImportError, AttributeError) as error:
        raise fail("import-failed", _PLACE, str(error)) from None
    if isinstance(found, nn.Module):
        return found
    module = found() if callable(found) else found
    if not isinstance(module, nn.Module):
        message = f"{shown(factory)} gives {type(module).__name__}, not a torch.nn.Module"
        raise fail("bad-option", _PLACE, message)
    return module


def _load_state(module: nn.Module, path: Path) -> None:
    try:
        module.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        first = str(error).strip().replace("\n", " ")[:300]
        raise fail("bad-params", Place(path.as_posix()), first) from None
