"""ONNX files of a few nodes, and what ONNX Runtime and our modules make of them."""

from __future__ import annotations

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


def competition_network(name: str) -> tuple[Model, onnxruntime.InferenceSession, str]:
    """A network of the verification competition by both, and the name of its input."""
    path = NETWORKS / f"{name}.onnx"
    if not path.exists():
        pytest.skip("../shared/data is not here")
    runtime = session(path)
    (entry,) = [i for i in runtime.get_inputs() if i.type == "tensor(float)"][:1]
    return from_onnx(path), runtime, entry.name


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
