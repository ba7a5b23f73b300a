"""How much a captured model holds: parameters in their dtype, kernels without their zeros."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx_files import make_node
from torch import nn

from hatch_irpytorch.build.export import exported_json, exported_store
from hatch_irpytorch.capture import from_onnx, from_torch
from hatch_irpytorch.capture.files import captured_paths, write_captured
from hatch_irpytorch.capture.pytorch.convert import from_torch as captured
from hatch_irpytorch.ir.graph import Model
from hatch_irpytorch.ir.read import build_model, read_model


def kernels(model: Model) -> list[tuple[int, ...]]:
    return [array.shape for (_, field), array in model.params.items() if field == "weight"]


@pytest.mark.parametrize(
    ("dtype", "held"),
    [
        (torch.float64, np.float64),
        (torch.float32, np.float32),
        (torch.float16, np.float32),
        (torch.bfloat16, np.float32),
    ],
)
def test_parameters_keep_their_dtype(dtype: torch.dtype, held: type) -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)).to(dtype)
    model = from_torch(module, torch.rand(2, 4).to(dtype))
    assert {array.dtype.type for array in model.params.values()} == {held}


def test_training_after_a_capture_does_not_change_the_model() -> None:
    for dtype in (torch.float32, torch.float64):
        module = nn.Linear(2, 2).to(dtype)
        model = from_torch(module, torch.rand(1, 2).to(dtype))
        before = {key: array.copy() for key, array in model.params.items()}
        with torch.no_grad():
            module.weight.add_(1.0)
        assert all(np.array_equal(array, before[key]) for key, array in model.params.items())


def test_a_capture_on_its_way_to_files_copies_no_parameters() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Conv1d(2, 4, 1, groups=2))
    model = captured(module, torch.rand(1, 2, 3))
    own = [tensor.detach().numpy() for tensor in module.parameters()]
    assert len(model.params) == len(own)
    for array in model.params.values():
        assert any(np.shares_memory(array, tensor) for tensor in own)


def test_a_grouped_kernel_is_packed_until_it_is_exported(tmp_path: Path) -> None:
    module = nn.Conv2d(6, 9, (2, 1), groups=3)
    model = from_torch(module, torch.rand(1, 6, 4, 4))
    assert kernels(model) == [(9, 2, 2, 1)]
    write_captured(model, tmp_path / "net", "Net", "float32")
    graph, params, _ = captured_paths(tmp_path / "net")
    assert kernels(read_model(graph, params)) == [(9, 2, 2, 1)]
    document = exported_json(model)
    (tmp_path / "dense.safetensors").write_bytes(bytes(exported_store(model)))
    for again in (
        build_model(document, "g.ir.json"),
        read_model(graph, tmp_path / "dense.safetensors"),
    ):
        assert again.notes == ()
        np.testing.assert_array_equal(again.params[1, "weight"], model.params[1, "weight"])


def test_a_kernel_for_each_channel_costs_its_own_numbers() -> None:
    channels = 4096
    module = nn.Conv1d(channels, channels, 3, groups=channels)
    x = torch.rand(1, channels, 4)
    from_torch(module, x)
    tracemalloc.start()
    model = from_torch(module, x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(array.size for array in model.params.values()) == 4 * channels
    dense = 4 * 3 * channels**2
    assert peak < dense / 4


def test_the_bytes_of_an_onnx_file_are_let_go_when_it_is_parsed(tmp_path: Path) -> None:
    """What Python holds is the file before, and the numbers of its tensors after."""
    node = make_node("MatMul", ["x", "w"], ["y"])
    numbers = numpy_helper.from_array(np.ones((700, 700), np.float32), "w")
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 700]) for n in "xy")
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "g", [x], [y], [numbers])), path)
    from_onnx(path)
    tracemalloc.start()
    from_onnx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * path.stat().st_size
