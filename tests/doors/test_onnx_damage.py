"""Damaged ONNX files, wrong attributes and foreign data files: a model or one error, each time."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command_line import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hatch_irpytorch import IRPyTorchError, Model
from hatch_irpytorch.capture import from_onnx
from hatch_irpytorch.ir.read import build_model
from hatch_irpytorch.ir.write import document_text

make_node: Any = helper.make_node
Nodes = list[onnx.NodeProto]


def document(nodes: Nodes, shape: list[int], constants: dict[str, Any], opset: int = 13) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], stored)
    imports = [helper.make_opsetid("", opset)]
    data: bytes = helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()
    return data


FILES = {
    "linear": document(
        [make_node("Gemm", ["x", "w", "b"], ["h"], transB=1), make_node("Relu", ["h"], ["y"])],
        [1, 2],
        {"w": np.ones((2, 2), np.float32), "b": np.ones(2, np.float32)},
    ),
    "reshape": document(
        [
            make_node("Unsqueeze", ["x", "a"], ["u"]),
            make_node("Reshape", ["u", "s"], ["r"]),
            make_node("Tile", ["r", "s"], ["y"]),
        ],
        [2, 3],
        {"a": np.array([0]), "s": np.array([3, 2])},
    ),
    "conv": document(
        [make_node("Conv", ["x", "w"], ["y"], group=2, strides=[1, 1], pads=[1, 1, 0, 0])],
        [1, 2, 3, 3],
        {"w": np.ones((2, 1, 2, 2), np.float32)},
    ),
}


def outcome(path: Path) -> Model | None:
    """The model, which our reader accepts, or None for an error of one line a problem."""
    try:
        model = from_onnx(path)
    except IRPyTorchError as error:
        assert error.problems
        return None
    text = document_text(model.graph, model.params).encode("ascii")
    assert build_model(text, "again").graph.output_shapes == model.graph.output_shapes
    return model


@pytest.mark.parametrize("name", FILES)
def test_every_damage_of_one_byte_and_every_cut(tmp_path: Path, name: str) -> None:
    data, path = FILES[name], tmp_path / "m.onnx"
    path.write_bytes(data)
    assert outcome(path) is not None
    slowest = 0.0
    for position in range(len(data)):
        for value in {0, 1, data[position] ^ 1, data[position] ^ 0x80, 0x7F, 0xFF}:
            path.write_bytes(data[:position] + bytes([value]) + data[position + 1 :])
            start = time.monotonic()
            outcome(path)
            slowest = max(slowest, time.monotonic() - start)
        path.write_bytes(data[:position])
        outcome(path)
    assert slowest < 20


WRONG: dict[str, tuple[dict[str, Any], Any, str]] = {
    "Unsqueeze": ({}, np.array([0, 0]), "given twice"),
    "Reshape": ({}, np.array([-2, -4]), "may be -1 and none below"),
    "Tile": ({}, np.array([1, -1]), "repeated -1 times"),
    "Squeeze": ({}, np.array([7]), "axis 7"),
    "Expand": ({}, np.array([2, 5]), "not with these inputs"),
    "Gather": ({}, np.array([9]), "position 9 of an axis of 2"),
    "Conv": ({"group": 3}, np.ones((4, 1, 1, 1), np.float32), "in 3 groups"),
    "MaxPool": ({"strides": [0, 0]}, None, "kernel_shape"),
    "Split": ({}, np.array([5, -3]), "parts"),
}


@pytest.mark.parametrize("op", WRONG)
def test_wrong_inputs_are_told_by_name(tmp_path: Path, op: str) -> None:
    attributes, second, message = WRONG[op]
    inputs, constants = (["x"], {}) if second is None else (["x", "k"], {"k": second})
    shape = [2, 4, 1, 1] if op in ("Conv", "MaxPool") else [2, 4]
    path = tmp_path / "m.onnx"
    path.write_bytes(document([make_node(op, inputs, ["y"], **attributes)], shape, constants))
    with pytest.raises(IRPyTorchError, match=message) as caught:
        from_onnx(path)
    assert f"node 0 ({op}): error[inexpressible]" in str(caught.value)


def test_statistics_for_each_position(tmp_path: Path) -> None:
    statistics = {name: np.ones((2, 3), np.float32) for name in "abcd"}
    node = make_node("BatchNormalization", ["x", *"abcd"], ["y"], spatial=0)
    path = tmp_path / "m.onnx"
    path.write_bytes(document([node], [1, 2, 3], statistics, 7))
    with pytest.raises(IRPyTorchError, match="spatial=0"):
        from_onnx(path)


INTS = st.integers(-3, 5) | st.sampled_from([2**31, 2**62, -(2**62)])
ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["axis", "axes", "group", "pads", "strides", "kernel_shape", "perm", "keepdims"]
    ),
    INTS | st.lists(INTS, max_size=4) | st.just(1.5) | st.just("text"),
    max_size=3,
)
OPS = ("Concat", "Conv", "Flatten", "Gather", "MaxPool", "Pad", "ReduceSum", "Slice", "Softmax")


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from((*OPS, "AveragePool", "Expand", "Split", "Squeeze", "Tile", "Transpose")),
    ATTRIBUTES,
    st.lists(st.integers(0, 4), max_size=4),
    st.lists(INTS, max_size=4),
    st.booleans(),
)
def test_any_attributes_give_a_model_or_an_error(
    tmp_path: Path,
    op: str,
    attributes: dict[str, Any],
    shape: list[int],
    second: list[int],
    constant: bool,
) -> None:
    """Also where the node is one of constants alone, which is computed."""
    inputs = ["k", "k"] if constant else ["x", "k"]
    nodes = [make_node(op, inputs, ["c"], **{k: v for k, v in attributes.items() if v != []})]
    path = tmp_path / "m.onnx"
    nodes.append(make_node("Relu", ["c"], ["y"]))
    path.write_bytes(document(nodes, shape, {"k": np.array(second, np.int64)}))
    outcome(path)


# Files


def external(folder: Path, location: str, extent: int = 4, **said: Any) -> Path:
    data = document([make_node("Add", ["x", "w"], ["y"])], [4], {"w": np.ones(4, np.float32)})
    model = onnx.load_model_from_string(data)
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.dims[0] = extent
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **said}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_is_a_regular_file_in_the_folder_of_the_model(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "w.bin").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    model = outcome(external(folder, "in/w.bin", offset="8"))
    assert model is not None and [2, 3, 4, 5] in [a.tolist() for a in model.params.values()]
    (tmp_path / "out.bin").write_bytes(bytes(16))
    (folder / "link").symlink_to(tmp_path)
    (folder / "w.link").symlink_to(folder / "in" / "w.bin")
    outside = ["../out.bin", "in/../../out.bin", str(tmp_path / "out.bin"), "link/out.bin"]
    for location in (*outside, "w.link", "", "a\0b", "C:\\w", "x" * 1_000_000):
        with pytest.raises(IRPyTorchError, match="must be named by a path inside") as caught:
            from_onnx(external(folder, location))
        assert len(str(caught.value)) < 600
    with pytest.raises(IRPyTorchError, match=r"external data file `no\.bin` does not exist"):
        from_onnx(external(folder, "no.bin"))
    with pytest.raises(IRPyTorchError, match=r"a folder"):
        from_onnx(external(folder, "in"))
    for said in ({"offset": "-1"}, {"offset": "9" * 30}, {"length": "3"}, {"offset": "16"}):
        with pytest.raises(IRPyTorchError, match=r"natural number|are declared|are needed"):
            from_onnx(external(folder, "in/w.bin", 4, **said))


def test_a_file_of_ten_terabytes_is_not_read(tmp_path: Path) -> None:
    path = external(tmp_path, "w.bin", extent=10**13 // 4)
    try:
        with (tmp_path / "w.bin").open("wb") as stream:
            stream.truncate(10**13)
    except OSError:
        pytest.skip("the file system has no files of this size")
    with pytest.raises(IRPyTorchError, match=r"error\[too-large\]"):
        from_onnx(path)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are no files there")
def test_pipes_and_devices_are_errors_and_no_waits(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "m.onnx").write_bytes(FILES["linear"])
    for path in (pipe, Path("/dev/zero")):
        for words in ([str(path)], ["m.onnx", "--bind", f"x={path}"]):
            result = run(tmp_path, "import-onnx", *words, "-o", "out")
            assert result.returncode == 2 and "cannot be read: it is a " in result.stderr
    with pytest.raises(IRPyTorchError, match="it is a pipe"):
        from_onnx(external(tmp_path, "pipe"))


def test_unknown_element_types(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(FILES["linear"])
    model.graph.initializer[0].data_type = 99
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(IRPyTorchError, match="`w` has the element type 99, which is not known"):
        from_onnx(path)
    model = onnx.load_model_from_string(FILES["linear"])
    model.graph.input[0].type.tensor_type.elem_type = 99
    path.write_bytes(model.SerializeToString())
    with pytest.raises(IRPyTorchError, match="found type 99"):
        from_onnx(path)
