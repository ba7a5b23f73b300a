"""Names of an ONNX file by scope: branches, functions and bodies of loops, beside ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_files
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_files import Array, generated, make_node, outputs, session

from hatch_irpytorch import IRPyTorchError, Model, evaluate
from hatch_irpytorch.capture import from_onnx

Nodes = Sequence[onnx.NodeProto]
MATRIX = np.array([[1.0, 2.0], [-1.0, 0.5]], np.float32)
make_function: Any = helper.make_function


def value(name: str, kind: int = TensorProto.FLOAT, shape: Any = None) -> onnx.ValueInfoProto:
    info: onnx.ValueInfoProto = helper.make_tensor_value_info(name, kind, shape)
    return info


def stored(constants: dict[str, Any]) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()]


def graph(
    nodes: Nodes, results: Sequence[str], constants: dict[str, Any] | None = None
) -> onnx.GraphProto:
    """A graph inside a node: without inputs, it sees the names around it."""
    found: onnx.GraphProto = helper.make_graph(
        nodes, "inner", [], [value(name) for name in results], stored(constants or {})
    )
    return found


def save(path: Path, nodes: Nodes, constants: dict[str, Any], **more: Any) -> Path:
    """A model of `x` (2, 2) and `y` with what the nodes name."""
    outer = helper.make_graph(
        nodes, "outer", [value("x", shape=[2, 2])], [value("y")], stored(constants)
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    model = helper.make_model(outer, opset_imports=imports, ir_version=9, **more)
    path.write_bytes(model.SerializeToString())
    return path


def check(path: Path, wanted: Array | None = None) -> Model:
    """The file gives what ONNX Runtime gives, or `wanted` where that refuses it."""
    x = np.array([[0.5, -1.5], [2.0, 0.25]], np.float32)
    model = from_onnx(path)
    if wanted is None:
        (wanted,) = session(path).run(None, {"x": x})
    np.testing.assert_allclose(evaluate(model, x)[0], wanted, rtol=1e-6)
    np.testing.assert_allclose(outputs(generated(model), x)[0], wanted, rtol=1e-5)
    return model


def branch(result: str, then: onnx.GraphProto, other: onnx.GraphProto | None = None) -> Any:
    return make_node("If", ["yes"], [result], then_branch=then, else_branch=other or then)


YES = {"yes": np.array(True)}


def test_siblings_have_numbers_of_their_own(tmp_path: Path) -> None:
    """Stored ones, and those that nodes make of constants alone."""

    def added(number: float) -> onnx.GraphProto:
        nodes = [make_node("Add", ["k", "k"], ["twice"]), make_node("Add", ["x", "twice"], ["o"])]
        return graph(nodes, ["o"], {"k": np.float32(number)})

    nodes = [
        branch("p", added(1), added(2)),
        branch("q", added(10), added(20)),
        make_node("Sub", ["p", "q"], ["pq"]),
        make_node("Mul", ["p", "pq"], ["y"]),
    ]
    check(save(tmp_path / "m.onnx", nodes, YES))


def test_an_inner_name_hides_an_outer_one_and_no_longer_than_its_graph(tmp_path: Path) -> None:
    """ONNX Runtime refuses some of these; the meaning is that of any lexical scope."""
    inner = graph([make_node("Mul", ["x", "k"], ["o"])], ["o"], {"k": np.float32(5)})
    middle = graph(
        [branch("a", inner), make_node("Add", ["a", "k"], ["o"])], ["o"], {"k": np.float32(3)}
    )
    nodes = [branch("b", middle), make_node("Sub", ["b", "k"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, {**YES, "k": np.float32(100)})
    x = np.array([[0.5, -1.5], [2.0, 0.25]])
    check(path, x * 5 + 3 - 100)


def test_products_of_siblings_take_their_own_bias(tmp_path: Path) -> None:
    """`t` is a product in both branches; each is one affine map with its own numbers."""

    def affine(scale: float) -> onnx.GraphProto:
        nodes = [make_node("MatMul", ["x", "w"], ["t"]), make_node("Add", ["t", "b"], ["o"])]
        numbers = {"w": MATRIX * np.float32(scale), "b": np.array([scale, 1], np.float32)}
        return graph(nodes, ["o"], numbers)

    nodes = [
        branch("p", affine(1)),
        branch("q", affine(3)),
        make_node("Mul", ["p", "q"], ["y"]),
    ]
    model = check(save(tmp_path / "m.onnx", nodes, YES))
    tags = [node.op.tag for node in model.graph.nodes]
    assert tags == ["input", "linear", "linear", "mul_elem"]


def test_a_product_that_a_branch_reads_too_is_no_affine_map(tmp_path: Path) -> None:
    """Its bias may not be put into it: what the branch reads would be another product."""
    nodes = [
        make_node("MatMul", ["x", "w"], ["t"]),
        make_node("Add", ["t", "b"], ["s"]),
        branch("r", graph([make_node("Neg", ["t"], ["o"])], ["o"])),
        make_node("Mul", ["s", "r"], ["y"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, {**YES, "w": MATRIX, "b": np.array([1, 2], np.float32)})
    tags = [node.op.tag for node in check(path).graph.nodes]
    assert tags.count("linear") == 1


def scaled_and_shifted(**more: Any) -> onnx.FunctionProto:
    """`a * factor + shift`, or plus 1 where the call gives no shift; its names are `x` and `t`."""
    factor = helper.make_node("Constant", [], ["t"])
    attribute = factor.attribute.add()
    attribute.name, attribute.type = "value_float", onnx.AttributeProto.FLOAT
    attribute.ref_attr_name = "factor"
    nodes = [factor, make_node("Mul", ["a", "t"], ["x"]), make_node("Sum", ["x", "c"], ["o"])]
    imports = [helper.make_opsetid("", 18)]
    function: onnx.FunctionProto = make_function(
        "own", "Scaled", ["a", "c"], ["o"], nodes, imports, ["factor"], **more
    )
    return function


def test_calls_of_a_function_have_scopes_of_their_own(tmp_path: Path) -> None:
    nodes = [
        make_node("Scaled", ["x", "c"], ["t"], domain="own", factor=2.0),
        make_node("Scaled", ["t", "x"], ["u"], domain="own", factor=-3.0),
        make_node("Sub", ["u", "t"], ["v"]),
        make_node("Sub", ["v", "x"], ["y"]),
    ]
    constants = {"c": np.array([1, 2], np.float32)}
    path = save(tmp_path / "m.onnx", nodes, constants, functions=[scaled_and_shifted()])
    check(path)


def test_a_function_that_calls_another_and_is_given_less(tmp_path: Path) -> None:
    """An input that a call leaves out is left out inside; attributes are handed on."""
    clip = make_node("Clip", ["a", "low", "high"], ["o"])
    inner = make_function("own", "In", ["a", "low", "high"], ["o"], [clip], [*imports_of(18)])
    call = helper.make_node("In", ["a", "", "b"], ["h"], domain="own")
    scale = helper.make_node("Scaled", ["h", "a"], ["o"], domain="own")
    attribute = scale.attribute.add()
    attribute.name, attribute.type = "factor", onnx.AttributeProto.FLOAT
    attribute.ref_attr_name = "by"
    outer = make_function("own", "Out", ["a", "b"], ["o"], [call, scale], imports_of(18), ["by"])
    nodes = [make_node("Out", ["x", "one"], ["y"], domain="own", by=4.0)]
    functions = [scaled_and_shifted(), inner, outer]
    path = save(tmp_path / "m.onnx", nodes, {"one": np.float32(1)}, functions=functions)
    check(path)


def imports_of(version: int) -> list[onnx.OperatorSetIdProto]:
    return [helper.make_opsetid("", version), helper.make_opsetid("own", 1)]


def test_a_function_may_be_of_another_opset_where_that_is_the_same(tmp_path: Path) -> None:
    """A softmax of opset 11 is another op: ONNX Runtime takes it for the one of the file."""
    for version in (13, 11):
        body = [make_node("Softmax", ["a"], ["o"], axis=0)]
        old = make_function("own", "Old", ["a"], ["o"], body, imports_of(version))
        nodes = [make_node("Old", ["x"], ["y"], domain="own")]
        path = save(tmp_path / "m.onnx", nodes, {}, functions=[old])
        if version == 13:
            check(path)
        else:
            with pytest.raises(IRPyTorchError, match="not compatible with the version"):
                from_onnx(path)


def loop(nodes: Nodes, results: Sequence[str], constants: dict[str, Any] | None = None) -> Any:
    """A body of the trip `i`, the condition `go` and the state `v`."""
    inputs = [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("v")]
    ends = [value("on", TensorProto.BOOL), *(value(name) for name in results)]
    body = [make_node("Identity", ["go"], ["on"]), *nodes]
    return helper.make_graph(body, "body", inputs, ends, stored(constants or {}))


@pytest.mark.parametrize("trips", [0, 1, 4])
def test_a_loop_of_counted_trips(tmp_path: Path, trips: int) -> None:
    """The state and the number of the trip, as ONNX Runtime has them."""
    nodes = [
        make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        make_node("Mul", ["v", "half"], ["t"]),
        make_node("Add", ["t", "f"], ["w"]),
    ]
    body = loop(nodes, ["w"], {"half": np.float32(0.5)})
    outer = [
        make_node("Loop", ["n", "", "x"], ["last"], body=body),
        make_node("Add", ["last", "k"], ["y"]),
    ]
    check(save(tmp_path / "m.onnx", outer, {"n": np.int64(trips), "k": np.float32(7)}))


def test_what_each_trip_gives_and_a_condition_that_ends_them(tmp_path: Path) -> None:
    nodes = [
        make_node("Add", ["v", "v"], ["w"]),
        make_node("Neg", ["w"], ["row"]),
        make_node("Less", ["i", "two"], ["less"]),
    ]
    body = loop(nodes, ["w", "row"])
    body.node[0].input[0] = "less"
    body.node.append(body.node[0])
    del body.node[0]
    outer = [
        make_node("Loop", ["n", "yes", "x"], ["last", "rows"], body=body),
        make_node("ReduceSum", ["rows", "axis"], ["all"], keepdims=0),
        make_node("Add", ["all", "last"], ["y"]),
    ]
    numbers = {**YES, "n": np.int64(9), "two": np.int64(2), "axis": np.array([0])}
    check(save(tmp_path / "m.onnx", outer, numbers))


def test_a_loop_that_the_input_ends(tmp_path: Path) -> None:
    body = loop([make_node("Add", ["v", "v"], ["w"])], ["w"])
    nodes = [
        make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        make_node("Cast", ["sum"], ["n"], to=TensorProto.INT64),
        make_node("Loop", ["n", "", "x"], ["y"], body=body),
    ]
    with pytest.raises(IRPyTorchError):
        from_onnx(save(tmp_path / "m.onnx", nodes, {}))


@pytest.mark.parametrize("backwards", [0, 1])
def test_a_scan_along_an_axis(tmp_path: Path, backwards: int) -> None:
    """The rows of `x` one after the other, with a state; its outputs turned as well."""
    nodes = [make_node("Sub", ["row", "s"], ["t"]), make_node("Mul", ["t", "row"], ["part"])]
    body = helper.make_graph(nodes, "body", [value("s"), value("row")], [value("t"), value("part")])
    said = {
        "scan_input_axes": [1],
        "scan_input_directions": [backwards],
        "scan_output_axes": [1],
        "scan_output_directions": [1 - backwards],
    }
    outer = [
        make_node("Scan", ["zero", "x"], ["s", "parts"], body=body, num_scan_inputs=1, **said),
        make_node("Add", ["parts", "s"], ["y"]),
    ]
    check(save(tmp_path / "m.onnx", outer, {"zero": np.array([0.5, 3], np.float32)}))


@pytest.mark.parametrize("backwards", [0, 1])
def test_a_scan_of_each_sample(tmp_path: Path, backwards: int) -> None:
    """As opset 8 has it: two inputs, one of them a constant, and a state for each sample."""
    nodes = [
        make_node("Mul", ["row", "other"], ["product"]),
        make_node("Sub", ["product", "s"], ["t"]),
        make_node("Mul", ["t", "row"], ["part"]),
    ]
    names = ["s", "row", "other"], ["t", "part"]
    inner: Any = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in side]
        for side in names
    ]
    body = helper.make_graph(nodes, "body", *inner)
    said = {"num_scan_inputs": 2, "directions": [backwards, 0]}
    shape = [3, 4, 2]
    numbers = np.random.default_rng(0).normal(size=(18, 2)).astype(np.float32)
    constants = {"first": numbers[:3], "c": numbers[3:15].reshape(shape)}
    outer = [make_node("Scan", ["", "first", "x", "c"], ["last", "parts"], body=body, **said)]
    names_out = ("last", "parts")
    onnx_files.check(
        onnx_files.save(tmp_path / "m.onnx", outer, shape, 8, constants, names_out), shape
    )
    lengths = np.array([4, 2, 1])
    outer = [make_node("Scan", ["n", "first", "x", "c"], ["last", "parts"], body=body, **said)]
    path = tmp_path / "lengths.onnx"
    onnx_files.save(path, outer, shape, 8, {**constants, "n": lengths}, names_out)
    with pytest.raises(IRPyTorchError, match="sequences of given lengths"):
        from_onnx(path)


def test_the_numbers_of_a_body_are_one_parameter(tmp_path: Path) -> None:
    nodes = [make_node("MatMul", ["v", "w"], ["t"]), make_node("Tanh", ["t"], ["u"])]
    body = loop(nodes, ["u"])
    outer = [make_node("Loop", ["n", "", "x"], ["y"], body=body)]
    model = check(save(tmp_path / "m.onnx", outer, {"n": np.int64(3), "w": MATRIX}))
    assert [array.tolist() for array in model.params.values()] == [MATRIX.tolist()]


def test_a_matrix_of_two_products_is_one_parameter(tmp_path: Path) -> None:
    """A convolution holds its kernel: there a note tells that two of them learn on their own."""
    nodes = [
        make_node("MatMul", ["x", "w"], ["t"]),
        make_node("Tanh", ["t"], ["u"]),
        make_node("Gemm", ["u", "w", "b"], ["y"], transB=1),
    ]
    constants = {"w": MATRIX, "b": np.array([1, 2], np.float32)}
    model = check(save(tmp_path / "m.onnx", nodes, constants))
    assert sum(array.shape == (2, 2) for array in model.params.values()) == 1
    assert all(note.code != "untied" for note in model.notes)
    kernel = {"w": MATRIX.reshape(2, 2, 1), "s": np.array([1, 2, 2])}
    nodes = [
        make_node("Reshape", ["x", "s"], ["t"]),
        make_node("Conv", ["t", "w"], ["u"]),
        make_node("Conv", ["u", "w"], ["y"]),
    ]
    notes = check(save(tmp_path / "m.onnx", nodes, kernel)).notes
    (untied,) = (note for note in notes if note.code == "untied")
    assert "`w` is a kernel of several nodes" in untied.message
