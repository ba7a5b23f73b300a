"""ONNX files of a few nodes, and what ONNX Runtime and our modules make of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from documents import namespace
from onnx import TensorProto, helper, numpy_helper
from repository import ROOT

from hatch_irpytorch import EmitOptions, Model, emit_module, evaluate
from hatch_irpytorch.capture import from_onnx

NETWORKS = ROOT.parent / "shared" / "data" / "vnncomp"
NAMES = (
    "acasxu_1_1",
    "cifar10_resnet_2b",
    "collins_rul_small_20",
    "convnet_avgpool",
    "dist_shift_mnist_concat",
    "marabou_cifar10_small",
    "ml4acopf_14",
    "mscn_128d",
    "tiny_yolo",
    "vit_pgd_2_3_16",
)
Array = np.ndarray[Any, np.dtype[Any]]
make_node: Any = helper.make_node
KERNEL = np.random.default_rng(1).normal(size=(4, 2, 3, 2)).astype(np.float32)


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def generated(model: Model) -> torch.nn.Module:
    text = emit_module(model, EmitOptions(training_skeleton=False)).source
    module: torch.nn.Module = namespace(text)["ExportedIRModel"]()
    return module


def outputs(module: torch.nn.Module, x: Array) -> list[Array]:
    with torch.no_grad():
        found = module(torch.from_numpy(x))
    return [y.numpy() for y in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("name", NAMES)
def test_networks_of_the_verification_competition(name: str) -> None:
    """Within 1e-4 of ONNX Runtime on 100 random inputs in [0, 1)."""
    path = NETWORKS / f"{name}.onnx"
    if not path.exists():
        pytest.skip("../shared/data is not here")
    model = from_onnx(path)
    runtime = session(path)
    (entry,) = [i for i in runtime.get_inputs() if i.type == "tensor(float)"][:1]
    module = generated(model)
    rng = np.random.default_rng(0)
    for _ in range(100):
        x = rng.random(model.graph.input_shape, dtype=np.float32)
        for wanted, found in zip(
            runtime.run(None, {entry.name: x}), outputs(module, x), strict=True
        ):
            assert wanted.shape == found.shape
            assert np.abs(wanted - found).max() <= 1e-4 * max(float(np.abs(wanted).max()), 1e-3)


def test_a_network_becomes_few_nodes() -> None:
    """Products with a bias are one `linear`, zero padding goes into the convolution."""
    if not NETWORKS.exists():
        pytest.skip("../shared/data is not here")
    tags = Counter(n.op.tag for n in from_onnx(NETWORKS / "acasxu_1_1.onnx").graph.nodes)
    assert tags == {"linear": 7, "relu": 6, "input": 1, "const": 1, "sub": 1, "reshape": 1}
    tags = Counter(n.op.tag for n in from_onnx(NETWORKS / "convnet_avgpool.onnx").graph.nodes)
    assert tags["conv"] == 1 and "concat" not in tags


# Single ops against ONNX Runtime


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    shape: list[int],
    opset: int,
    constants: dict[str, Array] | None = None,
    outputs: tuple[str, ...] = ("y",),
) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    ys = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    stored = [numpy_helper.from_array(a, name) for name, a in (constants or {}).items()]
    graph = helper.make_graph(nodes, "graph", [x], ys, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def check(path: Path, shape: list[int], positive: bool = False) -> Model:
    """The file equals ONNX Runtime, by the reference and by the generated module."""
    model = from_onnx(path)
    rng = np.random.default_rng(0)
    x = rng.random(shape) if positive else rng.normal(size=shape)
    x = x.astype(np.float32)
    wanted = session(path).run(None, {"x": x})
    for expected, found, exact in zip(
        wanted, outputs(generated(model), x), evaluate(model, x), strict=True
    ):
        assert expected.shape == found.shape == exact.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(exact, expected, rtol=1e-4, atol=1e-5)
    return model
