"""From ONNX files: networks of others, the rules of single ops, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from command_line import run
from conftest import Counts
from documents import namespace
from onnx import TensorProto, helper, numpy_helper

from hatch_irpytorch import EmitOptions, IRPyTorchError, Model, emit_module, evaluate, read_model
from hatch_irpytorch.capture import from_onnx

ROOT = Path(__file__).parent.parent
NETWORKS = ROOT.parent / "shared" / "data" / "vnncomp"
NAMES = (
    "acasxu_1_1",
    "cifar10_resnet_2b",
    "collins_rul_small_20",
    "convnet_avgpool",
    "dist_shift_mnist_concat",
    "marabou_cifar10_small",
    "ml4acopf_14",
    "mscn_128d",
    "tiny_yolo",
    "vit_pgd_2_3_16",
)
Array = np.ndarray[Any, np.dtype[Any]]
make_node: Any = helper.make_node


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def generated(model: Model) -> torch.nn.Module:
    text = emit_module(model, EmitOptions(training_skeleton=False)).source
    module: torch.nn.Module = namespace(text)["ExportedIRModel"]()
    return module


def outputs(module: torch.nn.Module, x: Array) -> list[Array]:
    with torch.no_grad():
        found = module(torch.from_numpy(x))
    return [y.numpy() for y in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("name", NAMES)
def test_networks_of_the_verification_competition(name: str) -> None:
    """Within 1e-4 of ONNX Runtime on 100 random inputs in [0, 1)."""
    path = NETWORKS / f"{name}.onnx"
    if not path.exists():
        pytest.skip("../shared/data is not here")
    model = from_onnx(path)
    runtime = session(path)
    (entry,) = [i for i in runtime.get_inputs() if i.type == "tensor(float)"][:1]
    module = generated(model)
    rng = np.random.default_rng(0)
    for _ in range(100):
        x = rng.random(model.graph.input_shape, dtype=np.float32)
        for wanted, found in zip(
            runtime.run(None, {entry.name: x}), outputs(module, x), strict=True
        ):
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


# Single ops against ONNX Runtime


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    shape: list[int],
    opset: int,
    constants: dict[str, Array] | None = None,
    outputs: tuple[str, ...] = ("y",),
) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    ys = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    stored = [numpy_helper.from_array(a, name) for name, a in (constants or {}).items()]
    graph = helper.make_graph(nodes, "graph", [x], ys, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def check(path: Path, shape: list[int], positive: bool = False) -> Model:
    """The file equals ONNX Runtime, by the reference and by the generated module."""
    model = from_onnx(path)
    rng = np.random.default_rng(0)
    x = rng.random(shape) if positive else rng.normal(size=shape)
    x = x.astype(np.float32)
    wanted = session(path).run(None, {"x": x})
    for expected, found, exact in zip(
        wanted, outputs(generated(model), x), evaluate(model, x), strict=True
    ):
        assert expected.shape == found.shape == exact.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(exact, expected, rtol=1e-4, atol=1e-5)
    return model


KERNEL = np.random.default_rng(1).normal(size=(4, 2, 3, 2)).astype(np.float32)
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


def two_inputs(path: Path, kind: int = TensorProto.FLOAT) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    z = helper.make_tensor_value_info("z", kind, [3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([make_node("Add", ["x", "z"], ["y"])], "g", [x, z], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


def import_file(folder: Path, *arguments: str) -> CompletedProcess[str]:
    return run(folder, "import-onnx", *arguments)


def test_open_extents_and_bound_inputs(tmp_path: Path) -> None:
    path = two_inputs(tmp_path / "m.onnx")
    with pytest.raises(IRPyTorchError, match="the model has 2: `x`, `z`; bind the others"):
        from_onnx(path)
    z = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    assert from_onnx(path, bind={"z": z}).graph.input_shape == (1, 3)
    model = from_onnx(path, bind={"z": z}, shapes={"x": (4, 3)})
    np.testing.assert_array_equal(evaluate(model, np.zeros((4, 3)))[0], np.tile(z, (4, 1)))
    with pytest.raises(IRPyTorchError, match=r"must fit \(\?, 3\), found \(4, 4\)"):
        from_onnx(path, bind={"z": z}, shapes={"x": (4, 4)})
    with pytest.raises(IRPyTorchError, match="no input `w`"):
        from_onnx(path, shapes={"w": (4, 4)})


def test_the_command(tmp_path: Path) -> None:
    two_inputs(tmp_path / "m.onnx")
    np.save(tmp_path / "z.npy", np.ones(3, dtype=np.float32))
    (tmp_path / "models").mkdir()
    given = ("m.onnx", "--shape", "x=2,3", "--bind", "z=z.npy", "-o", "models/sum_net")
    result = import_file(tmp_path, *given)
    assert (result.returncode, result.stderr) == (0, "")
    assert "class_name: SumNet" in (tmp_path / "models/sum_net.yaml").read_text()
    model = read_model(tmp_path / "models/sum_net.ir.json", tmp_path / "models/sum_net.safetensors")
    np.testing.assert_array_equal(evaluate(model, np.zeros((2, 3)))[0], np.ones((2, 3)))


def test_external_data(tmp_path: Path) -> None:
    weight = np.arange(12, dtype=np.float32).reshape(3, 4)
    path = save(
        tmp_path / "m.onnx",
        [make_node("MatMul", ["x", "w"], ["y"])],
        [1, 3],
        13,
        {"w": weight},
    )
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    assert (tmp_path / "m.data").exists()
    check(path, [1, 3])
    (tmp_path / "m.data").unlink()
    with pytest.raises(IRPyTorchError, match=r"error\[(missing-file|capture-failed)\]"):
        from_onnx(path)


def test_external_data_stays_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(b"\0" * 16)
    (tmp_path / "inner").mkdir()
    weight = np.zeros((2, 2), dtype=np.float32)
    path = save(
        tmp_path / "inner/m.onnx",
        [make_node("MatMul", ["x", "w"], ["y"])],
        [1, 2],
        13,
        {"w": weight},
    )
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret.bin"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(IRPyTorchError, match=r"error\[capture-failed\]"):
        from_onnx(path)


def test_every_node_without_a_form_is_told(tmp_path: Path) -> None:
    nodes = [
        make_node("Erf", ["x"], ["a"], name="/act/Erf"),
        make_node("Add", ["a", "x"], ["b"], name="sum"),
        make_node("Sign", ["b"], ["c"], name="sign"),
        make_node("Round", ["x"], ["d"]),
        make_node("Add", ["c", "d"], ["y"], name="last"),
    ]
    path = save(tmp_path / "m.onnx", nodes, [2], 13)
    result = import_file(tmp_path, "m.onnx", "-o", "net")
    assert result.returncode == 2 and path.exists()
    assert result.stderr.splitlines() == [
        "m.onnx: node 0 (Erf): error[inexpressible]: `/act/Erf`: `Erf` has no form in "
        "torchlean.ir.v1: no formula is known for it",
        "m.onnx: node 2 (Sign): error[inexpressible]: `sign`: `Sign` has no form in "
        "torchlean.ir.v1: no formula is known for it",
        "m.onnx: node 3 (Round): error[inexpressible]: `d`: `Round` has no form in "
        "torchlean.ir.v1: no formula is known for it",
    ]


def test_random_numbers_are_never_stored_as_constants(tmp_path: Path) -> None:
    nodes = [
        make_node("RandomNormal", [], ["noise"], name="draw", shape=[2]),
        make_node("Add", ["x", "noise"], ["y"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, [2], 13)
    with pytest.raises(IRPyTorchError, match=r"`RandomNormal` has no form .*: it draws random"):
        from_onnx(path)


def test_names_of_nodes_are_kept(tmp_path: Path) -> None:
    nodes = [
        make_node("Relu", ["x"], ["a"], name="/layers.0/act/Relu"),
        make_node("Neg", ["a"], ["y"], name="\n# import os"),
    ]
    model = from_onnx(save(tmp_path / "m.onnx", nodes, [2], 13))
    assert [node.origin for node in model.graph.nodes][1] == "layers.0.act.Relu"
    assert "import os" not in emit_module(model, EmitOptions()).source


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an ONNX file"),
        (b"\x08\x07garbage", "not an ONNX file"),
        (b"\xff" * 100, "not an ONNX file"),
        (None, r"error\[missing-file\]: the file does not exist"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(IRPyTorchError, match=message):
        from_onnx(tmp_path / "m.onnx")


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """The file with bytes changed, cut out, repeated or inserted."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            at, width = int(rng.integers(len(changed))), int(rng.integers(1, 9))
            form = rng.integers(4)
            if form == 0:
                changed[at] = int(rng.integers(256))
            elif form == 1:
                del changed[at : at + width]
            elif form == 2:
                changed[at:at] = changed[at : at + width]
            else:
                changed[at:at] = rng.integers(256, size=width, dtype=np.uint8).tobytes()
        yield bytes(changed)


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_read_or_refused(tmp_path: Path, counts: Counts) -> None:
    nodes = [
        make_node("Conv", ["x", "k"], ["a"], name="conv", strides=[2, 1], pads=[1, 1, 0, 0]),
        make_node("Shape", ["a"], ["s"]),
        make_node("Reshape", ["a", "flat"], ["r"], name="reshape"),
        make_node("Slice", ["r", "zero", "five", "one"], ["c"]),
        make_node("Softmax", ["c"], ["y"], axis=-1),
    ]
    stored = {
        "k": KERNEL,
        "flat": np.array([1, -1]),
        **{name: np.array([value]) for name, value in (("zero", 0), ("five", 5), ("one", 1))},
    }
    data = save(tmp_path / "m.onnx", nodes, [1, 2, 5, 4], 13, stored).read_bytes()
    path = tmp_path / "mutated.onnx"
    outcomes: Counter[str] = Counter()
    for changed in mutations(data, max(counts.inputs // 4, 500), counts.first_seed):
        path.write_bytes(changed)
        try:
            from_onnx(path)
            outcomes["read"] += 1
        except IRPyTorchError as error:
            assert str(error).replace("\n", "").isprintable()
            outcomes[error.problems[0].code] += 1
    assert outcomes["read"] > 10 and len(outcomes) > 2


def test_integer_inputs_and_old_opsets_are_refused(tmp_path: Path) -> None:
    path = two_inputs(tmp_path / "m.onnx", TensorProto.INT64)
    with pytest.raises(IRPyTorchError, match=r"`z` must be of float or double, found int64"):
        from_onnx(path, bind={"x": np.zeros((1, 3), dtype=np.float32)})
    path = save(tmp_path / "old.onnx", [make_node("Relu", ["x"], ["y"])], [2], 6)
    with pytest.raises(IRPyTorchError, match="the opset must be 7 or later, found 6"):
        from_onnx(path)


def branch(value: float, inner: str) -> onnx.GraphProto:
    """`x` plus a constant, by way of a name that other branches have too."""
    stored = [numpy_helper.from_array(np.full(2, value, np.float32), "k")]
    y = helper.make_tensor_value_info("o", TensorProto.FLOAT, [2])
    nodes = [make_node("Neg", ["k"], [inner]), make_node("Sub", ["x", inner], ["o"])]
    return helper.make_graph(nodes, "branch", [], [y], stored)


@pytest.mark.parametrize("inner", ["n", "k2"])
@pytest.mark.parametrize("condition", [True, False])
def test_branches_may_share_their_inner_names(tmp_path: Path, inner: str, condition: bool) -> None:
    both = (branch(1.0, inner), branch(2.0, inner)), (branch(3.0, inner), branch(4.0, inner))
    nodes = [
        make_node("If", ["c"], [f"y{i}"], then_branch=then, else_branch=other)
        for i, (then, other) in enumerate(both)
    ]
    nodes.append(make_node("Concat", ["y0", "y1"], ["y"], axis=0))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    stored = [numpy_helper.from_array(np.array(condition), "c")]
    graph = helper.make_graph(nodes, "graph", [x], [y], stored)
    imports = [helper.make_opsetid("", 17)]
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), path)
    given = np.array([0.5, -0.5], np.float32)
    (wanted,) = session(path).run(None, {"x": given})
    np.testing.assert_array_equal(evaluate(from_onnx(path), given)[0], wanted)


@pytest.mark.parametrize("op", ["Div", "Mod"])
def test_integers_divided_by_zero_are_no_constant(tmp_path: Path, op: str) -> None:
    nodes = [
        make_node(op, ["a", "b"], ["c"]),
        make_node("Cast", ["c"], ["d"], to=TensorProto.FLOAT),
        make_node("Add", ["x", "d"], ["y"]),
    ]
    stored = {"a": np.array([1, 2]), "b": np.array([3, 0])}
    save(tmp_path / "m.onnx", nodes, [2], 17, stored)
    result = import_file(tmp_path, "m.onnx", "-o", "net")
    assert result.returncode == 2 and "integers divided by zero" in result.stderr


def test_a_pickled_array_is_never_loaded(tmp_path: Path) -> None:
    two_inputs(tmp_path / "m.onnx")
    np.save(tmp_path / "z.npy", np.array([{}], dtype=object), allow_pickle=True)
    result = import_file(tmp_path, "m.onnx", "--bind", "z=z.npy", "-o", "net")
    assert result.returncode == 2 and "z.npy: error[bad-params]" in result.stderr


def test_without_onnx_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none/onnx.py").write_text("raise ImportError('none here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "none"))
    result = import_file(tmp_path, "m.onnx", "-o", "net")
    assert result.returncode == 2
    assert "error[missing-onnx]" in result.stderr and "; pip install onnx\n" in result.stderr
