"""Networks of the kinds that verification competitions have, beside ONNX Runtime."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
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


def chain(*sizes: int, name: str = "x") -> tuple[list[onnx.NodeProto], dict[str, Array]]:
    """Layers of `MatMul`, `Add` and `Relu`, the last without `Relu`, from a name to `y`."""
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, Array] = {}
    for i, pair in enumerate(pairwise(sizes)):
        last = i == len(sizes) - 2
        constants |= {f"w{i}": reals(*pair), f"b{i}": reals(pair[1])}
        nodes.append(make_node("MatMul", [name, f"w{i}"], [f"m{i}"]))
        nodes.append(make_node("Add", [f"m{i}", f"b{i}"], ["y" if last else f"a{i}"]))
        if not last:
            nodes.append(make_node("Relu", [f"a{i}"], [f"r{i}"]))
        name = f"r{i}"
    return nodes, constants


def normalised() -> Network:
    """Cora: deep and narrow, its input scaled and shifted by channel first."""
    nodes, constants = chain(6, 5, 5, 5, 3, name="shifted")
    first = [
        make_node("Mul", ["x", "scale"], ["scaled"]),
        make_node("Add", ["scaled", "shift"], ["shifted"]),
    ]
    return [*first, *nodes], [1, 6], 11, {**constants, "scale": reals(6), "shift": reals(6)}


def sentences() -> Network:
    """Safenlp: one layer over an embedding of a sentence."""
    nodes, constants = chain(30, 16, 2)
    return nodes, [1, 30], 13, constants


def malware() -> Network:
    """Malbeware: a grey image of a file, few filters, as many outputs as families."""
    nodes = [
        make_node("Conv", ["x", "k", "c"], ["a"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        make_node("Relu", ["a"], ["b"]),
        make_node("Flatten", ["b"], ["f"], axis=1),
        make_node("Gemm", ["f", "w", "d"], ["y"], transB=1),
    ]
    constants = {"k": reals(4, 1, 3, 3), "c": reals(4), "w": reals(25, 100), "d": reals(25)}
    return nodes, [1, 1, 5, 5], 11, constants


def formula() -> Network:
    """Sat_relu: literals by clipping to 0 and 1, clauses of signs, and the count of those met."""
    literals, clauses = 4, 6
    signed = RNG.integers(-1, 2, (literals, clauses)).astype(np.float32)
    nodes = [
        make_node("Gemm", ["x", "steep", "at"], ["a"]),
        make_node("Relu", ["a"], ["b"]),
        make_node("Gemm", ["b", "both"], ["literal"], transB=1),
        make_node("Gemm", ["literal", "signed", "negated"], ["c"], alpha=-1.0),
        make_node("Relu", ["c"], ["unmet"]),
        make_node("Gemm", ["unmet", "all", "number"], ["y"]),
    ]
    constants = {
        "steep": np.tile(1000 * np.eye(literals, dtype=np.float32), 2),
        "at": number([0] * literals + [-1] * literals),
        "both": np.concatenate([np.eye(literals), -np.eye(literals)], 1).astype(np.float32),
        "signed": signed,
        "negated": 1 - (signed < 0).sum(0).astype(np.float32),
        "all": -np.ones((clauses, 1), np.float32),
        "number": number([clauses]),
    }
    return nodes, [1, literals], 13, constants


def room() -> Network:
    """Metaroom: steps of convolutions, and a shape that a node gives."""
    shape = numpy_helper.from_array(np.array([1, -1]))
    nodes = [
        make_node("Conv", ["x", "k", "c"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        make_node("Relu", ["a"], ["b"]),
        make_node("Conv", ["b", "l"], ["d"], strides=[2, 2], pads=[0, 0, 1, 1]),
        make_node("Relu", ["d"], ["e"]),
        make_node("Constant", [], ["shape"], value=shape),
        make_node("Reshape", ["e", "shape"], ["f"]),
        make_node("Gemm", ["f", "w", "v"], ["y"], transB=1),
    ]
    constants = {
        "k": reals(4, 3, 3, 3),
        "c": reals(4),
        "l": reals(5, 4, 2, 2),
        "w": reals(20, 30),
        "v": reals(20),
    }
    return nodes, [1, 3, 8, 12], 13, constants


def split() -> Network:
    """Relusplitter: neurons in two signed halves that the next layer joins, dense and by pixel."""
    nodes = [
        make_node("Conv", ["x", "k", "c"], ["a"], kernel_shape=[2, 2]),
        make_node("Relu", ["a"], ["b"]),
        make_node("Conv", ["b", "join", "shift"], ["d"], kernel_shape=[1, 1]),
        make_node("Relu", ["d"], ["e"]),
        make_node("Flatten", ["e"], ["f"]),
        make_node("Gemm", ["f", "w", "v"], ["g"], transB=1),
        make_node("Relu", ["g"], ["h"]),
        make_node("Gemm", ["h", "u", "t"], ["y"], transB=1),
    ]
    kernel, bias, rows, shift = reals(2, 1, 2, 2), reals(2), reals(3, 12), reals(3)
    halves = np.concatenate([np.eye(2), -np.eye(2)], 1).astype(np.float32)
    constants = {
        "k": np.concatenate([kernel, -kernel]),
        "c": np.concatenate([bias, -bias]),
        "join": halves.reshape(2, 4, 1, 1),
        "shift": reals(2),
        "w": np.concatenate([rows, -rows]),
        "v": np.concatenate([shift, -shift]),
        "u": reals(2, 6),
        "t": reals(2),
    }
    return nodes, [1, 1, 3, 4], 13, constants


def classifier() -> Network:
    """Vggnet16: blocks of padded convolutions and pools, dense layers with dropout, opset 7."""
    around = [1, 1, 1, 1]
    nodes = [
        make_node("Conv", ["x", "k", "c"], ["a"], pads=around, dilations=[1, 1], group=1),
        make_node("Relu", ["a"], ["b"]),
        make_node("Conv", ["b", "l", "c"], ["d"], pads=around),
        make_node("Relu", ["d"], ["e"]),
        make_node("MaxPool", ["e"], ["p"], kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4),
        make_node("Flatten", ["p"], ["f"]),
        make_node("Gemm", ["f", "w", "v"], ["g"], transB=1, alpha=1.0, beta=1.0),
        make_node("Relu", ["g"], ["h"]),
        make_node("Dropout", ["h"], ["i", "mask"], ratio=0.5),
        make_node("Gemm", ["i", "u", "t"], ["y"], transB=1),
    ]
    constants = {
        "k": reals(3, 2, 3, 3),
        "l": reals(3, 3, 3, 3),
        "c": reals(3),
        "w": reals(6, 12),
        "v": reals(6),
        "u": reals(4, 6),
        "t": reals(4),
    }
    return nodes, [1, 2, 4, 4], 7, constants


def hidden() -> Network:
    """Soundnessbench: means of patches, smooth activations, an input that is one flat row."""
    nodes = [
        make_node("Reshape", ["x", "image"], ["i"]),
        make_node("Conv", ["i", "k", "c"], ["a"], pads=[1, 1, 1, 1]),
        make_node("Sigmoid", ["a"], ["b"]),
        make_node("AveragePool", ["b"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        make_node("Flatten", ["p"], ["f"]),
        make_node("Gemm", ["f", "w", "v"], ["g"], transB=1),
        make_node("Tanh", ["g"], ["h"]),
        make_node("Gemm", ["h", "u"], ["y"]),
    ]
    constants = {
        "image": np.array([-1, 1, 4, 4]),
        "k": reals(2, 1, 3, 3),
        "c": reals(2),
        "w": reals(5, 8),
        "v": reals(5),
        "u": reals(5, 3),
    }
    return nodes, [1, 16], 14, constants


def lattice() -> Network:
    """Tllverify: the larger of the least of two pairs of linear functions, by sparse layers."""
    both = number([[1, -1, 1], [0, 0, -1]])  # a, -a and a - b, from which min(a, b) follows
    pairs = np.kron(np.eye(2, dtype=np.float32), both)
    least = np.kron(np.eye(2, dtype=np.float32), number([[1], [-1], [-1]]))
    nodes = [
        make_node("MatMul", ["x", "w"], ["m"]),
        make_node("Add", ["m", "b"], ["local"]),
        make_node("MatMul", ["local", "pairs"], ["a"]),
        make_node("Add", ["a", "nothing"], ["c"]),
        make_node("Relu", ["c"], ["d"]),
        make_node("MatMul", ["d", "between"], ["e"]),
        make_node("Relu", ["e"], ["f"]),
        make_node("MatMul", ["f", "most"], ["y"]),
    ]
    constants = {
        "w": reals(2, 4),
        "b": reals(4),
        "pairs": pairs,
        "nothing": np.zeros(6, np.float32),
        "between": least @ number([[1, -1, -1], [0, 0, 1]]),
        "most": number([[1], [-1], [1]]),
    }
    return nodes, [1, 2], 13, constants


def linearised() -> Network:
    """Linearizenn: a controller beside a linear model of it, and how far they lie apart."""
    nodes, constants = chain(4, 6, 6, 2)
    nodes[-1].output[0] = "exact"
    nodes += [
        make_node("Gemm", ["x", "model", "offset"], ["linear"], transB=1),
        make_node("Sub", ["exact", "linear"], ["error"]),
        make_node("Neg", ["error"], ["other"]),
        make_node("Concat", ["error", "other", "exact"], ["all"], axis=1),
        make_node("Add", ["all", "room"], ["y"]),
    ]
    constants |= {"model": reals(2, 4), "offset": reals(2), "room": number([1] * 4 + [0] * 2)}
    return nodes, [1, 4], 13, constants


NETWORKS = (
    *(binarised, signs, bitrates, patched, lyapunov, learned_index, generator, flow),
    *(normalised, sentences, malware, formula, room, split, classifier, hidden, lattice),
    linearised,
)


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
