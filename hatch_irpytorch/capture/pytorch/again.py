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

_WIDE = (torch.float32, torch.float64)

Outputs = list[np.ndarray[Any, np.dtype[np.floating[Any]]]]


def gives_the_same_again(module: nn.Module, example: torch.Tensor) -> bool:
    """Whether two calls in a row agree; a module that cannot be called says nothing against it."""
    try:
        with in_eval_mode(module), torch.no_grad():
            first, second = (outputs_of(module(example.clone())) for _ in range(2))
    except Exception:
        return True
    pairs = zip(first, second, strict=False)
    return len(first) == len(second) and all(agree(a, b, _CLOSE) for a, b in pairs)


def agree(found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any], close: float) -> bool:
    """Whether outputs differ by at most `close`, of each number and of the largest finite one."""
    if found.shape != wanted.shape:
        return False
    largest = np.abs(wanted).max(initial=0.0, where=np.isfinite(wanted))
    with np.errstate(over="ignore"):
        return np.allclose(found, wanted, rtol=close, atol=close * largest, equal_nan=True)


def outputs_of(returned: Any) -> Outputs:
    """Every tensor that a call returns, in its dtype where that is float32 or wider."""
    tensors = [leaf for leaf in tree_leaves(returned) if isinstance(leaf, torch.Tensor)]
    return [
        (tensor if tensor.dtype in _WIDE else tensor.double()).detach().cpu().numpy()
        for tensor in tensors
    ]


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
