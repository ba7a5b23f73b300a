"""What has no form inside of branches, loops and functions is told with all the rest, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_files import make_node

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.capture import from_onnx

OWN = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]


def value(name: str, kind: int = TensorProto.FLOAT, shape: Any = None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def told(path: Path, nodes: list[Any], functions: list[Any]) -> list[str]:
    numbers = {"k": np.array([1]), "n": np.array(3)}
    stored = [numpy_helper.from_array(array, name) for name, array in numbers.items()]
    graph = helper.make_graph(nodes, "g", [value("x", shape=[2, 3])], [value("y")], stored)
    model = helper.make_model(graph, opset_imports=OWN, ir_version=9, functions=functions)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(IRPyTorchError) as raised:
        from_onnx(path)
    return [str(problem) for problem in raised.value.problems]


def test_all_is_told_at_once_and_each_once_with_its_path(tmp_path: Path) -> None:
    """A branch that the input chooses, the body of a loop, and a function that is called twice."""
    branch = helper.make_graph(
        [make_node("Foo", ["x"], ["o"], name="foo", domain="own")], "b", [], [value("o")]
    )
    body = helper.make_graph(
        [
            make_node("Identity", ["go"], ["on"]),
            make_node("Bar", ["v"], ["w"], name="bar", domain="own"),
        ],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("v")],
        [value("on", TensorProto.BOOL), value("w")],
    )
    inner = [
        make_node("Floor", ["a"], ["t"], name="floor"),
        make_node("Ceil", ["t"], ["o"], name="ceil"),
    ]
    function: Any = helper.make_function("own", "F", ["a"], ["o"], inner, OWN)
    nodes = [
        make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        make_node("Greater", ["s", "s"], ["chosen"]),
        make_node("If", ["chosen"], ["p"], name="if", then_branch=branch, else_branch=branch),
        make_node("Loop", ["n", "", "x"], ["q"], name="loop", body=body),
        make_node("F", ["x"], ["r"], name="one", domain="own"),
        make_node("F", ["r"], ["u"], name="two", domain="own"),
        make_node("Sum", ["p", "q", "u"], ["y"]),
    ]
    lines = told(tmp_path / "m.onnx", nodes, [function])
    for path in ("`if`", "if/then_branch/foo", "loop/body/bar", "one/floor", "one/ceil"):
        assert sum(f"{path}" in line for line in lines) == 1, (path, lines)
    assert not any("two/" in line or "`y`" in line for line in lines)
    assert sum(line.endswith("2 times") for line in lines) == 2


@pytest.mark.parametrize(
    "chain",
    [
        [("Shape", ["a"]), ("ConstantOfShape", ["0"]), ("Add", ["1", "x"])],
        [("Size", ["a"]), ("BitShift", ["0", "0"], {"direction": "LEFT"}), ("Cast", ["1"])],
        [("Shape", ["a"]), ("NonZero", ["0"]), ("Cast", ["1"])],
        [("CenterCropPad", ["a", "k"], {"axes": [0]})],
        [("SoftmaxCrossEntropyLoss", ["a", "x"])],
        [("AffineGrid", ["a", "sizes"])],
    ],
    ids=lambda chain: chain[-2 if len(chain) > 1 else -1][0],
)
def test_what_has_a_form_for_constants_is_not_told_behind_a_refusal(
    tmp_path: Path, chain: list[Any]
) -> None:
    """Of a refused node not even the shape is known; what is computed of that may be constant."""
    nodes = [make_node("Foo", ["x"], ["a"], domain="own")]
    for position, (op, inputs, *attributes) in enumerate(chain):
        given = {"to": 1} if op == "Cast" else dict(*attributes)
        output = "y" if position == len(chain) - 1 else f"{position}"
        nodes.append(make_node(op, inputs, [output], **given))
    sizes = numpy_helper.from_array(np.array([1, 1, 2, 2]))
    nodes.insert(0, make_node("Constant", [], ["sizes"], value=sizes))
    (line,) = told(tmp_path / "m.onnx", nodes, [])
    assert "`Foo`" in line
