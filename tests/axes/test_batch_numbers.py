"""A free batch computes, for every size, what runs of the declared size compute row by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from architectures import ARCHITECTURES
from captured_networks import captured
from conftest import Counts
from documents import module
from hypothesis import HealthCheck, given, seed, settings
from onnx_files import NAMES, competition_network
from random_graphs import RandomGraph, random_graphs
from stacked_runs import SIZES, assert_any_batch

from hatch_irpytorch import EmitOptions, IRPyTorchError, Model, emit_module
from hatch_irpytorch.axes.free import free_model
from hatch_irpytorch.capture import from_torch
from hatch_irpytorch.ir.read import build_model

Test = Callable[[], None]
PARTS = 2

MIXED = {"physics_informed": "v22 reduces axis 0"}
"""The architectures whose batch is not free, and why."""


def every(counts: Counts, part: int) -> Callable[[Test], Test]:
    chosen = settings(
        max_examples=counts.graphs // PARTS,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: seed(counts.first_seed + 77 + part)(chosen(test))


def with_live_outputs(case: RandomGraph) -> Model:
    """The graph with the last two values that depend on its input as outputs."""
    document = case.document
    found = {document["input_id"]}
    for node in document["nodes"]:
        if not found.isdisjoint(node["parents"]):
            found.add(node["id"])
    tensors = [i for i in sorted(found) if document["nodes"][i]["value_kind"] == "tensor"]
    changed = replace(case, document={**document, "output_ids": tensors[-2:]})
    return build_model(json.dumps(changed.document).encode(), "graph.json", case.store)


@pytest.mark.parametrize("part", range(PARTS))
def test_random_graphs_at_four_sizes(counts: Counts, part: int) -> None:
    """On axis 0 and, fused, on axis 1; and with an axis that was added."""
    checked = 0

    @every(counts, part)
    @given(random_graphs(tame=True))
    def check(case: RandomGraph) -> None:
        nonlocal checked
        model = with_live_outputs(case)
        tries: list[dict[str, Any]] = [
            {"batch": "free"},
            {"batch": "free", "batch_axis": 1, "fuse": True},
            {"batch": "added"},
            {"batch": "added", "fuse": True},
        ]
        for options in tries:
            try:
                free_model(model, options["batch"], options.get("batch_axis", 0))
            except IRPyTorchError as error:
                assert [problem.code for problem in error.problems] == ["not-free"]
                continue
            assert_any_batch(model, options)
            checked += 1

    check()
    assert checked > counts.graphs // PARTS


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_at_other_sizes(name: str) -> None:
    net, x, model = captured(name)
    free = free_model(model, "auto")
    assert free.reason == MIXED.get(name, "")
    if free.shapes is None:
        return
    text = emit_module(model, EmitOptions(inline_limit=10**9)).source
    generated = module(text)
    for size in SIZES:
        batch = torch.randn(size, *x.shape[1:])
        with torch.no_grad():
            pairs = zip(tensors(net(batch)), tensors(generated(batch)), strict=True)
        for wanted, found in pairs:
            allowed = 1e-5 * max(float(wanted.abs().max()), 1.0)
            torch.testing.assert_close(found, wanted, rtol=0.0, atol=allowed)


def tensors(found: Any) -> tuple[torch.Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("name", NAMES)
def test_networks_of_the_verification_competition_at_other_sizes(name: str) -> None:
    """Rows of a batch are what ONNX Runtime gives for each of them alone."""
    model, runtime, entry = competition_network(name)
    net = module(emit_module(model, EmitOptions(batch="free", inline_limit=10**9)).source)
    rng = np.random.default_rng(0)
    for size in SIZES:
        x = rng.random((size, *model.graph.input_shape[1:]), dtype=np.float32)
        rows = [runtime.run(None, {entry: row[np.newaxis]})[0] for row in x]
        with torch.no_grad():
            found = net(torch.from_numpy(x)).numpy()
        wanted = np.concatenate(rows)
        assert found.shape == wanted.shape
        assert np.abs(wanted - found).max() <= 1e-4 * max(float(np.abs(wanted).max()), 1e-3)


def encoder(batch_first: bool) -> torch.nn.Module:
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=batch_first)
    return torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()


@pytest.mark.parametrize("declared", [1, 2])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_transformer_encoder_of_either_layout(axis: int, declared: int) -> None:
    net = encoder(batch_first=axis == 0)

    def batch(size: int) -> torch.Tensor:
        return torch.randn((size, 5, 8) if axis == 0 else (5, size, 8))

    model = from_torch(net, batch(declared))
    generated = module(emit_module(model, EmitOptions(batch="free", batch_axis=axis)).source)
    for size in SIZES:
        x = batch(size)
        with torch.no_grad():
            torch.testing.assert_close(generated(x), net(x), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_onnx_export_of_a_generated_module_has_a_free_axis() -> None:
    model = from_torch(encoder(batch_first=True), torch.randn(1, 5, 8))
    net = module(emit_module(model, EmitOptions()).source).eval()
    exported: Any = torch.onnx.export(
        net, (torch.randn(2, 5, 8),), dynamo=True, dynamic_shapes=({0: "N"},), verbose=False
    )
    file = exported.model_proto.SerializeToString()
    runtime = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert (runtime.get_inputs()[0].shape, runtime.get_outputs()[0].shape) == (["N", 5, 8],) * 2
    for size in SIZES:
        x = torch.randn(size, 5, 8)
        (found,) = runtime.run(None, {runtime.get_inputs()[0].name: x.numpy()})
        np.testing.assert_allclose(found, net(x).detach().numpy(), rtol=1e-4, atol=1e-5)
