"""The weight file of a module: safetensors bytes of everything its plan stores.

The format is a length, a JSON header and the data. It is written here because the library's own
writer changed its interface and its order of tensors between versions, and outputs must not.
"""

from __future__ import annotations

import json

import numpy as np

from hatch_irpytorch.emit.plan import ModulePlan

_CODES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_ALIGNMENT = 8


def weights_bytes(plan: ModulePlan) -> bytes:
    """The stored bindings sorted by name, in the plan's dtype, little-endian."""
    header: dict[str, dict[str, object]] = {}
    parts: list[bytes] = []
    end = 0
    for binding in sorted(plan.stored, key=lambda stored: stored.name):
        assert binding.values is not None
        data = _encoded(np.ascontiguousarray(binding.values), plan.dtype)
        start, end = end, end + len(data)
        header[binding.name] = {
            "dtype": _CODES[plan.dtype],
            "shape": list(binding.shape),
            "data_offsets": [start, end],
        }
        parts.append(data)
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def _encoded(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], dtype: str) -> bytes:
    if dtype == "bfloat16":
        words = values.astype("<f4").view("<u4") >> np.uint32(16)
        return words.astype("<u2").tobytes()
    return values.astype(np.dtype(dtype).newbyteorder("<")).tobytes()
