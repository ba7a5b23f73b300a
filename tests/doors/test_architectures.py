"""Networks that nobody wrote for us: captured, emitted and run, they equal the original."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES
from captured_networks import captured
from documents import namespace
from torch import nn

from hatch_irpytorch import EmitOptions, emit_module, evaluate
from hatch_irpytorch.ir.read import build_model
from hatch_irpytorch.ir.write import document_text
from hatch_irpytorch.verify.source import check_source

TOLERANCE = 1e-5


def outputs(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        found = module(x)
    return list(found) if isinstance(found, tuple) else [found]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_generated_module_equals_the_original(name: str) -> None:
    module, x, model = captured(name)
    source = emit_module(model, EmitOptions()).source
    assert not check_source(source, f"{name}.py")
    generated = namespace(source)["ExportedIRModel"]()
    wanted, found = outputs(module, x), outputs(generated, x)
    for one, other, exact in zip(wanted, found, evaluate(model, x.numpy()), strict=True):
        assert one.shape == other.shape == exact.shape
        allowed = TOLERANCE * max(float(one.abs().max()), 1.0)
        assert float((one - other).abs().max()) <= allowed
        assert np.abs(one.numpy() - exact).max() <= allowed


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_captured_graph_survives_its_file(name: str) -> None:
    _, _, model = captured(name)
    again = build_model(document_text(model.graph, model.params).encode(), "graph.json")
    wanted = json.loads(document_text(model.graph, model.params))
    assert json.loads(document_text(again.graph, again.params)) == wanted


PLAIN = ("perceptron", "lenet", "vgg", "resnet", "densenet", "unet", "convnext", "mlp_mixer")
LAYERS: dict[type[nn.Module], str] = {
    nn.Linear: "linear",
    nn.Conv2d: "conv",
    nn.ConvTranspose2d: "conv",
    nn.BatchNorm2d: "batch_norm_eval",
    nn.LayerNorm: "layernorm",
}


@pytest.mark.parametrize("name", PLAIN)
def test_one_layer_becomes_one_node(name: str) -> None:
    module, _, model = captured(name)
    layers = Counter(LAYERS[type(m)] for m in module.modules() if type(m) in LAYERS)
    nodes = Counter(node.op.tag for node in model.graph.nodes)
    assert {tag: nodes[tag] for tag in set(LAYERS.values())} == {
        tag: layers[tag] for tag in set(LAYERS.values())
    }


@pytest.mark.parametrize("name", ["lstm_unrolled", "neural_ode", "siamese", "gpt", "lstm", "gru"])
def test_a_tensor_used_twice_stays_one_parameter(name: str) -> None:
    """As many numbers are trained as in the original, and none is there twice."""
    module, _, model = captured(name)
    generated = namespace(emit_module(model, EmitOptions()).source)["ExportedIRModel"]()
    trained = sum(p.numel() for p in generated.parameters())
    assert trained == sum(p.numel() for p in module.parameters())


def test_there_are_at_least_forty() -> None:
    assert len(ARCHITECTURES) >= 40
