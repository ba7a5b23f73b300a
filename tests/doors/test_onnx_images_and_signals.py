"""ONNX ops that read between entries, put windows together, transform signals, or make units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_files import Array, check, generated, make_node, outputs, save, session

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.capture import from_onnx


def random(*shape: int) -> Array:
    """Places that reach beyond the edges, ends and middles among them."""
    found = np.random.default_rng(len(shape)).uniform(-1.7, 1.7, shape)
    found.reshape(-1)[:3] = -1.0, 0.0, 1.0
    return found.astype(np.float32)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize(("opset", "mode"), [(16, "bilinear"), (20, "cubic"), (20, "nearest")])
@pytest.mark.parametrize("align", [0, 1])
def test_grid_sample(tmp_path: Path, padding: str, opset: int, mode: str, align: int) -> None:
    attributes = {"padding_mode": padding, "mode": mode, "align_corners": align}
    node = make_node("GridSample", ["x", "grid"], ["y"], **attributes)
    path = save(tmp_path / "m.onnx", [node], [2, 3, 4, 5], opset, {"grid": random(2, 3, 2, 2)})
    check(path, [2, 3, 4, 5])


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_grid_sample_of_volumes(tmp_path: Path, mode: str) -> None:
    node = make_node("GridSample", ["x", "grid"], ["y"], mode=mode, padding_mode="border")
    grid = random(1, 2, 3, 2, 3)
    check(save(tmp_path / "m.onnx", [node], [1, 2, 3, 4, 2], 20, {"grid": grid}), [1, 2, 3, 4, 2])


COLUMNS: list[tuple[list[int], list[int], list[int], dict[str, list[int]]]] = [
    ([2, 12, 8], [5, 5], [2, 2], {"strides": [2, 1], "dilations": [1, 1]}),
    ([2, 12, 6], [5, 6], [2, 2], {"strides": [2, 1], "dilations": [1, 3]}),
    ([1, 8, 16], [4, 4], [2, 2], {"pads": [1, 0, 0, 1]}),
    ([1, 4, 6], [4, 6], [2, 2], {"strides": [2, 2]}),
    ([2, 6, 5], [7], [3], {}),
]


@pytest.mark.parametrize(("shape", "sizes", "kernel", "attributes"), COLUMNS)
def test_columns(
    tmp_path: Path, shape: list[int], sizes: list[int], kernel: list[int], attributes: Any
) -> None:
    node = make_node("Col2Im", ["x", "sizes", "kernel"], ["y"], **attributes)
    constants = {"sizes": np.array(sizes), "kernel": np.array(kernel)}
    check(save(tmp_path / "m.onnx", [node], shape, 18, constants), shape)


TRANSFORMS: list[tuple[int, list[int], int | None, int | None, dict[str, int]]] = [
    (17, [2, 6, 1], None, None, {}),
    (17, [2, 5, 3, 1], None, None, {"axis": 2, "onesided": 1}),
    (17, [2, 6, 2], 4, None, {"axis": 1}),
    (17, [2, 6, 2], None, None, {"inverse": 1}),
    (20, [2, 5, 3, 1], 8, 1, {"onesided": 1}),
    (20, [2, 5, 2], None, -2, {"inverse": 1}),
    (20, [3, 4, 2], None, None, {}),
    *[(20, [2, 5, 2], n, None, {"inverse": 1, "onesided": 1}) for n in (None, 8, 9)],
    (20, [4, 2, 3, 2], 7, 0, {"inverse": 1, "onesided": 1}),
]


@pytest.mark.parametrize(("opset", "shape", "length", "axis", "attributes"), TRANSFORMS)
def test_fourier_transforms(
    tmp_path: Path,
    opset: int,
    shape: list[int],
    length: int | None,
    axis: int | None,
    attributes: dict[str, int],
) -> None:
    constants: dict[str, Array] = {}
    for name, number in (("length", length), ("axis", axis)):
        if number is not None:
            constants[name] = np.array(number, dtype=np.int64)
    inputs = ["x", "length" if length is not None else "", "axis" if axis is not None else ""]
    while not inputs[-1]:
        inputs.pop()
    node = make_node("DFT", inputs, ["y"], **attributes)
    check(save(tmp_path / "m.onnx", [node], shape, opset, constants), shape)


@pytest.mark.parametrize("length", [1, 7, 12])
def test_other_than_half_of_a_transform_is_refused(tmp_path: Path, length: int) -> None:
    node = make_node("DFT", ["x", "length"], ["y"], inverse=1, onesided=1)
    path = save(tmp_path / "m.onnx", [node], [2, 5, 2], 20, {"length": np.array(length)})
    with pytest.raises(IRPyTorchError, match=f"5 entries as the half of {length}"):
        from_onnx(path)


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("given_by", ["window", "length", "both"])
def test_short_transforms(tmp_path: Path, onesided: int, given_by: str) -> None:
    window = np.hanning(7)[1:-1].astype(np.float32)
    constants = {"step": np.array(2), "window": window, "length": np.array(5)}
    inputs = {
        "window": ["x", "step", "window"],
        "length": ["x", "step", "", "length"],
        "both": ["x", "step", "window", "length"],
    }[given_by]
    node = make_node("STFT", inputs, ["y"], onesided=onesided)
    used = {name: constants[name] for name in inputs if name in constants}
    check(save(tmp_path / "m.onnx", [node], [2, 12, 1], 17, used), [2, 12, 1])


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("axis", [1, -1])
def test_products_up_to_each_entry(tmp_path: Path, exclusive: int, reverse: int, axis: int) -> None:
    """NumPy stands for ONNX Runtime, which has no `CumProd` yet."""
    node = make_node("CumProd", ["x", "axis"], ["y"], exclusive=exclusive, reverse=reverse)
    path = save(tmp_path / "m.onnx", [node], [2, 3, 5], 26, {"axis": np.array(axis)})
    x = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    turned = np.flip(x, axis) if reverse else x
    if exclusive:
        ones = np.ones_like(turned.take([0], axis))
        turned = np.concatenate([ones, turned.take(range(turned.shape[axis] - 1), axis)], axis)
    wanted = np.cumprod(turned, axis)
    (y,) = outputs(generated(from_onnx(path)), x)
    np.testing.assert_allclose(y, np.flip(wanted, axis) if reverse else wanted, 1e-5)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_determinants(tmp_path: Path, size: int) -> None:
    node = make_node("Det", ["x"], ["y"])
    check(save(tmp_path / "m.onnx", [node], [4, size, size], 11, {}), [4, size, size])


@pytest.mark.parametrize(("k", "dtype"), [(0, None), (1, 1), (-2, 1)])
def test_unit_matrices(tmp_path: Path, k: int, dtype: int | None) -> None:
    kind = {} if dtype is None else {"dtype": dtype}
    nodes = [
        make_node("EyeLike", ["x"], ["eye"], k=k, **kind),
        make_node("Add", ["x", "eye"], ["y"]),
    ]
    check(save(tmp_path / "m.onnx", nodes, [3, 5], 9, {}), [3, 5])


@settings(max_examples=20, deadline=None)
@given(opset=st.sampled_from([11, 13]), axis=st.sampled_from([0, 1, 2, -1]), seed=st.integers(0, 9))
def test_hardmax_of_values(
    tmp_path_factory: pytest.TempPathFactory, opset: int, axis: int, seed: int
) -> None:
    """With ties, of which the first counts."""
    node = make_node("Hardmax", ["x"], ["y"], axis=axis)
    path = save(tmp_path_factory.mktemp("hardmax") / "m.onnx", [node], [2, 3, 4], opset, {})
    x = np.random.default_rng(seed).integers(0, 3, (2, 3, 4)).astype(np.float32)
    (ours,) = outputs(generated(from_onnx(path)), x)
    (wanted,) = session(path).run(None, {"x": x})
    np.testing.assert_array_equal(ours, wanted)
