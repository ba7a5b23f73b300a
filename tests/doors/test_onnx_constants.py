"""Nodes of an ONNX file that read constants alone: their numbers are those of ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_files import Array, make_node, session

from hatch_irpytorch import Model, evaluate
from hatch_irpytorch.capture import from_onnx

RNG = np.random.default_rng(5)
FLOAT, HALF, BFLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16


def reals(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, Array],
    opset: int,
    shape: tuple[int, ...],
) -> Path:
    """The nodes make `k`, which is added to `x`."""
    kind = TensorProto.FLOAT
    nodes = [*nodes, make_node("Add", ["x", "k"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


def check(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, Array],
    opset: int,
    shape: tuple[int, ...] = (1,),
) -> Model:
    save(path, nodes, constants, opset, shape)
    x = np.zeros(shape, np.float32)
    (wanted,) = session(path).run(None, {"x": x})
    model = from_onnx(path)
    (found,) = evaluate(model, x)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=1e-6)
    return model


STATISTICS = [reals(3) ** 2 + np.float32(0.1) for _ in range(4)]
BY_OPSET: list[tuple[str, int, list[Array], dict[str, Any]]] = [
    ("LRN", 13, [reals(1, 5, 2, 3)], {"size": 3, "alpha": 1.0, "beta": 0.5}),
    ("LRN", 17, [reals(1, 5, 2, 3)], {"size": 5, "alpha": 2.0, "bias": 3.0}),
    *(("Softmax", opset, [reals(2, 3, 4)], {"axis": axis}) for opset in (7, 12) for axis in (0, 1)),
    ("Softmax", 11, [reals(2, 3, 4)], {}),
    ("Softmax", 13, [reals(2, 3, 4)], {}),
    ("LogSoftmax", 11, [reals(2, 3)], {"axis": 0}),
    ("LogSoftmax", 13, [reals(2, 3)], {"axis": 0}),
    ("Hardmax", 11, [reals(2, 3, 2)], {}),
    ("Hardmax", 11, [reals(2, 3, 2)], {"axis": 2}),
    ("Hardmax", 13, [reals(2, 3, 2)], {"axis": 1}),
    *(("BatchNormalization", n, [reals(2, 3, 2), *STATISTICS], {}) for n in (7, 9, 13, 15)),
    ("CumSum", 14, [reals(2, 3), np.array(1)], {"reverse": 1}),
    ("Conv", 11, [reals(1, 2, 5), reals(3, 2, 2)], {"strides": [2]}),
    ("Gemm", 11, [reals(2, 3), reals(4, 3), reals(4)], {"transB": 1, "alpha": 0.5}),
    ("Round", 11, [np.array([0.5, 1.5, -0.5, 2.4, -2.6], np.float32)], {}),
    ("Mod", 13, [reals(4) * 5, np.array([2, -2, 3, -0.7], np.float32)], {"fmod": 1}),
    ("TopK", 11, [np.array([3, 1, 3, 2], np.float32), np.array([3])], {"axis": 0}),
    ("GatherElements", 13, [reals(700), RNG.integers(-700, 700, 900)], {}),
    ("GatherElements", 13, [reals(40, 3), RNG.integers(-3, 3, (30, 50))], {"axis": 1}),
    ("ScatterElements", 18, [reals(4), np.array([1, 3, 1]), reals(3)], {"reduction": "add"}),
    ("ScatterND", 18, [reals(4), np.array([[1], [3], [1]]), reals(3)], {"reduction": "max"}),
    ("Pow", 13, [np.array([-2, 0, 4], np.float32), np.array([3, 0.5, -0.5], np.float32)], {}),
    ("EyeLike", 13, [reals(2, 3)], {"k": 1}),
    ("Erf", 13, [reals(5)], {}),
    ("Atan", 13, [reals(5)], {}),
]


@pytest.mark.parametrize(
    ("op", "opset", "given", "attributes"), BY_OPSET, ids=[f"{c[0]}-{c[1]}" for c in BY_OPSET]
)
def test_ops_at_every_opset(
    tmp_path: Path, op: str, opset: int, given: list[Array], attributes: dict[str, Any]
) -> None:
    constants = {f"c{i}": array for i, array in enumerate(given)}
    outputs = ["k", "i"] if op == "TopK" else ["k"]
    node = make_node(op, list(constants), outputs, **attributes)
    check(tmp_path / "m.onnx", [node], constants, opset)


def test_a_cubic_resize_to_one_pixel(tmp_path: Path) -> None:
    said = {"mode": "cubic", "coordinate_transformation_mode": "pytorch_half_pixel"}
    node = make_node("Resize", ["c", "", "", "sizes"], ["k"], **said)
    constants = {"c": reals(1, 1, 1, 4), "sizes": np.array([1, 1, 1, 1])}
    check(tmp_path / "m.onnx", [node], constants, 13, (1, 1, 1, 1))


def test_every_step_is_rounded_to_its_type(tmp_path: Path) -> None:
    """0.7 in float32 is less than 0.7; times 10, rounded, it is 7: so many columns there are."""
    nodes = [
        make_node("Mul", ["c", "ten"], ["m"]),
        make_node("Floor", ["m"], ["f"]),
        make_node("Cast", ["f"], ["n"], to=TensorProto.INT64),
        make_node("ConstantOfShape", ["n"], ["zeros"]),
        make_node("ReduceSum", ["zeros"], ["s"], keepdims=0),
        make_node("Shape", ["zeros"], ["shape"]),
        make_node("Cast", ["shape"], ["real"], to=FLOAT),
        make_node("Add", ["real", "s"], ["k"]),
    ]
    constants = {"c": np.array([0.7], np.float32), "ten": np.array([10], np.float32)}
    model = check(tmp_path / "m.onnx", nodes, constants, 13)
    assert evaluate(model, np.zeros(1))[0].tolist() == [7.0]


def test_infinities_and_nan_on_the_way_to_a_constant(tmp_path: Path) -> None:
    """A mask of minus infinity, its softmax, and what stands for the rows that it leaves empty."""
    nodes = [
        make_node("Log", ["c"], ["low"]),
        make_node("Softmax", ["low"], ["s"], axis=-1),
        make_node("IsNaN", ["s"], ["empty"]),
        make_node("IsInf", ["low"], ["blocked"], detect_positive=0),
        make_node("Where", ["empty", "zero", "s"], ["w"]),
        make_node("Where", ["blocked", "one", "w"], ["k"]),
    ]
    constants = {
        "c": np.array([[1, 0, 2], [0, 0, 0]], np.float32),
        "zero": np.zeros(1, np.float32),
        "one": np.ones((), np.float32),
    }
    check(tmp_path / "m.onnx", nodes, constants, 13)


QUANTIZED: list[tuple[int, Any, Any, Any, dict[str, Any]]] = [
    (10, np.uint8, [0.5], 3, {}),
    (13, np.int8, [0.5], -4, {}),
    (13, np.int8, [0.5, 2.0, 0.125], [1, 0, -7], {"axis": 1}),
    (13, np.int32, [0.5, 2.0], [0, 0], {"axis": 0}),
    (19, np.uint8, [0.5], 130, {}),
    (21, np.int16, [0.5, 2.0, 0.125], [1, 0, -7], {"axis": -1}),
    (21, np.int8, [[0.5, 2.0], [1.0, 4.0]], [[1, 0], [-3, 5]], {"axis": 1, "block_size": 2}),
]


@pytest.mark.parametrize(("opset", "dtype", "scale", "zero", "attributes"), QUANTIZED)
def test_numbers_of_few_bits(
    tmp_path: Path, opset: int, dtype: Any, scale: Any, zero: Any, attributes: dict[str, Any]
) -> None:
    """There and, but for `int32`, back again."""
    constants = {
        "q": RNG.integers(0, 120, (2, 3)).astype(dtype),
        "scale": np.array(scale if len(scale) > 1 else scale[0], np.float32),
        "zero": np.array(zero, dtype),
    }
    back = make_node("DequantizeLinear", ["q", "scale", "zero"], ["k"], **attributes)
    check(tmp_path / "m.onnx", [back], constants, opset)
    if dtype is not np.int32:
        constants["r"] = constants.pop("q").astype(np.float32) * np.float32(0.3)
        there = make_node("QuantizeLinear", ["r", "scale", "zero"], ["q"], **attributes)
        check(tmp_path / "m.onnx", [there, back], constants, opset)


def test_dequantized_weights_learn_and_what_is_computed_of_integers_does_not(
    tmp_path: Path,
) -> None:
    nodes = [
        make_node("DequantizeLinear", ["q", "scale"], ["w"]),
        make_node("Transpose", ["w"], ["t"]),
        make_node("MatMul", ["x", "t"], ["m"]),
        make_node("Cast", ["i"], ["j"], to=FLOAT),
        make_node("Add", ["m", "j"], ["k"]),
    ]
    constants: dict[str, Array] = {
        "q": np.array([[1, -2], [3, 4]], np.int8),
        "scale": np.array(0.5, np.float32),
        "i": np.array([2, 5]),
    }
    model = check(tmp_path / "m.onnx", nodes, constants, 13, (2, 2))
    linear = next(node for node in model.graph.nodes if node.op.tag == "linear")
    assert model.params[linear.id, "weight"].tolist() == [[0.5, -1.0], [1.5, 2.0]]


@pytest.mark.parametrize("kind", [HALF, BFLOAT16], ids=["float16", "bfloat16"])
def test_constants_of_half_precision(tmp_path: Path, kind: int) -> None:
    """Sums are rounded to the type before they go on."""
    made = helper.make_tensor("h", kind, [3], [1.0, 0.1, 1000.0])
    nodes = [
        make_node("Constant", [], ["h"], value=made),
        make_node("Add", ["h", "h"], ["two"]),
        make_node("Add", ["two", "h"], ["three"]),
        make_node("Cast", ["three"], ["k"], to=FLOAT),
    ]
    path = save(tmp_path / "m.onnx", nodes, {}, 14, (3,))
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    h = np.array([1.0, 0.1, 1000.0]).astype(dtype)
    wanted = ((h + h) + h).astype(np.float64)
    np.testing.assert_array_equal(evaluate(from_onnx(path), np.zeros(3))[0], wanted)
