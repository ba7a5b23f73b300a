"""How many bytes of tensors a forward pass holds at once."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Memory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The bytes of all storages that live tensors hold, at most, while ops run; not the input's."""

    def __init__(self, x: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.callers = x.untyped_storage().data_ptr()
        self.live: dict[int, weakref.ref[torch.Tensor]] = {}
        self.peak: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (list, tuple)) else [result]:
            self.live[id(tensor)] = weakref.ref(tensor)
        held = [tensor for ref in self.live.values() if (tensor := ref()) is not None]
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in held}
        storages.pop(self.callers, None)
        self.peak = max(self.peak, sum(storages.values()))
        return result


def peak_of(run: Callable[[torch.Tensor], object], x: torch.Tensor) -> int:
    with torch.no_grad(), Memory(x) as memory:
        run(x)
    peak: int = memory.peak
    return peak
