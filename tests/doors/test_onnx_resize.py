"""`Resize` and `Upsample` of every age beside ONNX Runtime: extents, entries and weights."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hatch_irpytorch import IRPyTorchError, evaluate
from hatch_irpytorch.capture import from_onnx

Array = np.ndarray[Any, np.dtype[Any]]
Given = dict[str, Any]
make_node: Any = helper.make_node


def document(opset: int, shape: list[int], given: Given, *, constant: bool = False) -> bytes:
    """A resize by `scales` or `sizes`; the other keys are attributes."""
    given = dict(given)
    op = "Resize" if opset >= 10 else "Upsample"
    stored = []
    inputs = ["c" if constant else "x"]
    if "scales" in given and opset >= 9:
        stored.append(numpy_helper.from_array(np.array(given.pop("scales"), np.float32), "scales"))
    if "sizes" in given:
        stored.append(numpy_helper.from_array(np.array(given.pop("sizes"), np.int64), "sizes"))
    if opset >= 11:
        stored.append(numpy_helper.from_array(np.zeros(0, np.float32), "none"))
        inputs.append("none")
    if opset >= 9:
        names = {tensor.name for tensor in stored}
        inputs.append("scales" if "scales" in names else "none")
        inputs += ["sizes"] if "sizes" in names else []
    nodes = [make_node(op, inputs, ["r"], **given), make_node("Identity", ["r"], ["y"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    if constant:
        numbers = np.random.default_rng(2).normal(size=shape).astype(np.float32)
        stored.append(numpy_helper.from_array(numbers, "c"))
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
        nodes[-1] = make_node("Add", ["r", "x"], ["y"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "graph", [x], [y], stored)
    imports = [helper.make_opsetid("", opset)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=imports, ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def by_runtime(data: bytes, x: Array) -> Array:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x})
    return np.asarray(found)


def check(folder: Path, opset: int, shape: list[int], given: Given) -> None:
    data = document(opset, shape, given)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    wanted = by_runtime(data, x)
    path = folder / "m.onnx"
    path.write_bytes(data)
    (found,) = evaluate(from_onnx(path), x)
    assert found.shape == wanted.shape, (opset, shape, given)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5, err_msg=f"{opset} {given}")


def snaps() -> bool:
    """Whether this ONNX Runtime takes 14.499999 for a half, as the newer ones do."""
    given = {"nearest_mode": "round_prefer_ceil", "sizes": [6]}
    return bool(by_runtime(document(13, [20], given), np.arange(20, dtype=np.float32))[4] == 15)


POSITIONS = (
    *("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"),
    "tf_half_pixel_for_nn",
)
SCALES = (0.1, 0.25, 0.3, 1 / 3, 0.5, 0.6, 2 / 3, 0.75, 0.9, 1.1, 1.25, 4 / 3, 1.5, 1.7, 2, 2.5, 3)


def drawn(draw: random.Random, opset: int, rounds: bool) -> tuple[list[int], Given]:
    """A shape of two axes and a resize of it that the opset has."""
    shape = [draw.randint(1, 30), draw.randint(1, 9)]
    scales = [draw.choice((*SCALES, draw.uniform(0.05, 5))), draw.choice((1, 1, *SCALES))]
    mode = draw.choice(("nearest", "linear", "cubic") if opset >= 11 else ("nearest", "linear"))
    given: Given = {"mode": mode}
    if opset < 11:
        scales = [float(max(s, 1 / s) if opset < 10 else s) for s in scales]
        return shape, {**given, "scales": scales}
    given["coordinate_transformation_mode"] = draw.choice(POSITIONS[: -1 if mode == "cubic" else 6])
    given["nearest_mode"] = draw.choice(("floor", "ceil"))
    if rounds:
        given["nearest_mode"] = draw.choice(("round_prefer_floor", "round_prefer_ceil", "floor"))
    if mode == "cubic":
        given["cubic_coeff_a"] = draw.choice((-0.75, -0.5))
        given["exclude_outside"] = draw.randint(0, 1)
    if opset >= 18 and mode != "nearest" and draw.random() < 0.4:
        given["antialias"] = 1
        given["exclude_outside"] = draw.randint(0, 1)
    sizes = [draw.randint(1, 60), draw.choice((shape[1], draw.randint(1, 20)))]
    by_size = draw.random() < 0.5
    if opset >= 18:
        policies = ("stretch", "not_larger", "not_smaller")
        given["keep_aspect_ratio_policy"] = draw.choice(policies) if by_size else "stretch"
    numbers = sizes if by_size else scales
    if opset >= 18 and draw.random() < 0.3:
        given["axes"] = draw.choice(([0], [1], [1, 0]))
        numbers = [numbers[axis] for axis in given["axes"]]
    return shape, {**given, "sizes" if by_size else "scales": numbers}


@pytest.mark.parametrize("opset", [7, 9, 10, 11, 13, 18, 19])
def test_a_grid_of_resizes(tmp_path: Path, opset: int) -> None:
    draw, rounds = random.Random(opset), snaps()
    for _ in range(150):
        check(tmp_path, opset, *drawn(draw, opset, rounds))


EXTENTS = [(5, 1.5), (10, 0.9), (33, 0.9), (7, 0.3), (10, 0.6), (16, 1.7), (3, 0.35), (5, 1.1)]
WAYS: list[Given] = [
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    {"mode": "cubic", "cubic_coeff_a": -0.75},
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("extent", "scale"), EXTENTS)
def test_scales_that_give_no_whole_extent(
    tmp_path: Path, extent: int, scale: float, way: Given
) -> None:
    given = {**way, "scales": [1, 1, scale, 1]}
    check(tmp_path, 17, [1, 2, extent, 2], given)
    (found,) = evaluate(from_onnx(tmp_path / "m.onnx"), np.zeros((1, 2, extent, 2)))
    assert found.shape[2] == int(np.float32(scale) * np.float32(extent))


@pytest.mark.parametrize(("extent", "size"), [(28, 41), (20, 6), (23, 28), (7, 16), (11, 26)])
@pytest.mark.parametrize("nearest", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("position", POSITIONS)
def test_positions_that_rounding_moves_over_a_half(
    tmp_path: Path, extent: int, size: int, nearest: str, position: str
) -> None:
    if "round" in nearest and not snaps():
        pytest.skip("this ONNX Runtime takes positions near a half as they are")
    given = {"coordinate_transformation_mode": position, "nearest_mode": nearest, "sizes": [size]}
    check(tmp_path, 13, [extent], given)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("extent", [1, 2, 7])
def test_one_entry_that_is_left(tmp_path: Path, position: str, mode: str, extent: int) -> None:
    given = {"coordinate_transformation_mode": position, "mode": mode}
    check(tmp_path, 13, [1, 1, extent, 3], {**given, "sizes": [1, 1, 1, 4]})
    check(tmp_path, 13, [1, 1, extent, 3], {**given, "scales": [1, 1, 1 / extent, 1.5]})


@pytest.mark.parametrize("shape", [[6], [2, 3], [2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4, 5]])
def test_every_rank(tmp_path: Path, shape: list[int]) -> None:
    scales = [1.0] * len(shape)
    scales[-1] = 1.7
    for mode in ("nearest", "linear") if len(shape) > 1 else ("nearest",):
        check(tmp_path, 13, shape, {"mode": mode, "scales": scales})
    # All extents stay: nothing moves, whatever the scale says.
    scales[-1] = 1.1
    check(tmp_path, 13, shape, {"scales": scales, "coordinate_transformation_mode": "asymmetric"})


@pytest.mark.parametrize("given", [{"scales": [1, 1.7]}, {"sizes": [3, 2], "mode": "linear"}])
def test_a_constant_is_resized_by_the_same_rules(tmp_path: Path, given: Given) -> None:
    path, x = tmp_path / "m.onnx", np.ones(1, np.float32)
    path.write_bytes(document(13, [3, 10], given, constant=True))
    (found,) = evaluate(from_onnx(path), x)
    np.testing.assert_allclose(found, by_runtime(path.read_bytes(), x), rtol=1e-5)


REFUSED: list[tuple[int, Given, str]] = [
    (13, {"scales": [1, 0]}, "a scale of 0 where one above 0 is needed"),
    (13, {"scales": [1, -2]}, "a scale of -2 where one above 0"),
    (13, {"scales": [1, float("nan")]}, "a scale of nan where one above 0"),
    (13, {"scales": [1, float("inf")]}, "a scale of inf where one above 0"),
    (10, {"scales": [1, 0]}, "a scale of 0 where one above 0"),
    (9, {"scales": [1, 0]}, "a scale of 0 where one of 1 or more"),
    (7, {"scales": [1.0, 0.5]}, "a scale of 0.5 where one of 1 or more"),
    (13, {"scales": [1]}, "2 axes by 1 numbers"),
    (13, {"sizes": [1, 2, 3]}, "2 axes by 3 numbers"),
    (13, {"sizes": [1, -2]}, "an extent of -2"),
    (13, {"scales": [1, 2], "sizes": [1, 2]}, "exactly one of scales and sizes"),
    (13, {}, "exactly one of scales and sizes"),
    (18, {"scales": [2, 2], "axes": [0, -2]}, "given twice"),
    (13, {"scales": [1, 2], "mode": "area"}, "whose `mode` is `area`"),
    (13, {"scales": [1, 2], "exclude_outside": 1}, "`exclude_outside` with the mode `nearest`"),
    (18, {"scales": [1, 2], "antialias": 1}, "`antialias` with the mode `nearest`"),
    (
        13,
        {"scales": [1, 2], "coordinate_transformation_mode": "tf_crop_and_resize"},
        "whose `coordinate_transformation_mode` is `tf_crop_and_resize`",
    ),
]


@pytest.mark.parametrize(("opset", "given", "message"), REFUSED)
def test_what_is_no_resize(tmp_path: Path, opset: int, given: Given, message: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(document(opset, [3, 4], given))
    with pytest.raises(IRPyTorchError) as caught:
        from_onnx(path)
    assert message in str(caught.value) and "error[inexpressible]" in str(caught.value)


@pytest.mark.parametrize("extent", [10**10, 2**62])
def test_an_extent_beyond_all_bounds_is_refused_at_once(tmp_path: Path, extent: int) -> None:
    path = tmp_path / "m.onnx"
    for given in ({"sizes": [1, extent]}, {"scales": [1, float(extent)]}):
        path.write_bytes(document(13, [3, 4], given))
        with pytest.raises(IRPyTorchError, match=r"error\[(too-large|inexpressible)\]"):
            from_onnx(path)
