"""Tensors as safetensors bytes: what the plan of a module stores, or a whole ParamStore.

The format is a length, a JSON header and the data. It is written here because the library's own
writer changed its interface and its order of tensors between versions, and outputs must not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.emit.literals import rounded
from hatch_irpytorch.emit.plan import ModulePlan
from hatch_irpytorch.ir.ops import attribute_name
from hatch_irpytorch.ir.ops.convolution import Conv, pack_kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hatch_irpytorch.ir.graph import Model

    Array = NDArray[np.floating[Any]]

_CODES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_ALIGNMENT = 8


def weights_bytes(plan: ModulePlan) -> bytes:
    """The stored bindings of a plan, in its dtype."""
    tensors = {}
    for binding in plan.stored:
        assert binding.values is not None
        tensors[binding.name] = binding.values, plan.dtype
    return encode_tensors(tensors)


def store_bytes(model: Model, *, packed: bool) -> bytes:
    """A model's parameters by attribute name, each in the narrowest dtype that holds them.

    `packed` leaves the zeros of grouped kernels out; torchlean.ir.v1: 4.2 has them dense.
    """
    tensors: dict[str, tuple[Array, str]] = {}
    for node in model.graph.nodes:
        for slot in node.op.payload(*model.graph.parent_shapes(node)):
            array = model.params.get((node.id, slot.field))
            if array is None:
                continue
            if packed and slot.packed is not None:
                assert isinstance(node.op, Conv)
                array = pack_kernel(array, node.op.groups)
            name = attribute_name(node.op.prefix, node.id, slot.name)
            tensors[name] = array, _narrowest(array)
    return encode_tensors(tensors)


def _narrowest(array: Array) -> str:
    same = np.array_equal(rounded(array, "float32"), array, equal_nan=True)
    return "float32" if same else "float64"


def encode_tensors(tensors: Mapping[str, tuple[Array, str]]) -> bytes:
    """Arrays by name, each with its dtype, as safetensors: sorted by name, little-endian."""
    header: dict[str, dict[str, object]] = {}
    parts: list[bytes] = []
    end = 0
    for name, (values, dtype) in sorted(tensors.items()):
        data = _encoded(np.ascontiguousarray(values), dtype)
        start, end = end, end + len(data)
        header[name] = {
            "dtype": _CODES[dtype],
            "shape": list(values.shape),
            "data_offsets": [start, end],
        }
        parts.append(data)
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def _encoded(values: Array, dtype: str) -> bytes:
    if dtype == "bfloat16":
        words = values.astype("<f4").view("<u4") >> np.uint32(16)
        return words.astype("<u2").tobytes()
    return values.astype(np.dtype(dtype).newbyteorder("<")).tobytes()
