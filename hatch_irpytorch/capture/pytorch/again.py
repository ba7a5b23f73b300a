"""Whether a module gives the same when it is called again, by calling it; its state is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from hatch_irpytorch.capture.pytorch.program import in_eval_mode

_CLOSE = 1e-4
"""Far above what the order of sums changes, far below what a counter does."""


def gives_the_same_again(module: nn.Module, example: torch.Tensor) -> bool:
    """Whether two calls in a row agree; a module that cannot be called says nothing against it."""
    try:
        with in_eval_mode(module), torch.no_grad():
            first, second = (outputs_of(module(example.clone())) for _ in range(2))
    except Exception:
        return True
    return len(first) == len(second) and all(map(_close, first, second))


def _close(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    if one.shape != other.shape:
        return False
    largest = np.abs(one[np.isfinite(one)]).max(initial=0.0)
    return np.allclose(one, other, rtol=_CLOSE, atol=_CLOSE * largest, equal_nan=True)


def outputs_of(returned: Any) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    """Every tensor that a call returns."""
    tensors = [leaf for leaf in tree_leaves(returned) if isinstance(leaf, torch.Tensor)]
    return [tensor.detach().double().cpu().numpy() for tensor in tensors]


@contextmanager
def kept_state(module: nn.Module, names: Iterable[str]) -> Iterator[None]:
    """The named parameters and buffers of a module as they were, whatever is called meanwhile."""
    saved = []
    for name in names:
        path, _, key = name.rpartition(".")
        owner = module.get_submodule(path)
        tensors: dict[str, Any] = owner._parameters if key in owner._parameters else owner._buffers
        tensor = tensors.get(key)
        if tensor is not None:
            saved.append((tensors, key, tensor, tensor.detach().clone()))
    try:
        yield
    finally:
        with torch.no_grad():
            for tensors, key, tensor, numbers in saved:
                tensors[key] = tensor.copy_(numbers)
