"""From ONNX files: networks of others, the rules of single ops."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper
from onnx_files import (
    KERNEL,
    NAMES,
    NETWORKS,
    Array,
    check,
    competition_network,
    generated,
    make_node,
    outputs,
    save,
    session,
)
from repository import ROOT

from hatch_irpytorch import IRPyTorchError, evaluate
from hatch_irpytorch.capture import from_onnx

CONVOLUTIONS = [
    {},
    {"strides": [2, 3]},
    {"pads": [0, 1, 2, 0], "dilations": [2, 1]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    {"auto_pad": "VALID"},
    {"group": 2},
]


@pytest.mark.parametrize("attributes", CONVOLUTIONS)
def test_convolution(tmp_path: Path, attributes: dict[str, Any]) -> None:
    channels = 2 * attributes.get("group", 1)
    node = make_node("Conv", ["x", "w", "b"], ["y"], **attributes)
    constants = {"w": KERNEL, "b": np.arange(4, dtype=np.float32)}
    path = save(tmp_path / "m.onnx", [node], [2, channels, 7, 6], 11, constants)
    assert [n.op.tag for n in check(path, [2, channels, 7, 6]).graph.nodes] == ["input", "conv"]


TRANSPOSED = [
    {},
    {"strides": [2, 3]},
    {"strides": [2, 2], "pads": [1, 0, 0, 1], "output_padding": [1, 0]},
    {"strides": [3, 2], "dilations": [2, 1], "group": 2},
    {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"strides": [2, 2], "output_shape": [9, 9]},
    {"strides": [4, 4]},
]


@pytest.mark.parametrize("attributes", TRANSPOSED)
def test_transposed_convolution(tmp_path: Path, attributes: dict[str, Any]) -> None:
    kernel = KERNEL.reshape(4, 2, 3, 2)
    node = make_node("ConvTranspose", ["x", "w"], ["y"], **attributes)
    path = save(tmp_path / "m.onnx", [node], [1, 4, 4, 5], 11, {"w": kernel})
    check(path, [1, 4, 4, 5])


POOLS = [
    {"kernel_shape": [3, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
]


@pytest.mark.parametrize("attributes", POOLS)
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pooling(tmp_path: Path, op: str, attributes: dict[str, Any]) -> None:
    path = save(tmp_path / "m.onnx", [make_node(op, ["x"], ["y"], **attributes)], [1, 2, 7, 8], 12)
    check(path, [1, 2, 7, 8])


def test_an_attribute_that_nobody_knows_is_never_passed_over(tmp_path: Path) -> None:
    nodes = [make_node("Relu", ["x"], ["y"], name="act", slope=0.5)]
    path = save(tmp_path / "m.onnx", nodes, [2], 13)
    with pytest.raises(IRPyTorchError, match=r"`Relu` has no form .*: its attribute `slope`"):
        from_onnx(path)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_space_to_depth_undoes_depth_to_space(tmp_path: Path, mode: str) -> None:
    """In both orders: `mode` of SpaceToDepth is newer than the op."""
    nodes = [
        make_node("DepthToSpace", ["x"], ["a"], blocksize=2, mode=mode),
        make_node("SpaceToDepth", ["a"], ["y"], blocksize=2, mode=mode),
    ]
    model = from_onnx(save(tmp_path / "m.onnx", nodes, [1, 8, 2, 3], 26))
    x = np.arange(48.0).reshape(1, 8, 2, 3)
    np.testing.assert_array_equal(evaluate(model, x)[0], x)


def test_padding_that_counts_and_windows_that_skip(tmp_path: Path) -> None:
    counted = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    spread = {"kernel_shape": [2, 2], "dilations": [2, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        make_node("AveragePool", ["x"], ["a"], **counted),
        make_node("MaxPool", ["a"], ["y"], **spread),
    ]
    check(save(tmp_path / "m.onnx", nodes, [1, 2, 7, 8], 12), [1, 2, 7, 8])


@pytest.mark.parametrize("op", ["LpPool", "AveragePool"])
def test_windows_with_gaps(tmp_path: Path, op: str) -> None:
    gaps = {"kernel_shape": [2, 3], "dilations": [2, 1], "strides": [1, 2], "pads": [1, 0, 0, 1]}
    path = save(tmp_path / "m.onnx", [make_node(op, ["x"], ["y"], **gaps)], [1, 2, 6, 7], 19)
    check(path, [1, 2, 6, 7])


GEMMS = [
    {},
    {"alpha": 0.5, "beta": 2.0},
    {"transB": 1},
    {"transA": 1, "transB": 1, "alpha": -1.0},
]


@pytest.mark.parametrize("attributes", GEMMS)
def test_gemm(tmp_path: Path, attributes: dict[str, Any]) -> None:
    weight = np.random.default_rng(2).normal(size=(4, 4)).astype(np.float32)
    node = make_node("Gemm", ["x", "w", "b"], ["y"], **attributes)
    constants = {"w": weight, "b": np.arange(4, dtype=np.float32)}
    model = check(save(tmp_path / "m.onnx", [node], [4, 4], 11, constants), [4, 4])
    assert Counter(n.op.tag for n in model.graph.nodes)["linear"] == 1


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_padding_modes(tmp_path: Path, mode: str) -> None:
    pads = np.array([0, 2, 1, 0, 1, 2])
    node = make_node("Pad", ["x", "pads"], ["y"], mode=mode)
    path = save(tmp_path / "m.onnx", [node], [1, 4, 5], 19, {"pads": pads})
    check(path, [1, 4, 5])


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 18, 21, 23])
def test_a_network_of_every_age(tmp_path: Path, opset: int) -> None:
    """Ops whose inputs were attributes once: squeeze, reductions, softmax, slices, clip, split."""
    late = opset >= 13
    axes = {"axes": [2]} if not late else {}
    stored: dict[str, Array] = {"w": np.eye(4, dtype=np.float32) + 0.5}
    nodes = [make_node("MatMul", ["x", "w"], ["a"])]
    extra = []
    if late:
        stored["axes"] = np.array([2])
        extra = ["axes"]
    nodes.append(make_node("Unsqueeze", ["a", *extra], ["b"], **axes))
    if opset >= 11:
        stored |= {"low": np.array(-0.5, np.float32), "high": np.array(0.75, np.float32)}
        nodes.append(make_node("Clip", ["b", "low", "high"], ["c"]))
    else:
        nodes.append(make_node("Clip", ["b"], ["c"], min=-0.5, max=0.75))
    nodes.append(make_node("Squeeze", ["c", *extra], ["d"], **axes))
    if opset >= 10:
        stored |= {
            "from": np.array([0, 3]),
            "to": np.array([2, -5]),
            "on": np.array([0, 1]),
            "by": np.array([1, -1]),
        }
        nodes.append(make_node("Slice", ["d", "from", "to", "on", "by"], ["e"]))
    else:
        nodes.append(make_node("Slice", ["d"], ["e"], starts=[0, 0], ends=[2, 4], axes=[0, 1]))
    nodes.append(make_node("Softmax", ["e"], ["f"], axis=1))
    if opset >= 18:
        stored["second"] = np.array([1])
        nodes.append(make_node("ReduceMax", ["f", "second"], ["y"], keepdims=0))
    else:
        nodes.append(make_node("ReduceMax", ["f"], ["y"], axes=[1], keepdims=0))
    path = save(tmp_path / "m.onnx", nodes, [3, 4], opset, stored)
    check(path, [3, 4])


@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "nearest"},
        {"mode": "linear"},
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        {"mode": "cubic", "coordinate_transformation_mode": "half_pixel"},
        {
            "mode": "nearest",
            "nearest_mode": "floor",
            "coordinate_transformation_mode": "asymmetric",
        },
    ],
)
@pytest.mark.parametrize("scales", [[1.0, 1.0, 2.0, 3.0], [1.0, 1.0, 1.5, 0.5]])
def test_resize(tmp_path: Path, attributes: dict[str, str], scales: list[float]) -> None:
    node = make_node("Resize", ["x", "", "scales"], ["y"], **attributes)
    stored = {"scales": np.array(scales, dtype=np.float32)}
    check(save(tmp_path / "m.onnx", [node], [1, 2, 4, 6], 13, stored), [1, 2, 4, 6])


ENDS = (0, 1, 5, 6, 7, 100, 2**62, -1, -5, -6, -7, -100, -(2**31), -(2**63))
SLICED = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)


def sliced(path: Path, bounds: tuple[int, int, int], constant: bool) -> Path:
    """The first axis of the input, or of numbers of the file that are added to it."""
    stored = dict(zip("abc", (np.array([bound]) for bound in bounds), strict=True))
    stored |= {"axis": np.array([0]), "k": SLICED}
    whole = make_node("Slice", ["k" if constant else "x", "a", "b", "axis", "c"], ["s"])
    added = make_node("Add", ["s", "row"], ["y"])
    stored["row"] = np.zeros(4, np.float32)
    if constant:
        added = make_node("Add", ["s", "x"], ["y"])
    return save(path, [whole, added], [4] if constant else [6, 4], 13, stored)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("step", [1, 4, 2**62, -1, -4, -(2**63)])
def test_bounds_of_slices_are_moved_into_the_axis(
    tmp_path: Path, step: int, constant: bool
) -> None:
    x = np.zeros(4, np.float32) if constant else SLICED
    for start in ENDS:
        for end in ENDS:
            path = sliced(tmp_path / "m.onnx", (start, end, step), constant)
            (wanted,) = session(path).run(None, {"x": x})
            (found,) = evaluate(from_onnx(path), x)
            assert found.shape == wanted.shape, (start, end, step)
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((0, 3, 0), "a step of 0"),
        ((3, 2**31 - 1, -1), "has two meanings"),
        ((3, 2**63 - 1, -2), "has two meanings"),
    ],
)
def test_what_is_no_slice(
    tmp_path: Path, bounds: tuple[int, int, int], message: str, constant: bool
) -> None:
    with pytest.raises(IRPyTorchError, match=message):
        from_onnx(sliced(tmp_path / "m.onnx", bounds, constant))


def test_shape_arithmetic_is_folded(tmp_path: Path) -> None:
    nodes = [
        make_node("Shape", ["x"], ["s"]),
        make_node("Gather", ["s", "zero"], ["n"], axis=0),
        make_node("Concat", ["n", "rest"], ["target"], axis=0),
        make_node("Reshape", ["x", "target"], ["r"]),
        make_node(
            "ConstantOfShape", ["target1"], ["ones"], value=helper.make_tensor("v", 1, [1], [2.0])
        ),
        make_node("Mul", ["r", "ones"], ["y"]),
    ]
    stored = {"zero": np.array([0]), "rest": np.array([-1]), "target1": np.array([1])}
    model = check(save(tmp_path / "m.onnx", nodes, [2, 3, 4], 13, stored), [2, 3, 4])
    assert [n.op.tag for n in model.graph.nodes] == [
        "input",
        "reshape",
        "const",
        "broadcast_to",
        "mul_elem",
    ]


def test_several_outputs_and_constant_conditions(tmp_path: Path) -> None:
    nodes = [
        make_node("Where", ["mask", "x", "zero"], ["w"]),
        make_node("Split", ["w", "sizes"], ["a", "b"], axis=1),
        make_node("GatherElements", ["x", "index"], ["g"], axis=1),
    ]
    stored = {
        "mask": np.array([[True, False, True]]),
        "zero": np.zeros((1, 1), dtype=np.float32),
        "sizes": np.array([1, 2]),
        "index": np.array([[2, 0], [1, 1]]),
    }
    path = save(tmp_path / "m.onnx", nodes, [2, 3], 13, stored, ("a", "b", "g"))
    assert len(check(path, [2, 3]).graph.output_ids) == 3


def test_standard_functions_are_expanded(tmp_path: Path) -> None:
    """An op without a formula of ours, which the standard defines by other ops."""
    node = make_node("Attention", ["x", "x", "x"], ["y"])
    path = save(tmp_path / "m.onnx", [node], [1, 2, 3, 4], 23)
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 4)).astype(np.float32)
    q = torch.from_numpy(x)
    expected = torch.nn.functional.scaled_dot_product_attention(q, q, q).numpy()
    np.testing.assert_allclose(evaluate(from_onnx(path), x)[0], expected, rtol=1e-4, atol=1e-5)


def test_the_committed_model_is_what_its_file_gives(tmp_path: Path) -> None:
    from hatch_irpytorch.capture.files import write_captured

    models = ROOT / "models"
    model = from_onnx(models / "digits_gated.onnx")
    for path in write_captured(model, tmp_path / "digits_gated", "DigitsGated", "float32"):
        if path.suffix != ".yaml":
            assert path.read_bytes() == (models / path.name).read_bytes()


# Inputs, files, errors


@pytest.mark.parametrize("name", NAMES)
def test_networks_of_the_verification_competition(name: str) -> None:
    """Within 1e-4 of ONNX Runtime on 100 random inputs in [0, 1)."""
    model, runtime, entry = competition_network(name)
    module = generated(model)
    rng = np.random.default_rng(0)
    for _ in range(100):
        x = rng.random(model.graph.input_shape, dtype=np.float32)
        for wanted, found in zip(runtime.run(None, {entry: x}), outputs(module, x), strict=True):
            assert wanted.shape == found.shape
            assert np.abs(wanted - found).max() <= 1e-4 * max(float(np.abs(wanted).max()), 1e-3)


def test_a_network_becomes_few_nodes() -> None:
    """Products with a bias are one `linear`, zero padding goes into the convolution."""
    if not NETWORKS.exists():
        pytest.skip("../shared/data is not here")
    tags = Counter(n.op.tag for n in from_onnx(NETWORKS / "acasxu_1_1.onnx").graph.nodes)
    assert tags == {"linear": 7, "relu": 6, "input": 1, "const": 1, "sub": 1, "reshape": 1}
    tags = Counter(n.op.tag for n in from_onnx(NETWORKS / "convnet_avgpool.onnx").graph.nodes)
    assert tags["conv"] == 1 and "concat" not in tags
