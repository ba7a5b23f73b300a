"""What an ONNX file declares: extents open, 0 or below, bound arrays, names written once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from command_line import called
from onnx import TensorProto, helper, numpy_helper

from hatch_irpytorch import IRPyTorchError, evaluate
from hatch_irpytorch.capture import from_onnx

Array = np.ndarray[Any, np.dtype[Any]]
Extents = Sequence[int | str | None] | None
Nodes = list[onnx.NodeProto]
make_node: Any = helper.make_node


def declared(name: str, extents: Extents, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    value: onnx.ValueInfoProto = helper.make_tensor_value_info(name, kind, extents)
    return value


def save(
    path: Path,
    nodes: Nodes,
    inputs: list[onnx.ValueInfoProto],
    stored: Sequence[str] = (),
    outputs: Sequence[str] = ("y",),
) -> Path:
    """Initializers of two ones, under the names of `stored`."""
    ones = [numpy_helper.from_array(np.ones(2, np.float32), name) for name in stored]
    ys = [declared(name, None) for name in outputs]
    graph = helper.make_graph(nodes, "graph", inputs, ys, ones)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def relu(path: Path, extents: Extents) -> Path:
    return save(path, [make_node("Relu", ["x"], ["y"])], [declared("x", extents)])


# Extents


@pytest.mark.parametrize("extents", [[0], [2, 0], [0, 3, 0]])
def test_an_extent_of_0_stays_0(tmp_path: Path, extents: list[int]) -> None:
    path = relu(tmp_path / "m.onnx", extents)
    model = from_onnx(path)
    assert (model.graph.input_shape, model.notes) == (tuple(extents), ())
    x = np.zeros(extents, np.float32)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"x": x})
    assert evaluate(model, x)[0].shape == wanted.shape
    with pytest.raises(IRPyTorchError, match="must fit"):
        from_onnx(path, shapes={"x": [1] * len(extents)})


@pytest.mark.parametrize("extents", [[-1], [-1, 3], [2, -(2**63)]])
def test_an_extent_below_0_is_an_error(tmp_path: Path, extents: list[int]) -> None:
    relu(tmp_path / "m.onnx", extents)
    result = called(tmp_path, "import-onnx", "m.onnx", "-o", "net")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    message = f"the input `x` declares an extent of {min(extents)}"
    assert f"m.onnx: error[capture-failed]: {message}" in result.stderr
    assert not list(tmp_path.glob("net*"))


@pytest.mark.parametrize(
    ("extents", "shape", "named"),
    [
        (["batch", 3], "1,3", "axis 0 (`batch`)"),
        ([None, 2, "n"], "1,2,1", "axis 0, axis 2 (`n`)"),
        (["a\nb", 0], "1,0", "axis 0 (`a\\nb`)"),
    ],
)
def test_open_extents_are_noted(tmp_path: Path, extents: Extents, shape: str, named: str) -> None:
    path = relu(tmp_path / "m.onnx", extents)
    (note,) = from_onnx(path).notes
    assert note.message == f"open extents of the input `x` are taken as 1: {named}"
    assert note.hint == f"set them with `--shape x={shape}`"
    plain = called(tmp_path, "import-onnx", "m.onnx", "-o", "net")
    assert plain.returncode == 0
    assert "m.onnx: note[bad-shape]: open extents" in plain.stderr
    told = called(tmp_path, "import-onnx", "m.onnx", "--shape", f"x={shape}", "-o", "net")
    assert (told.returncode, told.stderr) == (0, "")


# Bound arrays


def sum_of(path: Path, extents: Extents, kind: int = TensorProto.FLOAT) -> Path:
    """`x` and `z` added up; `z` is declared like this and cast to float."""
    nodes = [
        make_node("Cast", ["z"], ["f"], to=TensorProto.FLOAT),
        make_node("Add", ["x", "f"], ["y"]),
    ]
    return save(path, nodes, [declared("x", [3]), declared("z", extents, kind)])


@pytest.mark.parametrize(
    ("extents", "array"),
    [
        (["n"], np.ones(3)),
        ([None], np.ones(1, np.float16)),
        (None, np.ones((2, 3), np.float32)),
        (["rows", 3], np.ones((2, 3))),
    ],
)
def test_bound_arrays_that_fit(tmp_path: Path, extents: Extents, array: Array) -> None:
    model = from_onnx(sum_of(tmp_path / "m.onnx", extents), bind={"z": array})
    (found,) = evaluate(model, np.ones(3))
    np.testing.assert_array_equal(found, np.ones(3) + array)


@pytest.mark.parametrize(
    ("extents", "shape", "message"),
    [
        ([3], (1,), "must fit (3,), found (1,)"),
        (["n", 3], (2, 1), "must fit (?, 3), found (2, 1)"),
        ([3], (1, 3), "must fit (3,), found (1, 3)"),
        ([], (3,), "must fit (), found (3,)"),
    ],
)
def test_bound_arrays_of_other_shapes(
    tmp_path: Path, extents: Extents, shape: tuple[int, ...], message: str
) -> None:
    sum_of(tmp_path / "m.onnx", extents)
    np.save(tmp_path / "z.npy", np.ones(shape, np.float32))
    result = called(tmp_path, "import-onnx", "m.onnx", "--bind", "z=z.npy", "-o", "net")
    wanted = f"m.onnx: error[capture-failed]: the array bound to `z` {message}\n"
    assert (result.returncode, result.stderr) == (2, wanted)


@pytest.mark.parametrize(
    ("kind", "dtype", "message"),
    [
        (TensorProto.FLOAT, "int64", "must be of float, found int64"),
        (TensorProto.FLOAT16, "bool", "must be of float16, found bool"),
        (TensorProto.INT64, "float32", "must be of int64, found float32"),
        (TensorProto.BOOL, "uint8", "must be of bool, found uint8"),
        (TensorProto.BFLOAT16, "complex64", "must be of bfloat16, found complex64"),
        (TensorProto.DOUBLE, "<U3", "must be of double, found string"),
    ],
)
def test_bound_arrays_of_other_kinds(tmp_path: Path, kind: int, dtype: str, message: str) -> None:
    path = sum_of(tmp_path / "m.onnx", [3], kind)
    with pytest.raises(IRPyTorchError) as caught:
        from_onnx(path, bind={"z": np.zeros(3, dtype)})
    assert str(caught.value).endswith(f"the array bound to `z` {message}")


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(TensorProto.INT64, "int32"), (TensorProto.UINT8, "int64"), (TensorProto.DOUBLE, "float32")],
)
def test_bound_arrays_of_another_width(tmp_path: Path, kind: int, dtype: str) -> None:
    model = from_onnx(sum_of(tmp_path / "m.onnx", [3], kind), bind={"z": np.ones(3, dtype)})
    np.testing.assert_array_equal(evaluate(model, np.ones(3))[0], np.full(3, 2.0))


@pytest.mark.parametrize("option", ["--shape", "--bind"])
def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path, option: str) -> None:
    sum_of(tmp_path / "m.onnx", [3])
    np.save(tmp_path / "z.npy", np.ones(3, np.float32))
    value = "input=3" if option == "--shape" else "input=z.npy"
    result = called(tmp_path, "import-onnx", "m.onnx", option, value, "-o", "net")
    wanted = "m.onnx: error[capture-failed]: the model has no input `input`; it has `x`, `z`\n"
    assert (result.returncode, result.stderr) == (2, wanted)


def test_of_many_names_the_first_are_told(tmp_path: Path) -> None:
    inputs = [declared(f"x{i}", [1]) for i in range(1000)]
    path = save(tmp_path / "m.onnx", [make_node("Relu", ["x0"], ["y"])], inputs)
    with pytest.raises(IRPyTorchError, match=r"`x18`, `x19` and 980 more$"):
        from_onnx(path, shapes={"x": (1,)})


def test_a_shape_for_what_is_bound_to_another(tmp_path: Path) -> None:
    path = sum_of(tmp_path / "m.onnx", ["n"])
    with pytest.raises(IRPyTorchError, match=r"`z` must fit \(1,\), found \(3,\)"):
        from_onnx(path, shapes={"z": (1,)}, bind={"z": np.ones(3)})


# Names

ADD, NEG = make_node("Add", ["x", "k"], ["y"]), make_node("Neg", ["x"], ["y"])
TWICE: dict[str, tuple[Nodes, Sequence[str], Sequence[str], Sequence[str], str]] = {
    "two nodes": ([ADD, NEG], "x", "k", "y", "node 1 (Neg): error[capture-failed]: `y`"),
    "one node": (
        [make_node("Split", ["x"], ["y", "y"])],
        "x",
        "",
        "y",
        "`y` is written here and by node 0 (`Split`)",
    ),
    "an initializer and a node": (
        [make_node("Neg", ["x"], ["k"]), ADD],
        "x",
        "k",
        "y",
        "`k` is written here and by an initializer",
    ),
    "the input and a node": (
        [make_node("Neg", ["x"], ["x"])],
        "x",
        "",
        "x",
        "`x` is written here and by an input",
    ),
    "two initializers": ([ADD], "x", "kk", "y", "the initializer `k` is there twice"),
    "two inputs": ([NEG], "xx", "", "y", "the input `x` is there twice"),
    "two outputs": ([NEG], "x", "", "yy", "the output `y` is there twice"),
}


@pytest.mark.parametrize("case", TWICE)
def test_a_name_is_written_once(tmp_path: Path, case: str) -> None:
    nodes, inputs, stored, outputs, message = TWICE[case]
    save(tmp_path / "m.onnx", nodes, [declared(n, [2]) for n in inputs], stored, outputs)
    result = called(tmp_path, "import-onnx", "m.onnx", "-o", "net")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert message in result.stderr and not list(tmp_path.glob("net*"))


@pytest.mark.parametrize("twice", [False, True])
def test_a_name_is_written_once_in_a_branch_and_a_function(tmp_path: Path, twice: bool) -> None:
    """Graphs beside one another may share names; an initializer may be an input's value."""
    names = ["t", "t"] if twice else ["t", "u"]
    parts = [make_node("Neg", ["x"], [name]) for name in names]
    parts.append(make_node("Add", names, ["o"]))
    branch = helper.make_graph(parts, "branch", [], [declared("o", [2])])
    stored = [numpy_helper.from_array(np.array(True), "c")]
    chosen = make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    inputs = [declared("x", [2]), declared("c", [], TensorProto.BOOL)]
    graph = helper.make_graph([chosen], "graph", inputs, [declared("y", [2])], stored)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    body = helper.make_function("own", "Twice", ["x"], ["o"], parts, imports[:1])
    call = make_node("Twice", ["x"], ["y"], domain="own")
    called = helper.make_graph([call], "graph", inputs[:1], [declared("y", [2])])
    path = tmp_path / "m.onnx"
    for model in (
        helper.make_model(graph, opset_imports=imports, ir_version=9),
        helper.make_model(called, opset_imports=imports, ir_version=9, functions=[body]),
    ):
        path.write_bytes(model.SerializeToString())
        if twice:
            with pytest.raises(IRPyTorchError, match="`t` is written here and by node 0"):
                from_onnx(path)
        else:
            np.testing.assert_array_equal(evaluate(from_onnx(path), np.ones(2))[0], [-2, -2])
