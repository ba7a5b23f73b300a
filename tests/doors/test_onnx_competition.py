"""Networks of the kinds that verification competitions have, beside ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx_files import Array, check, make_node, save

from hatch_irpytorch import evaluate
from hatch_irpytorch.capture import from_onnx

RNG = np.random.default_rng(7)
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Network = tuple[list[onnx.NodeProto], list[int], int, dict[str, Array]]


def reals(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def number(value: Any) -> Array:
    return np.array(value, np.float32)


def binarised() -> Network:
    """Traffic signs: signs of sums, where the sign of 0 is 1, in a convolution of signs."""
    nodes = [
        make_node("Conv", ["x", "k"], ["a"], strides=[2, 2]),
        make_node("BatchNormalization", ["a", "one", "two", "one", "one"], ["n"]),
        make_node("Sign", ["n"], ["s"]),
        make_node("Equal", ["s", "zero"], ["e"]),
        make_node("Where", ["e", "unit", "s"], ["w"]),
        make_node("Conv", ["w", "signs"], ["b"]),
        make_node("GlobalMaxPool", ["b"], ["p"]),
        make_node("Flatten", ["p"], ["y"]),
    ]
    constants = {
        "k": reals(3, 2, 3, 3),
        "signs": np.sign(reals(4, 3, 2, 2)),
        "one": np.ones(3, np.float32),
        "two": reals(3),
        "zero": number(0),
        "unit": number(1),
    }
    return nodes, [1, 2, 8, 8], 13, constants


def signs() -> Network:
    nodes = [
        make_node("Gemm", ["x", "w"], ["a"], transB=1),
        make_node("Sign", ["a"], ["s"]),
        make_node("Add", ["s", "tiny"], ["t"]),
        make_node("Sign", ["t"], ["u"]),
        make_node("MatMul", ["u", "v"], ["y"]),
    ]
    constants = {"w": reals(5, 3), "tiny": number(0.1), "v": reals(5, 2)}
    return nodes, [1, 3], 11, constants


def bitrates() -> Network:
    """Pensieve: parts of a history, each through a layer of its own, joined."""
    nodes = [
        make_node("Gather", ["x", "i"], ["row"], axis=1),
        make_node("Split", ["x", "sizes"], ["a", "b", "c"], axis=1),
        make_node("Squeeze", ["a", "axis"], ["a2"]),
        make_node("Gemm", ["a2", "wa"], ["a3"]),
        make_node("Conv", ["b", "kb"], ["b2"]),
        make_node("Relu", ["b2"], ["b3"]),
        make_node("Reshape", ["b3", "flat"], ["b4"]),
        make_node("Slice", ["c", "from", "to", "on"], ["c2"]),
        make_node("Reshape", ["c2", "flat"], ["c3"]),
        make_node("Concat", ["a3", "b4", "c3", "row"], ["all"], axis=1),
        make_node("ReduceMax", ["all"], ["most"], axes=[1]),
        make_node("Sub", ["all", "most"], ["y"]),
    ]
    constants = {
        "i": np.array(5),
        "sizes": np.array([1, 3, 2]),
        "axis": np.array([1]),
        "wa": reals(8, 4),
        "kb": reals(2, 3, 4),
        "flat": np.array([1, -1]),
        "from": np.array([-3]),
        "to": np.array([2**62]),
        "on": np.array([2]),
    }
    return nodes, [1, 6, 8], 13, constants


def patched() -> Network:
    """Cctsdb: a patch that is written into an image at constant places, and a choice of boxes."""
    places = np.stack(np.meshgrid([0], [0, 1], [1, 2], [3, 4], indexing="ij"), -1)
    nodes = [
        make_node("Slice", ["x", "zero", "eight", "on"], ["patch"]),
        make_node("Reshape", ["patch", "shape"], ["p"]),
        make_node("ScatterND", ["image", "at", "p"], ["whole"]),
        make_node("Clip", ["whole", "low", "high"], ["cut"]),
        make_node("Conv", ["cut", "k"], ["f"], pads=[1, 1, 1, 1]),
        make_node("Greater", ["f", "half"], ["strong"]),
        make_node("Where", ["strong", "f", "low"], ["kept"]),
        make_node("ReduceSum", ["kept", "axes"], ["y"], keepdims=0),
    ]
    constants = {
        "zero": np.array([0]),
        "eight": np.array([8]),
        "on": np.array([1]),
        "shape": np.array([1, 2, 2, 2]),
        "image": reals(1, 2, 5, 6),
        "at": places,
        "low": number(0),
        "high": number(1),
        "k": reals(3, 2, 3, 3),
        "half": number(0.5),
        "axes": np.array([2, 3]),
    }
    return nodes, [1, 9], 13, constants


def lyapunov() -> Network:
    """Lsnc: a quadratic form beside a network, products, powers, and bounds of the state."""
    nodes = [
        make_node("Slice", ["x", "zero", "two", "on"], ["state"]),
        make_node("Gemm", ["state", "w"], ["a"]),
        make_node("LeakyRelu", ["a"], ["b"], alpha=0.1),
        make_node("MatMul", ["b", "v"], ["u"]),
        make_node("Clip", ["u", "low", "high"], ["c"]),
        make_node("Sin", ["state"], ["s"]),
        make_node("Mul", ["c", "s"], ["m"]),
        make_node("Pow", ["m", "square"], ["p"]),
        make_node("ReduceSum", ["p", "on"], ["q"]),
        make_node("Neg", ["q"], ["n"]),
        make_node("Concat", ["q", "n", "state"], ["y"], axis=1),
    ]
    constants = {
        "zero": np.array([0]),
        "two": np.array([2]),
        "on": np.array([1]),
        "w": reals(2, 6),
        "v": reals(6, 1),
        "low": number(-0.5),
        "high": number(0.75),
        "square": number(2),
    }
    return nodes, [1, 3], 13, constants


def learned_index() -> Network:
    """Lindex: from one key, alone, through layers to one place."""
    nodes = [
        make_node("MatMul", ["x", "w1"], ["a"]),
        make_node("Add", ["a", "b1"], ["b"]),
        make_node("Relu", ["b"], ["c"]),
        make_node("MatMul", ["c", "w2"], ["d"]),
        make_node("Add", ["d", "b2"], ["y"]),
    ]
    weights = {"w1": reals(1, 4), "b1": reals(4), "w2": reals(4, 1), "b2": reals(1)}
    return nodes, [1, 1], 9, weights


def quantised() -> Network:
    """Weights of eight bits, by channel and as a whole."""
    nodes = [
        make_node("DequantizeLinear", ["q", "by", "zeros"], ["k"], axis=0),
        make_node("Conv", ["x", "k"], ["a"]),
        make_node("Relu", ["a"], ["b"]),
        make_node("Flatten", ["b"], ["c"]),
        make_node("DequantizeLinear", ["r", "scale"], ["w"]),
        make_node("Gemm", ["c", "w"], ["y"]),
    ]
    constants: dict[str, Array] = {
        "q": RNG.integers(-90, 90, (3, 2, 2, 2)).astype(np.int8),
        "by": np.abs(reals(3)) + np.float32(0.01),
        "zeros": np.array([1, -2, 0], np.int8),
        "r": RNG.integers(0, 255, (27, 2)).astype(np.uint8),
        "scale": number(0.02),
    }
    return nodes, [1, 2, 4, 4], 13, constants


def generator() -> Network:
    """Cgan: a condition beside noise, spread over an image, enlarged and joined."""
    nodes = [
        make_node("Gemm", ["x", "w", "c"], ["a"]),
        make_node("Reshape", ["a", "shape"], ["b"]),
        make_node("BatchNormalization", ["b", "g", "g", "g", "v"], ["n"]),
        make_node("Upsample", ["n", "scales"], ["d"], mode="nearest"),
        make_node("ConvTranspose", ["d", "k"], ["e"], strides=[2, 2], output_padding=[1, 1]),
        make_node("Tanh", ["e"], ["f"]),
        make_node("AveragePool", ["f"], ["y"], kernel_shape=[3, 3], strides=[2, 2]),
    ]
    constants = {
        "w": reals(5, 18),
        "c": reals(18),
        "shape": np.array([-1, 2, 3, 3]),
        "g": reals(2),
        "v": np.abs(reals(2)),
        "scales": number([1, 1, 2, 2]),
        "k": reals(2, 3, 3, 3),
    }
    return nodes, [1, 5], 9, constants


def flow() -> Network:
    """Yolo: shapes asked for and computed with, a branch on the rank, a loop over the strides."""
    branch = [
        helper.make_graph(
            [make_node(op, ["f", "axis"], ["o"])],
            op,
            [],
            [helper.make_tensor_value_info("o", FLOAT, None)],
        )
        for op in ("Squeeze", "Unsqueeze")
    ]
    nodes = [
        make_node("Conv", ["x", "k"], ["f"]),
        make_node("Shape", ["f"], ["s"]),
        make_node("Gather", ["s", "zero"], ["n"], axis=0),
        make_node("Equal", ["n", "one"], ["is_one"]),
        make_node("If", ["is_one"], ["g"], then_branch=branch[0], else_branch=branch[1]),
        make_node("Shape", ["g"], ["t"]),
        make_node("ReduceProd", ["t"], ["count"], keepdims=1),
        make_node("ConstantOfShape", ["count"], ["ones"]),
        make_node("Reshape", ["g", "count"], ["flat"]),
        make_node("Add", ["flat", "ones"], ["y"]),
    ]
    constants = {
        "k": reals(3, 2, 3, 3),
        "axis": np.array([0]),
        "zero": np.array(0),
        "one": np.array(1),
    }
    return nodes, [1, 2, 6, 6], 13, constants


NETWORKS = (binarised, signs, bitrates, patched, lyapunov, learned_index, generator, flow)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_networks_of_the_kinds_of_the_competition(tmp_path: Path, network: Any) -> None:
    nodes, shape, opset, constants = network()
    check(save(tmp_path / "m.onnx", nodes, shape, opset, constants), shape)


def test_weights_of_eight_bits(tmp_path: Path) -> None:
    """ONNX Runtime as the file says: when it optimises, it computes in eight bits what need not."""
    nodes, shape, opset, constants = quantised()
    path = save(tmp_path / "m.onnx", nodes, shape, opset, constants)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    x = RNG.normal(size=shape).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(path, options).run(None, {"x": x})
    np.testing.assert_allclose(evaluate(from_onnx(path), x)[0], wanted, rtol=1e-5)


ALONE: list[tuple[str, dict[str, Any], list[Array]]] = [
    ("Relu", {}, []),
    ("Sign", {}, []),
    ("Identity", {}, []),
    ("Add", {}, [reals(2, 3)]),
    ("MatMul", {}, [reals(3, 2)]),
    ("Reshape", {}, [np.array([3, -1])]),
    ("Transpose", {}, []),
    ("Softmax", {"axis": 0}, []),
]


@pytest.mark.parametrize(("op", "attributes", "given"), ALONE, ids=[case[0] for case in ALONE])
def test_a_file_of_one_node(
    tmp_path: Path, op: str, attributes: dict[str, Any], given: list[Array]
) -> None:
    constants = {f"c{i}": array for i, array in enumerate(given)}
    node = make_node(op, ["x", *constants], ["y"], **attributes)
    check(save(tmp_path / "m.onnx", [node], [2, 3], 13, constants), [2, 3])
