"""`layout: modules`: the same numbers as the graph, keys of the source, equal blocks once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES
from captured_networks import captured
from conftest import Counts
from documents import const, document, namespace, op, read
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from onnx_files import make_node, save
from random_graphs import RandomGraph, random_graphs
from torch import nn

from hatch_irpytorch import EmitOptions, IRPyTorchError, Model, emit_module
from hatch_irpytorch.capture import from_onnx, from_torch
from hatch_irpytorch.ir.keys import is_attribute, state_keys
from hatch_irpytorch.ir.params import StoreFile
from hatch_irpytorch.ir.read import build_model
from hatch_irpytorch.ir.stores import Entry
from hatch_irpytorch.ir.write import document_text

MODULES = EmitOptions(layout="modules", training_skeleton=False)

# Lying, nested, crossing and impossible places, and names that a module has itself.
PLACES = st.sampled_from(
    [
        *("a", "a.b", "a.b.0", "a.b.1", "c", "c.0", "c.1", "forward", "x", "0", "1", "0.x"),
        *("layers.0.fc", "layers.1.fc", "weight", "a.weight", "self", "print", "F", "torch"),
        *("step_0.fc", "step_1.fc", "__x", "if", "bias.0", "_parameters", "to.x"),
    ]
)
KEYS = st.sampled_from(
    [
        *("a.b.weight", "fc.weight", "layers.0.fc", "layers.1.fc", "a", "x.y", "weight", "1"),
        *("0.weight", "c.0.bias", "to", "a.b.bias", "layers.1.weight"),
    ]
)


def modules(model: Model, **options: Any) -> nn.Module:
    chosen = EmitOptions(layout="modules", training_skeleton=False, **options)
    made: nn.Module = namespace(emit_module(model, chosen).source)["ExportedIRModel"]()
    return made


def formatted(text: str) -> bool:
    """Whether the formatter leaves the code of a module as it is."""
    code = text[: text.find("\nNUMBERS = ")].rstrip() + "\n"
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "--check", "-"]
    found = subprocess.run(command, input=code, capture_output=True, text=True, check=False)
    return found.returncode == 0


def run(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        found = module(x)
    return [y.detach() for y in (found if isinstance(found, tuple) else (found,))]


@st.composite
def placed_graphs(draw: st.DrawFn) -> RandomGraph:
    """Random graphs whose nodes say, rightly or not, where they came from."""
    case = draw(random_graphs(tame=True))
    nodes = []
    for node in case.document["nodes"]:
        said: dict[str, Any] = {}
        if draw(st.booleans()):
            said["debug_target"] = draw(PLACES)
        if draw(st.booleans()):
            key = draw(KEYS)
            said["state_keys"] = {"weight": key, "bias": f"{key}2", "values": key, "gamma": key}
        nodes.append({**node, **said})
    return RandomGraph({**case.document, "nodes": nodes}, case.x, case.store)


@pytest.mark.parametrize("part", range(2))
def test_any_graph_with_any_places_gives_its_numbers(counts: Counts, part: int) -> None:
    @seed(counts.first_seed + part)
    @settings(
        max_examples=counts.graphs // 4,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(placed_graphs())
    def check(case: RandomGraph) -> None:
        model = build_model(json.dumps(case.document).encode(), "graph.json", case.store)
        plain = EmitOptions(dtype="float64", training_skeleton=False)
        try:
            graph = namespace(emit_module(model, plain).source)["ExportedIRModel"]()
        except IRPyTorchError:
            return
        x = torch.tensor(np.asarray(case.x), dtype=torch.float64)
        found = run(modules(model, dtype="float64"), x)
        for wanted, given_back in zip(run(graph, x), found, strict=True):
            assert wanted.shape == given_back.shape
            if torch.isfinite(wanted).all() and wanted.numel():
                allowed = 1e-11 * (1 + float(wanted.abs().max()))
                assert float((wanted - given_back).abs().max()) <= allowed

    check()


OTHER_STATE = {
    "convolutional_autoencoder": "transposed kernels are held as the kernels of convolutions",
    "discriminator": "a parametrised weight is computed",
    "fourier_features": "a buffer is a part of constants",
    "generator": "transposed kernels are held as the kernels of convolutions",
    "graph_convolution": "a buffer is a part of constants",
    "llama": "a buffer is a part of constants",
    "swin": "an index is a buffer",
    "temporal_convolution": "a parametrised weight is computed",
    "text_classifier": "an index is a buffer",
    "unet": "transposed kernels are held as the kernels of convolutions",
}
"""Networks whose state dict is another one, and why."""


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_network_keeps_its_numbers_and_its_state_dict(name: str) -> None:
    original, x, model = captured(name)
    text = emit_module(model, replace(MODULES, inline_limit=1 << 30)).source
    assert formatted(text)
    made: nn.Module = namespace(text)["ExportedIRModel"]()
    for wanted, found in zip(run(original, x), run(made, x), strict=True):
        allowed = 1e-5 * max(float(wanted.abs().max()), 1.0)
        assert wanted.shape == found.shape and float((wanted - found).abs().max()) <= allowed
    if name in OTHER_STATE:
        with pytest.raises(RuntimeError):
            made.load_state_dict(original.state_dict())
        return
    before = [value.clone() for value in run(original, x)]
    state = {key: value.clone() for key, value in original.state_dict().items()}
    for parameter in made.parameters():
        parameter.data.zero_()
    assert not any(made.load_state_dict(state))
    assert not any(original.load_state_dict(made.state_dict()))
    for wanted, found in zip(before, run(original, x), strict=True):
        torch.testing.assert_close(wanted, found, rtol=0.0, atol=0.0)


def test_an_onnx_file_keeps_the_names_of_its_initializers(tmp_path: Path) -> None:
    torch.manual_seed(4)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)).eval()
    arrays = {key: value.detach().numpy() for key, value in net.state_dict().items()}
    nodes = [
        make_node("Conv", ["x", "0.weight", "0.bias"], ["a"], name="/0/Conv"),
        make_node("Relu", ["a"], ["b"], name="/1/Relu"),
        make_node("Flatten", ["b"], ["c"], name="/2/Flatten"),
        make_node("Gemm", ["c", "3.weight", "3.bias"], ["y"], name="/3/Gemm", transB=1),
    ]
    made = modules(from_onnx(save(tmp_path / "net.onnx", nodes, [1, 1, 5, 5], 17, arrays)))
    x = torch.randn(2, 1, 5, 5)
    torch.testing.assert_close(run(made, x), run(net, x), rtol=1e-5, atol=1e-6)
    assert not any(made.load_state_dict(net.state_dict()))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu")
    whole = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
    return nn.Sequential(whole, nn.Linear(16, 3)).eval()


@pytest.fixture(scope="module")
def text() -> str:
    torch.manual_seed(0)
    return emit_module(from_torch(encoder(), torch.randn(1, 5, 16)), MODULES).source


def test_equal_blocks_are_one_class(text: str) -> None:
    code = text[: text.index("NUMBERS = ")]
    assert code.count("\n") <= 130
    assert "nn.Sequential(*(Layer() for _ in range(6)))" in code
    assert len(re.findall(r"^class ", code, re.MULTILINE)) == 4
    assert code.count("F.scaled_dot_product_attention(q, k, v)") == 1
    assert code.count("F.gelu(") == 1


def test_hooks_find_parts_by_their_names(text: str) -> None:
    made: nn.Module = namespace(text)["ExportedIRModel"]()
    seen: list[torch.Size] = []
    part = made.get_submodule("0.layers.4.linear1")
    part.register_forward_hook(lambda module, given, output: seen.append(output.shape))
    run(made, torch.randn(2, 5, 16))
    assert isinstance(part, nn.Linear) and seen == [torch.Size([2, 5, 32])]


class Stage(nn.Module):
    """A residual block of any width, as in networks that grow wider."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))
        self.scale = nn.Parameter(torch.randn(outputs, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.relu(self.bn1(self.conv1(x))) * self.scale
        y = y + self.skip(x)
        return y.flatten(1).reshape(y.shape)


def test_blocks_of_several_widths_are_one_class() -> None:
    torch.manual_seed(3)
    widths = [2, 3, 5, 4]
    stages = [Stage(*pair) for pair in pairwise(widths)]
    original, x = nn.Sequential(*stages).eval(), torch.randn(2, 2, 4, 4)
    text = emit_module(from_torch(original, x), MODULES).source
    assert len(re.findall(r"^class Part", text, re.MULTILINE)) == 1
    constructed = re.findall(r"Part\((\d[\d, ]*)\)", text)
    assert [numbers.split(", ")[:2] for numbers in constructed] == [
        ["2", "3"],
        ["3", "5"],
        ["5", "4"],
    ]
    made: nn.Module = namespace(text)["ExportedIRModel"]()
    torch.testing.assert_close(run(made, x), run(original, x), rtol=1e-5, atol=1e-5)
    assert not any(made.load_state_dict(original.state_dict()))


class Calls(nn.Module):
    """A part that is called twice, parts with arguments beside the flow, frozen parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.steps = nn.ModuleList(nn.Bilinear(4, 4, 4) for _ in range(3))
        self.skip = nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.ReLU(), nn.Linear(4, 4))
        self.scale = nn.Parameter(torch.randn(4))
        self.norm.weight.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start = x
        for step in self.steps:
            x = torch.tanh(step(x, start))
        result: torch.Tensor = self.norm(self.skip(x) * self.scale + self.skip(start))
        return result


def test_a_part_that_is_called_twice_keeps_its_numbers() -> None:
    torch.manual_seed(1)
    original, x = Calls().eval(), torch.randn(2, 4)
    made = modules(from_torch(original, x))
    torch.testing.assert_close(run(made, x), run(original, x), rtol=1e-5, atol=1e-6)
    frozen = {name for name, value in made.named_parameters() if not value.requires_grad}
    assert frozen <= {"norm.weight"} and "scale" in dict(made.named_parameters())


def convolutions() -> Model:
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.ReLU())
    return from_torch(net.eval(), torch.randn(1, 1, 5, 5))


def test_counts_of_batches_are_passed_over() -> None:
    made, state = (
        modules(convolutions()),
        nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2)).state_dict(),
    )
    assert "1.num_batches_tracked" in state and not any(made.load_state_dict(state))
    assert {*made.state_dict()} == {*state} - {"1.num_batches_tracked"}


def store(state: dict[str, torch.Tensor]) -> StoreFile:
    def entry(value: torch.Tensor) -> Entry:
        array = value.numpy()
        return Entry(array.shape, array.dtype.name, lambda: array)

    return StoreFile("trained", {key: entry(value) for key, value in state.items()})


def test_a_state_dict_of_either_layout_is_read() -> None:
    model = convolutions()
    data = document_text(model.graph, None).encode()
    made = modules(model)
    state = {key: value + 1.0 for key, value in made.state_dict().items()}
    with pytest.raises(IRPyTorchError) as caught:
        build_model(data, "graph", store(state))
    assert {problem.code for problem in caught.value.problems} == {"missing-payload"}
    counted = {**state, "1.num_batches_tracked": torch.ones(())}
    trained = build_model(data, "graph", store(counted), base=model.params)
    np.testing.assert_array_equal(
        trained.params[1, "weight"], model.params[1, "weight"] + np.float32(1.0)
    )
    assert not np.any(trained.params[1, "bias"])
    options = EmitOptions(training_skeleton=False)
    graph = namespace(emit_module(model, options).source)["ExportedIRModel"]().state_dict()
    again = build_model(data, "graph", store(graph))
    assert all((again.params[key] == array).all() for key, array in model.params.items())
    with pytest.raises(IRPyTorchError) as caught:
        build_model(data, "graph", store({**state, "conv_1_kernel": graph["conv_1_kernel"]}))
    assert caught.value.problems[0].code == "mixed-names"


LINEAR = {"weight": [[1.0, 2.0]], "bias": [0.5]}


def keys(*nodes: dict[str, Any]) -> list[str]:
    graph = read(document([2], *nodes)).graph
    return list(state_keys(graph).values())


def test_nodes_without_parameters_rename_no_key() -> None:
    one = op("linear", [0], [1], **LINEAR)
    two = op("linear", [1], [1], weight=[[1.0]], bias=[0.0])
    between = op("relu", [1], [1])
    moved = op("linear", [2], [1], weight=[[1.0]], bias=[0.0])
    assert keys(one, two) == keys(one, between, moved)
    assert keys(one, two)[::2] == ["linear1.weight", "linear2.weight"]


def test_keys_are_those_of_the_source_where_they_fit() -> None:
    said = {"weight": "fc.weight", "bias": "fc.bias"}
    named = op("linear", [0], [1], **LINEAR, debug_target="fc", state_keys=said)
    assert keys(named) == ["fc.weight", "fc.bias"]
    second = op("linear", [1], [1], weight=[[1.0]], bias=[0.0], state_keys=said)
    assert keys(named, second)[2:] == ["linear1.weight", "linear1.bias"]
    half = op("linear", [0], [1], **LINEAR, state_keys={"bias": "up.bias"})
    assert keys(half) == ["up.bias", "up.kernel"]
    for key in ("to.weight", "fc.if", "__x.weight", "fc.0", "9lives.weight"):
        other = op("linear", [0], [1], **LINEAR, state_keys={"weight": key})
        assert keys(other)[0] == "linear1.weight"
    assert keys(const([2], [1.0, 2.0]))[0] == "const1"


@pytest.mark.parametrize("module", [nn.Module(), nn.Sequential(), nn.ModuleList()])
def test_no_part_has_the_name_of_what_a_module_has(module: nn.Module) -> None:
    assert not [name for name in dir(module) if is_attribute(name)]
