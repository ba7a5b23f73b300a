"""ONNX ops that write a tensor to constant places of another, and `max_unpool` of torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from applied_functions import captured_function, emitted
from onnx_files import check, make_node, save
from torch import nn

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.capture import from_onnx

UPDATES = np.arange(12, dtype=np.float32).reshape(2, 2, 3)


@pytest.mark.parametrize(
    ("starts", "attributes"),
    [
        (None, {}),
        ([1, 3], {}),
        ([2, 0], {"axis": 1, "mode": "linear"}),
        ([4, 3], {"mode": "circular"}),
    ],
)
def test_updates_from_a_place_on(tmp_path: Path, starts: Any, attributes: Any) -> None:
    constants = {"u": UPDATES} | ({} if starts is None else {"at": np.array(starts)})
    node = make_node("TensorScatter", ["x", *constants], ["y"], **attributes)
    check(save(tmp_path / "m.onnx", [node], [2, 5, 3], 24, constants), [2, 5, 3])


def test_updates_of_the_input_in_another_axis(tmp_path: Path) -> None:
    constants = {"cache": np.ones((2, 2, 3, 4), np.float32), "at": np.array([0, 3])}
    node = make_node("TensorScatter", ["cache", "x", "at"], ["y"], axis=-1)
    check(save(tmp_path / "m.onnx", [node], [2, 2, 3, 1], 24, constants), [2, 2, 3, 1])


def pooled(shape: list[int], **attributes: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The places of the largest entries of windows, as the flat ones of the tensor."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    places = nn.functional.max_pool2d_with_indices(x, **attributes)[1].numpy()
    planes = np.arange(shape[0] * shape[1]).reshape(*shape[:2], 1, 1)
    return np.asarray(places + planes * shape[2] * shape[3])


@pytest.mark.parametrize(
    ("whole", "attributes", "windows"),
    [
        ([1, 1, 4, 4], {"strides": [2, 2]}, {"stride": 2}),
        ([2, 3, 6, 4], {"strides": [2, 2]}, {"stride": 2}),
        ([1, 2, 4, 5], {"strides": [2, 3], "pads": [0, 1, 0, 1]}, {"stride": 2}),
    ],
)
def test_pooling_undone(
    tmp_path: Path, whole: list[int], attributes: dict[str, list[int]], windows: dict[str, int]
) -> None:
    kernel = [2, 4] if "pads" in attributes else [2, 2]
    places = pooled(whole, kernel_size=2, **windows)
    node = make_node("MaxUnpool", ["x", "at"], ["y"], kernel_shape=kernel, **attributes)
    shape = list(places.shape)
    check(save(tmp_path / "m.onnx", [node], shape, 11, {"at": places}), shape)


REFUSED: list[tuple[str, list[str], list[int], dict[str, Any], dict[str, Any], str]] = [
    (
        "TensorScatter",
        ["x", "u", "at"],
        [2, 5, 3],
        {"u": UPDATES, "at": np.array([1, 4])},
        {},
        "2 entries from",
    ),
    (
        "MaxUnpool",
        ["x", "at", "shape"],
        [1, 1, 2, 2],
        {"at": np.array([[[[5, 7], [13, 15]]]]), "shape": np.array([1, 1, 5, 5])},
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        "two meanings",
    ),
    (
        "MaxUnpool",
        ["x", "at"],
        [1, 1, 2, 2],
        {"at": np.array([[[[5, 7], [13, 16]]]])},
        {"kernel_shape": [2, 2], "strides": [2, 2]},
        "places beyond",
    ),
]


@pytest.mark.parametrize(("op", "inputs", "shape", "constants", "attributes", "words"), REFUSED)
def test_places_that_are_beyond_or_unclear(
    tmp_path: Path, op: str, inputs: Any, shape: Any, constants: Any, attributes: Any, words: str
) -> None:
    node = make_node(op, inputs, ["y"], **attributes)
    path = save(tmp_path / "m.onnx", [node], shape, 24, constants)
    with pytest.raises(IRPyTorchError, match=words):
        from_onnx(path)


AT = torch.tensor([[[1, 6], [11, 12]], [[0, 7], [9, 15]]])
unpool2d = nn.functional.max_unpool2d
UNPOOLED: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], list[int]]] = {
    "1d": (lambda x: nn.functional.max_unpool1d(x, AT[:, 0], [8]), [2, 2]),
    "2d": (lambda x: unpool2d(x, AT, [2, 2]), [2, 2, 2]),
    "2d of a size": (
        lambda x: unpool2d(x, AT, [2, 2], output_size=[5, 5]),
        [2, 2, 2],
    ),
    "2d of a batch": (lambda x: unpool2d(x, AT[:, None], [2, 2]), [2, 1, 2, 2]),
    "3d": (lambda x: nn.functional.max_unpool3d(x, AT[None], [2, 2, 2]), [1, 2, 2, 2]),
}


@pytest.mark.parametrize("name", UNPOOLED)
def test_pooling_undone_in_torch(name: str) -> None:
    function, shape = UNPOOLED[name]
    module = emitted(captured_function(function, torch.zeros(shape)))
    x = torch.randn(shape)
    torch.testing.assert_close(module(x), function(x))
