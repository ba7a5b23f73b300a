"""The example of a module's input, and the arrays that its other inputs are bound to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from hatch_irpytorch.capture.builder import first_line
from hatch_irpytorch.errors import Place, fail, shown

_WHOLE = (torch.int64, torch.int32)


def require_example(example: object, tokens: int | None, file: str) -> None:
    """Raise where an example is no tensor of reals or, below `tokens`, of whole numbers."""
    if not isinstance(example, torch.Tensor):
        message = f"the example must be one tensor, found {type(example).__name__}"
        raise fail("capture-failed", Place(file), message)
    dtype = str(example.dtype).removeprefix("torch.")
    if tokens is None:
        if example.dtype.is_floating_point:
            return
        message = f"the example must be one tensor of floating point numbers, found {dtype}"
        hint = "of whole numbers say what they are below, with `tokens`"
        raise fail("capture-failed", Place(file), message, hint)
    if example.dtype not in _WHOLE:
        message = f"with `tokens` the example must be of int64 or int32, found {dtype}"
        raise fail("capture-failed", Place(file), message)
    if type(tokens) is not int or tokens < 1:
        message = f"`tokens` must be a number from 1 on, found {shown(tokens)}"
        raise fail("bad-option", Place(file), message)
    if example.numel() and not 0 <= int(example.min()) <= int(example.max()) < tokens:
        message = f"the example must hold whole numbers from 0 to {tokens - 1}"
        raise fail("capture-failed", Place(file), message)


def tensors(bind: Mapping[str, Any], module: nn.Module) -> dict[str, torch.Tensor]:
    """Bound arrays as tensors; those of reals get the dtype of the module's own."""
    kind = dtype_of(module)
    found = {}
    for name, array in bind.items():
        try:
            given = isinstance(array, torch.Tensor)
            tensor = array.detach().clone() if given else torch.tensor(np.asarray(array))
        except (TypeError, ValueError, RuntimeError) as error:
            message = f"what is bound to {shown(name)} is no tensor: {first_line(error)}"
            raise fail("capture-failed", Place(type(module).__name__), message) from None
        found[name] = tensor.to(kind) if tensor.dtype.is_floating_point else tensor
    return found


def dtype_of(module: nn.Module) -> torch.dtype:
    """The dtype of the first real numbers that a module holds."""
    held = (tensor.dtype for tensor in (*module.parameters(), *module.buffers()))
    return next((dtype for dtype in held if dtype.is_floating_point), torch.float32)
