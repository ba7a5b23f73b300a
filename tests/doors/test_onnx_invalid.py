"""What ONNX Runtime refuses is refused, and what it runs comes in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_files import make_node, session

from hatch_irpytorch import IRPyTorchError, evaluate
from hatch_irpytorch.capture import from_onnx

Case = tuple[str, dict[str, Any], list[int], list[Any]]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int],
    constants: Sequence[Any],
    outputs: Sequence[str] = ("y",),
    declared: Sequence[int] | None = None,
) -> Path:
    kind = TensorProto.FLOAT
    x = helper.make_tensor_value_info("x", kind, shape)
    ys = [helper.make_tensor_value_info(name, kind, declared) for name in outputs]
    stored = [numpy_helper.from_array(np.asarray(a), f"c{i}") for i, a in enumerate(constants)]
    graph = helper.make_graph(nodes, "graph", [x], ys, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def runs(path: Path, shape: Sequence[int]) -> bool:
    """Whether ONNX Runtime loads a file and computes its outputs."""
    try:
        session(path).run(None, {"x": np.ones(shape, np.float32)})
    except Exception:
        return False
    return True


def at(*positions: int) -> Any:
    return np.array(positions)


KERNEL, ONES = np.ones((1, 1, 2, 2), np.float32), np.ones((1, 1), np.float32)
IMAGE = [1, 1, 4, 4]
REFUSED: list[Case] = [
    ("Softmax", {"axis": 2}, [2, 3], []),
    ("Concat", {"axis": 2}, [2, 3], []),
    ("Gather", {"axis": 2}, [2, 3], [at(0)]),
    ("Gather", {}, [2, 3], [at(2)]),
    ("Gather", {}, [2, 3], [at(-3)]),
    ("GatherElements", {}, [2, 3], [at(2)[:, None]]),
    ("GatherElements", {}, [2, 3], [at(-3)[:, None]]),
    ("GatherND", {}, [2, 3], [at(2, 0)[None]]),
    ("ScatterElements", {}, [2, 3], [at(-3)[:, None], ONES]),
    ("ScatterND", {}, [2, 3], [at(0, -4)[None], ONES[0]]),
    ("Unsqueeze", {}, [2, 3], [at(3)]),
    ("Flatten", {"axis": 3}, [2, 3], []),
    ("ReduceSum", {}, [2, 3], [at(2)]),
    ("ReduceSum", {}, [], [at(0)]),
    ("Split", {"axis": 1}, [2, 3], [at(1, 1)]),
    ("Slice", {}, [2, 3], [at(0, 0), at(1, 1), at(0, -2)]),
    ("Slice", {}, [2, 3], [at(0), at(1), at(2)]),
    ("Conv", {"kernel_shape": [2, 3]}, IMAGE, [KERNEL]),
    ("Conv", {"pads": [-1, 0, 0, 0]}, IMAGE, [KERNEL]),
    ("Conv", {"pads": [1, 1, 1, 1], "auto_pad": "VALID"}, IMAGE, [KERNEL]),
    ("ConvTranspose", {"pads": [-1, 0, 0, 0]}, IMAGE, [KERNEL]),
    ("MaxPool", {"kernel_shape": [2, 2], "pads": [0, 0, -1, 0]}, IMAGE, []),
    ("AveragePool", {"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]}, IMAGE, []),
    ("Pad", {"mode": "reflect"}, [1, 3], [at(0, 3, 0, 0)]),
    ("Pad", {}, [1, 3], [at(0, -2, 0, -2)]),
    ("Transpose", {"perm": [0]}, [2, 3], []),
    ("Tile", {}, [2, 3], [at(2)]),
    ("Add", {}, [2, 3], [at(1)]),
    ("Relu", {}, [2, 3], [ONES]),
]


@pytest.mark.parametrize(
    ("op", "attributes", "shape", "constants"),
    REFUSED,
    ids=[f"{i}-{case[0]}" for i, case in enumerate(REFUSED)],
)
def test_what_onnx_runtime_refuses(
    tmp_path: Path, op: str, attributes: dict[str, Any], shape: list[int], constants: list[Any]
) -> None:
    inputs = ["x", *(f"c{i}" for i in range(len(constants)))]
    outputs = ["y", "z"] if op == "Split" else ["y"]
    node = make_node(op, inputs, outputs, **attributes)
    path = save(tmp_path / "m.onnx", [node], shape, constants, outputs)
    assert not runs(path, shape)
    with pytest.raises(IRPyTorchError) as caught:
        from_onnx(path)
    (problem,) = caught.value.problems
    assert (problem.place.node, problem.place.kind) in ((0, op), (None, ""))


TAKEN: list[Case] = [
    ("Pad", {"mode": "reflect"}, [1, 3], [at(0, 2, 0, 2)]),
    ("Pad", {"mode": "edge"}, [1, 3], [at(0, 7, 0, 0)]),
    ("Gather", {"axis": -1}, [2, 3], [at(-3, 2)]),
    ("GatherElements", {"axis": -1}, [2, 3], [at(-3)[:, None]]),
    ("Flatten", {"axis": -2}, [2, 3], []),
    ("Conv", {"kernel_shape": [2, 2], "pads": [1, 0, 2, 3]}, IMAGE, [KERNEL]),
    ("AveragePool", {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0]}, IMAGE, []),
]


@pytest.mark.parametrize(
    ("op", "attributes", "shape", "constants"),
    TAKEN,
    ids=[f"{i}-{case[0]}" for i, case in enumerate(TAKEN)],
)
def test_what_onnx_runtime_takes(
    tmp_path: Path, op: str, attributes: dict[str, Any], shape: list[int], constants: list[Any]
) -> None:
    inputs = ["x", *(f"c{i}" for i in range(len(constants)))]
    node = make_node(op, inputs, ["y"], **attributes)
    path = save(tmp_path / "m.onnx", [node], shape, constants)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (wanted,) = session(path).run(None, {"x": x})
    np.testing.assert_allclose(evaluate(from_onnx(path), x)[0], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("declared", [[3, 2], [6], [2, 4]])
def test_an_output_of_another_shape_than_declared_is_noted(
    tmp_path: Path, declared: list[int]
) -> None:
    """ONNX Runtime warns and runs."""
    path = save(tmp_path / "m.onnx", [make_node("Relu", ["x"], ["y"])], [2, 3], [], ["y"], declared)
    assert runs(path, [2, 3])
    (note,) = from_onnx(path).notes
    assert note.code == "bad-shape"
    assert "the output `y`: the file declares (" in note.message
    assert note.message.endswith("it is (2, 3)")


def reshaped(path: Path, target: Sequence[int]) -> Path:
    """One image after another: a product of each, in rows that a reshape makes."""
    nodes = [
        make_node("Relu", ["x"], ["a"]),
        make_node("Reshape", ["a", "c0"], ["b"], name="rows"),
        make_node("Tanh", ["b"], ["y"]),
    ]
    return save(path, nodes, [1, 2, 3], [at(*target)])


@pytest.mark.parametrize("target", [[-1, 6], [0, -1], [-1, 3]])
def test_a_file_that_fixes_its_batch_takes_another(tmp_path: Path, target: list[int]) -> None:
    path = reshaped(tmp_path / "m.onnx", target)
    model = from_onnx(path, shapes={"x": (5, 2, 3)})
    (note,) = (note for note in model.notes if note.code == "bad-shape")
    assert "(5, 2, 3), the file fixes (1, 2, 3)" in note.message
    x = np.random.default_rng(0).normal(size=(5, 2, 3))
    wanted = np.tanh(np.maximum(x, 0)).reshape(-1, target[1] if target[1] > 0 else 6)
    np.testing.assert_allclose(evaluate(model, x)[0], wanted, rtol=1e-6)


@pytest.mark.parametrize("target", [[1, 6], [1, -1], [1, -1, 3]])
def test_a_reshape_that_holds_a_batch_of_one_is_named(tmp_path: Path, target: list[int]) -> None:
    path = reshaped(tmp_path / "m.onnx", target)
    from_onnx(path)
    with pytest.raises(IRPyTorchError, match=r"node 1 \(Reshape\).*`rows`"):
        from_onnx(path, shapes={"x": (5, 2, 3)})


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3, 1)])
def test_a_shape_of_another_rank_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(IRPyTorchError, match="must fit"):
        from_onnx(reshaped(tmp_path / "m.onnx", [-1, 6]), shapes={"x": shape})
