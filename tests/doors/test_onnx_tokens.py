"""Ids in ONNX files, chosen outputs, and nodes that no output needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command_line import called
from onnx import TensorProto, helper, numpy_helper
from onnx_files import make_node, session

from hatch_irpytorch import IRPyTorchError, evaluate
from hatch_irpytorch.capture import from_onnx

V = 6
SHAPE = np.array([3, 2])
TABLE = np.random.default_rng(0).normal(size=(V, 4)).astype(np.float32)
IDS = np.array([[0, 5, 3], [3, 1, 4]])


def file(
    path: Path,
    nodes: list[Any],
    outputs: dict[str, int],
    kind: int = TensorProto.INT64,
    **constants: np.ndarray[Any, Any],
) -> Path:
    """A file of ids (2, 3), saved; `outputs` are ranks by name."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", kind, [2, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank)
            for name, rank in outputs.items()
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


NODES: dict[str, tuple[list[Any], int, dict[str, Any]]] = {
    "rows": ([make_node("Gather", ["t", "ids"], ["y"])], 3, {"t": TABLE}),
    "columns": ([make_node("Gather", ["t", "ids"], ["y"], axis=1)], 3, {"t": TABLE.T.copy()}),
    "elements": (
        [make_node("GatherElements", ["t", "ids"], ["y"], axis=1)],
        2,
        {"t": TABLE.T[:2].copy()},
    ),
    "vectors": (
        [
            make_node("Reshape", ["ids", "pairs"], ["places"]),
            make_node("Cast", ["places"], ["wide"], to=TensorProto.INT64),
            make_node("GatherND", ["square", "wide"], ["y"]),
        ],
        2,
        {"pairs": SHAPE, "square": np.arange(72.0, dtype=np.float32).reshape(6, 6, 2)},
    ),
    "units": (
        [make_node("OneHot", ["ids", "depth", "values"], ["y"], axis=1)],
        3,
        {"depth": np.array(5), "values": np.array([-1.0, 3.0], np.float32)},
    ),
    "numbers": (
        [
            make_node("Sub", ["five", "ids"], ["turned"]),
            make_node("Gather", ["t", "turned"], ["y"]),
        ],
        3,
        {"t": TABLE, "five": np.array(5)},
    ),
}


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32])
@pytest.mark.parametrize("name", NODES)
def test_rows_are_looked_up(tmp_path: Path, name: str, kind: int) -> None:
    nodes, rank, constants = NODES[name]
    dtype = np.int64 if kind == TensorProto.INT64 else np.int32
    given = {
        n: a.astype(dtype) if a.dtype.kind == "i" and a is not SHAPE else a
        for n, a in constants.items()
    }
    path = file(tmp_path / "m.onnx", nodes, {"y": rank}, kind, **given)
    model = from_onnx(path, tokens=V)
    (wanted,) = session(path).run(None, {"ids": IDS.astype(dtype)})
    np.testing.assert_allclose(evaluate(model, IDS)[0], wanted, rtol=1e-6, atol=1e-6)
    assert model.graph.integers == V


def test_the_kind_of_the_input_and_the_bound_go_together(tmp_path: Path) -> None:
    nodes, rank, constants = NODES["rows"]
    path = file(tmp_path / "m.onnx", nodes, {"y": rank}, **constants)
    with pytest.raises(IRPyTorchError, match=r"of float or double, found int64; .*--tokens"):
        from_onnx(path)
    with pytest.raises(IRPyTorchError, match="from 0 to 6 for a table of 6 rows"):
        from_onnx(path, tokens=V + 1)
    real = file(
        tmp_path / "r.onnx", [make_node("Abs", ["ids"], ["y"])], {"y": 2}, TensorProto.FLOAT
    )
    with pytest.raises(IRPyTorchError, match="must be of int64 or int32, found float"):
        from_onnx(real, tokens=V)


BRANCHES = [
    make_node("Abs", ["ids"], ["size"]),
    make_node("RandomNormalLike", ["size"], ["bad"]),
    make_node("Neg", ["size"], ["good"]),
]


def test_what_no_kept_output_needs_is_not_refused(tmp_path: Path) -> None:
    """An output without a form is refused, one that is not kept is not looked at."""
    path = file(
        tmp_path / "m.onnx",
        BRANCHES,
        {"good": 2, "bad": 2},
        TensorProto.FLOAT,
    )
    with pytest.raises(IRPyTorchError, match="RandomNormalLike"):
        from_onnx(path)
    (found,) = evaluate(from_onnx(path, keep=["good"]), -IDS)
    assert found.tolist() == (-IDS).tolist()
    with pytest.raises(IRPyTorchError, match="no output `better`; there are `good`, `bad`"):
        from_onnx(path, keep=["better"])


def test_dead_nodes_are_not_refused(tmp_path: Path) -> None:
    path = file(tmp_path / "m.onnx", BRANCHES, {"good": 2}, TensorProto.FLOAT)
    assert evaluate(from_onnx(path), IDS)[0].tolist() == (-IDS).tolist()


def test_the_command_takes_ids_and_chooses(tmp_path: Path) -> None:
    look_up = make_node("Gather", ["t", "ids"], ["y"])
    drawn = make_node("RandomNormalLike", ["y"], ["bad"])
    file(tmp_path / "m.onnx", [look_up, drawn], {"y": 3, "bad": 3}, t=TABLE)
    told = called(
        tmp_path, "import-onnx", "m.onnx", "--tokens", "6", "--keep-output", "y", "-o", "net"
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert '"integers": 6' in (tmp_path / "net.ir.json").read_text()
    wrong = called(tmp_path, "import-onnx", "m.onnx", "--tokens", "0", "-o", "net")
    assert wrong.returncode == 2
    assert "--tokens" in wrong.stderr
