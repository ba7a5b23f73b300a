"""The ONNX element type of every tensor: said by the file, or by the standard's rule for an op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import onnx
from onnx import TensorProto

from hatch_irpytorch.capture.builder import Builder, Value
from hatch_irpytorch.capture.entries.dtypes import require_dtype, require_integers
from hatch_irpytorch.capture.onnx.tensors import Constant

UNTOLD = int(TensorProto.UNDEFINED)
"""The type of what no op made and no file declares."""

REALS = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
)
INTEGERS = frozenset(
    {
        *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64),
        *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
        *(TensorProto.INT4, TensorProto.UINT4),
    }
)

_SAID_BY = ("to", "dtype", "output_dtype", "output_datatype", "value")
"""Attributes that say an element type, or hold a tensor that has one."""

_UNSAID = {
    "ConstantOfShape": int(TensorProto.FLOAT),
    "QuantizeLinear": int(TensorProto.UINT8),
    **dict.fromkeys(("BlackmanWindow", "HammingWindow", "HannWindow"), int(TensorProto.FLOAT)),
}
"""What an op makes whose inputs and attributes do not say it."""


def kind_of(array: Constant) -> int:
    """The element type of numbers, booleans or text."""
    if array.dtype.kind in "OSU":
        return int(TensorProto.STRING)
    return int(onnx.helper.np_dtype_to_tensor_dtype(array.dtype))


def dtype_name(kind: int) -> str:
    """An element type as NumPy calls it."""
    return str(onnx.helper.tensor_dtype_to_np_dtype(kind))


def require_kind(b: Builder, x: Value | None, kind: int) -> None:
    """Raise `InexpressibleError` where a file rounds to an element type and the graph does not."""
    if x is not None and kind in REALS:
        require_dtype(b, x, dtype_name(kind))
    if x is not None and kind in INTEGERS:
        require_integers(b, x, dtype_name(kind))


def output_kinds(
    node: onnx.NodeProto, opset: int, given: Sequence[int], attributes: Mapping[str, Any]
) -> list[int]:
    """The element types of the outputs of a node for inputs of the types `given`.

    By the signature of the op: an output has the type of the inputs that share its type variable,
    the one type that the op allows, or the type that an attribute says. An op that the standard
    does not have keeps the type of its first input.
    """
    first = given[0] if given else int(TensorProto.FLOAT)
    signature = _signature("" if node.domain == "ai.onnx" else node.domain, node.op_type, opset)
    if signature is None:
        return [first] * len(node.output)
    inputs, outputs = signature
    bound: dict[object, int] = {}
    for position, kind in enumerate(given):
        if kind != UNTOLD and inputs:
            bound.setdefault(inputs[min(position, len(inputs) - 1)], kind)
    unbound = _said(attributes) or _UNSAID.get(node.op_type, first)
    variables = [outputs[min(i, len(outputs) - 1)] for i in range(len(node.output)) if outputs]
    return [v if isinstance(v, int) else bound.get(v, unbound) for v in variables]


def _said(attributes: Mapping[str, Any]) -> int:
    for name in _SAID_BY:
        value = attributes.get(name)
        if isinstance(value, TensorProto):
            return int(value.data_type)
        if isinstance(value, int) and value:
            return value
    return UNTOLD


@lru_cache(maxsize=4096)
def _signature(
    domain: str, op: str, opset: int
) -> tuple[tuple[object, ...], tuple[object, ...]] | None:
    """The types of inputs and outputs: an element type, or the name of a type variable."""
    schema: Any
    try:
        schema = onnx.defs.get_schema(op, opset, domain)
    except onnx.defs.SchemaError:
        return None
    allowed = {v.type_param_str: v.allowed_type_strs for v in schema.type_constraints}

    def settled(text: str) -> object:
        types = allowed.get(text, [text])
        return _ELEMENTS.get(types[0], text) if len(types) == 1 else text

    return (
        tuple(settled(value.type_str) for value in schema.inputs),
        tuple(settled(value.type_str) for value in schema.outputs),
    )


_ELEMENTS = {f"tensor({name.lower()})": number for name, number in TensorProto.DataType.items()}
