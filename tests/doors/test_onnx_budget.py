"""What small ONNX files make a conversion do: bounded before the work, linear within the bounds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hatch_irpytorch import evaluate
from hatch_irpytorch.capture import from_onnx

pytest.importorskip("resource", reason="limits of memory are set with `resource`")
make_node: Any = helper.make_node
Nodes = list[onnx.NodeProto]
Constants = dict[str, Any]
FOUR_GIB = 4 << 30


def save(path: Path, nodes: Nodes, shape: list[int], constants: Constants, **more: Any) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()]
    graph = helper.make_graph(nodes, "graph", [x], [y], stored)
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9, **more)
    path.write_bytes(model.SerializeToString())
    return path


def imported(path: Path) -> subprocess.CompletedProcess[str]:
    """`import-onnx` in a process of its own, with 4 GiB of addresses and a minute."""
    program = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({FOUR_GIB}, {FOUR_GIB}))\n"
        "from hatch_irpytorch.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", program, "import-onnx", path.name, "-o", "out"]
    return subprocess.run(
        command, cwd=path.parent, capture_output=True, text=True, timeout=60, check=False
    )


def summed(*nodes: onnx.NodeProto) -> Nodes:
    """A constant `c` that is added to the input."""
    return [*nodes, make_node("Add", ["x", "c"], ["y"])]


def loop() -> onnx.NodeProto:
    body = helper.make_graph(
        [make_node("Identity", ["go"], ["on"]), make_node("Add", ["v", "v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [1]),
        ],
    )
    node: onnx.NodeProto = make_node("Loop", ["n", "t", "k"], ["c"], body=body)
    return node


K, BIG = np.ones(1, np.float32), np.array([10**10])
TOO_MUCH: dict[str, tuple[Nodes, list[int], Constants]] = {
    "Loop": (summed(loop()), [1], {"n": np.int64(2**62), "t": np.array(True), "k": K}),
    "RegexFullMatch": (
        summed(
            make_node("RegexFullMatch", ["s"], ["m"], pattern="(a|a)*b"),
            make_node("Cast", ["m"], ["c"], to=1),
        ),
        [1],
        {"s": np.array(["a" * 40], dtype=object)},
    ),
    "ConstantOfShape": (summed(make_node("ConstantOfShape", ["n"], ["c"])), [1], {"n": BIG // 10}),
    "Expand": (summed(make_node("Expand", ["k", "n"], ["c"])), [1], {"n": BIG, "k": K}),
    "Tile": (summed(make_node("Tile", ["k", "n"], ["c"])), [1], {"n": BIG, "k": K}),
    "Range": (
        summed(make_node("Range", ["a", "n", "k"], ["c"])),
        [1],
        {"a": np.float32(0), "n": np.float32(1e9), "k": np.float32(1)},
    ),
    "Pad": (summed(make_node("Pad", ["k", "n"], ["c"])), [1], {"n": np.full(2, 10**9), "k": K}),
    "OneHot": (
        summed(make_node("OneHot", ["i", "n", "v"], ["c"])),
        [1],
        {"n": BIG, "i": np.array([1]), "v": np.array([0, 1], np.float32)},
    ),
    "Concat": (
        [
            *(make_node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(40)),
            make_node("Add", ["x", "c40"], ["y"]),
        ],
        [1],
        {"c0": K},
    ),
    "Resize": (
        summed(make_node("Resize", ["k", "", "s"], ["c"])),
        [1],
        {"k": np.ones((1, 1, 9), np.float32), "s": np.array([1, 1, 1e8], np.float32)},
    ),
    "MatMul": (
        summed(make_node("ConstantOfShape", ["n"], ["o"]), make_node("MatMul", ["o", "o"], ["c"])),
        [1],
        {"n": np.array([2500, 2500])},
    ),
    "TopK": (
        [make_node("TopK", ["k", "n"], ["c", "i"]), make_node("Add", ["x", "c"], ["y"])],
        [1],
        {"n": BIG, "k": K},
    ),
    "Split": (
        [
            make_node("Split", ["k"], ["c"], axis=0, num_outputs=10**10),
            make_node("Add", ["x", "c"], ["y"]),
        ],
        [1],
        {"k": K},
    ),
    "CumSum": ([make_node("CumSum", ["x", "a"], ["y"])], [10**6], {"a": np.int64(0)}),
    "GRU": (
        [make_node("GRU", ["x", "w", "w"], ["y"], hidden_size=2)],
        [10**6, 1, 2],
        {"w": np.ones((1, 6, 2), np.float32)},
    ),
    "LSTM": (
        [make_node("LSTM", ["x", "w", "w"], ["", "y"], hidden_size=1, direction="reverse")],
        [10**6, 1, 1],
        {"w": np.ones((1, 4, 1), np.float32)},
    ),
    "LRN": ([make_node("LRN", ["x"], ["y"], size=3)], [1, 10**6, 1, 1], {}),
    "Trilu": ([make_node("Trilu", ["x"], ["y"])], [10**6, 10**6], {}),
    "GatherND": ([make_node("GatherND", ["x", "i"], ["y"])], [10**9], {"i": np.array([[1]])}),
}


@pytest.mark.parametrize("op", TOO_MUCH)
def test_too_much_is_one_error_before_the_work(tmp_path: Path, op: str) -> None:
    """Within 4 GiB and a minute; the error names the node, and nothing is written."""
    path = save(tmp_path / "m.onnx", *TOO_MUCH[op])
    result = imported(path)
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1 and f"({op})" in result.stderr
    assert "error[too-large]" in result.stderr or "nothing bounds" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize(
    "node",
    [
        make_node("Trilu", ["k"], ["c"]),
        make_node("Concat", ["x", "k"], ["c"], axis=7),
        make_node("Softmax", ["x"], ["c"], axis=3),
        make_node("Gather", ["x", "i"], ["c"], axis=-2),
    ],
    ids=lambda node: node.op_type,
)
def test_an_axis_that_is_not_there_is_an_error(tmp_path: Path, node: onnx.NodeProto) -> None:
    nodes = [node, make_node("ReduceSum", ["c"], ["s"]), make_node("Add", ["x", "s"], ["y"])]
    constants = {"k": np.ones(10**5, np.float32), "i": np.array([0])}
    result = imported(save(tmp_path / "m.onnx", nodes, [1], constants))
    assert result.returncode == 2 and f"({node.op_type})" in result.stderr


def functions(bodies: list[Nodes]) -> list[onnx.FunctionProto]:
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    return [
        helper.make_function("own", f"f{i}", ["a"], ["c"], nodes, imports)
        for i, nodes in enumerate(bodies)
    ]


def test_functions_that_double_or_call_themselves(tmp_path: Path) -> None:
    calls = [make_node("f0", ["x"], ["y"], domain="own")]
    doubling = [
        [make_node(f"f{i + 1}", [a], [z], domain="own") for a, z in ("ab", "bc")] for i in range(40)
    ]
    more = functions([*doubling, [make_node("Relu", ["a"], ["c"])]])
    result = imported(save(tmp_path / "m.onnx", calls, [1], {}, functions=more))
    assert result.returncode == 2 and "node 0 (f0): error[too-large]" in result.stderr
    for circle in (["f0"], ["f1", "f0"]):
        more = functions([[make_node(name, ["a"], ["c"], domain="own")] for name in circle])
        result = imported(save(tmp_path / "m.onnx", calls, [1], {}, functions=more))
        assert result.returncode == 2 and "the function `f0` calls itself" in result.stderr


def test_thousands_of_parts_in_linear_memory(tmp_path: Path) -> None:
    parts = [f"p{i}" for i in range(20_000)]
    nodes = [
        make_node("Split", ["x"], parts, axis=0, num_outputs=len(parts)),
        make_node("Concat", parts[::-1], ["y"], axis=0),
    ]
    result = imported(save(tmp_path / "m.onnx", nodes, [20_000, 2], {}))
    assert result.returncode == 0, result.stderr


def test_a_long_recurrent_layer_in_linear_memory(tmp_path: Path) -> None:
    weights = {name: np.ones((1, 2, 2), np.float32) for name in "wr"}
    nodes = [make_node("RNN", ["x", "w", "r"], ["y"], hidden_size=2)]
    result = imported(save(tmp_path / "m.onnx", nodes, [4_000, 1, 2], weights))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("start, stop", [(0, 10**7), (1, 10**7), (10**7 - 7, 10**7)])
def test_a_slice_of_ten_million(tmp_path: Path, start: int, stop: int) -> None:
    bounds = {"a": np.array([start]), "z": np.array([stop])}
    nodes = [make_node("Slice", ["x", "a", "z"], ["y"])]
    result = imported(save(tmp_path / "m.onnx", nodes, [10**7], bounds))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("extent", [1025, 1500, 2048, 3001])
@pytest.mark.parametrize("axis", [0, 1])
def test_runs_of_a_long_axis_are_those_of_numpy(tmp_path: Path, extent: int, axis: int) -> None:
    rng = np.random.default_rng(extent)
    x = rng.normal(size=(extent, 2) if axis == 0 else (2, extent))
    for _ in range(6):
        start, stop = sorted(int(i) for i in rng.integers(0, extent + 1, size=2))
        bounds = {"a": np.array([start]), "z": np.array([stop]), "i": np.array([axis])}
        nodes = [make_node("Slice", ["x", "a", "z", "i"], ["y"])]
        (found,) = evaluate(from_onnx(save(tmp_path / "m.onnx", nodes, list(x.shape), bounds)), x)
        wanted = x[start:stop] if axis == 0 else x[:, start:stop]
        np.testing.assert_array_equal(found, wanted)
