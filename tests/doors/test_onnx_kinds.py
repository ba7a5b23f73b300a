"""The element type of every name of an ONNX file, by the standard's own signatures."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_files import make_node

from hatch_irpytorch.capture.onnx.file import attributes_of
from hatch_irpytorch.capture.onnx.kinds import kind_of, output_kinds

F, D, H, I64, U8, I8, B = (
    *(TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT64),
    *(TensorProto.UINT8, TensorProto.INT8, TensorProto.BOOL),
)
HALVES = helper.make_tensor("v", H, [1], [1.0])
RULES: list[tuple[str, int, list[int], dict[str, Any], list[int]]] = [
    ("Cast", 13, [F], {"to": H}, [H]),
    ("CastLike", 19, [F, I64], {}, [I64]),
    ("Equal", 13, [F, F], {}, [B]),
    ("IsNaN", 13, [H], {}, [B]),
    ("Shape", 13, [F], {}, [I64]),
    ("ArgMax", 13, [F], {}, [I64]),
    ("NonZero", 13, [B], {}, [I64]),
    ("Where", 13, [B, D, D], {}, [D]),
    ("OneHot", 13, [I64, I64, H], {}, [H]),
    ("TopK", 13, [D, I64], {}, [D, I64]),
    ("Split", 13, [H], {}, [H, H]),
    ("ConstantOfShape", 13, [I64], {}, [F]),
    ("ConstantOfShape", 13, [I64], {"value": HALVES}, [H]),
    ("EyeLike", 13, [I64], {}, [I64]),
    ("EyeLike", 13, [I64], {"dtype": F}, [F]),
    ("QuantizeLinear", 13, [F, F], {}, [U8]),
    ("QuantizeLinear", 13, [F, F, I8], {}, [I8]),
    ("DequantizeLinear", 13, [U8, F, U8], {}, [F]),
    ("DequantizeLinear", 21, [U8, H, U8], {}, [H]),
    ("NotOfTheStandard", 13, [D, F], {}, [D]),
]


@pytest.mark.parametrize(
    ("op", "opset", "given", "attributes", "wanted"), RULES, ids=[rule[0] for rule in RULES]
)
def test_types_of_outputs(
    op: str, opset: int, given: list[int], attributes: dict[str, Any], wanted: list[int]
) -> None:
    outputs = [f"y{i}" for i in range(len(wanted))]
    node = make_node(op, ["x"] * len(given), outputs, **attributes)
    assert output_kinds(node, opset, given, attributes_of(node)) == wanted


def test_types_of_arrays() -> None:
    arrays = [np.zeros(1, dtype) for dtype in ("f4", "f8", "i8", "?")]
    assert [kind_of(array) for array in arrays] == [F, D, I64, B]
    assert kind_of(np.array(["text"])) == TensorProto.STRING
    bfloat16 = helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)
    assert kind_of(np.zeros(1, bfloat16)) == onnx.TensorProto.BFLOAT16
