"""The weight file of a module: safetensors bytes of everything its plan stores."""

from __future__ import annotations

import numpy as np

from hatch_irpytorch.emit.plan import ModulePlan


def weights_bytes(plan: ModulePlan) -> bytes:
    """The stored bindings by name, in the plan's dtype, little-endian."""
    from safetensors import serialize

    tensors = {}
    for binding in sorted(plan.stored, key=lambda stored: stored.name):
        assert binding.values is not None
        data = _encoded(np.ascontiguousarray(binding.values), plan.dtype)
        tensors[binding.name] = {
            "dtype": plan.dtype,
            "shape": list(binding.shape),
            "data": data,
        }
    return bytes(serialize(tensors))


def _encoded(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], dtype: str) -> bytes:
    if dtype == "bfloat16":
        words = values.astype("<f4").view("<u4") >> np.uint32(16)
        return words.astype("<u2").tobytes()
    return values.astype(np.dtype(dtype).newbyteorder("<")).tobytes()
