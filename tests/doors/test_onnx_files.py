"""ONNX files with their inputs, data and names; what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import onnx
import pytest
from command_line import run
from conftest import Counts
from onnx import TensorProto, helper, numpy_helper
from onnx_files import KERNEL, check, make_node, save, session

from hatch_irpytorch import EmitOptions, IRPyTorchError, emit_module, evaluate, read_model
from hatch_irpytorch.capture import from_onnx


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
    with pytest.raises(IRPyTorchError, match=r"must fit \(\?, 3\), found \(4,\)"):
        from_onnx(path, bind={"z": z}, shapes={"x": (4,)})
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
        make_node("Unique", ["x"], ["a"], name="/act/Unique"),
        make_node("Add", ["a", "x"], ["b"], name="sum"),
        make_node("Unique", ["b"], ["c"], name="few"),
        make_node("Unique", ["x"], ["d"]),
        make_node("Add", ["c", "d"], ["y"], name="last"),
    ]
    path = save(tmp_path / "m.onnx", nodes, [2], 13)
    result = import_file(tmp_path, "m.onnx", "-o", "net")
    assert result.returncode == 2 and path.exists()
    assert result.stderr.splitlines() == [
        "m.onnx: node 0 (Unique): error[inexpressible]: `/act/Unique`: `Unique` has no form in "
        "torchlean.ir.v1: no formula is known for it",
        "m.onnx: node 2 (Unique): error[inexpressible]: `few`: `Unique` has no form in "
        "torchlean.ir.v1: no formula is known for it",
        "m.onnx: node 3 (Unique): error[inexpressible]: `d`: `Unique` has no form in "
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


def test_a_refusal_does_not_hide_what_comes_after_it(tmp_path: Path) -> None:
    """What follows is looked at with its shape; nothing is told of what the first one causes."""
    nodes = [
        make_node("Unique", ["x"], ["u"], name="first"),
        make_node("Dropout", ["x", "r", "t"], ["a"], name="second"),
        make_node("Shape", ["a"], ["s"]),
        make_node("Reshape", ["a", "s"], ["b"]),
        make_node("Dropout", ["b", "r", "t"], ["c"], name="third"),
        make_node("Relu", ["c"], ["d"]),
        make_node("Add", ["d", "u"], ["y"]),
    ]
    stored = {"r": np.array(0.5, np.float32), "t": np.array(True)}
    path = save(tmp_path / "m.onnx", nodes, [2, 3], 13, stored)
    with pytest.raises(IRPyTorchError) as caught:
        from_onnx(path)
    assert [problem.place.node for problem in caught.value.problems] == [0, 1, 4]


def test_a_file_of_half_precision(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT16, [2, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT16, None)
    weight = numpy_helper.from_array(np.full((3, 2), 0.1, np.float16), "w")
    nodes = [make_node("MatMul", ["x", "w"], ["a"]), make_node("Relu", ["a"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [weight])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)
    model = from_onnx(path)
    assert "precision" in [note.code for note in model.notes]
    given = np.arange(6, dtype=np.float16).reshape(2, 3)
    wanted = np.maximum(given.astype(np.float64) @ np.full((3, 2), np.float16(0.1)), 0)
    np.testing.assert_allclose(evaluate(model, given.astype(np.float64))[0], wanted, rtol=1e-6)


def test_nothing_is_written_into_an_empty_tensor(tmp_path: Path) -> None:
    nodes = [
        make_node("Slice", ["x", "zero", "zero", "two"], ["none"]),
        make_node("ScatterND", ["none", "places", "updates"], ["written"]),
        make_node("Concat", ["written", "x"], ["y"], axis=2),
    ]
    constants = {
        "zero": np.array([0]),
        "two": np.array([2]),
        "places": np.array([[0], [1], [2]]),
        "updates": np.zeros((3, 4, 0), np.float32),
    }
    check(save(tmp_path / "m.onnx", nodes, [5, 4, 2], 18, constants), [5, 4, 2])
