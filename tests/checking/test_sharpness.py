"""What `verify` compares: no architecture is a false alarm, each weight that matters is found."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES
from comparisons import compared, generated, gpt, manifest, outputs
from torch import Tensor, nn

from hatch_irpytorch import EmitOptions, Model
from hatch_irpytorch.build.golden import GoldenCase, make_golden
from hatch_irpytorch.capture import from_torch
from hatch_irpytorch.ir.ops import attribute_name
from hatch_irpytorch.verify.golden import golden_limits
from hatch_irpytorch.verify.parity import parity_cases, parity_limits


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_architecture_is_a_false_alarm(name: str) -> None:
    model = architecture_model(name)
    cases = make_golden(model)
    net = generated(model)
    assert compared(net, cases, golden_limits(model, manifest(), cases)) == []
    exact = parity_cases(model, "float32", cases)
    limits = parity_limits(model, EmitOptions(), exact)
    assert exact and compared(net.double(), exact, limits) == []


@cache
def architecture_model(name: str) -> Model:
    build, shape = ARCHITECTURES[name]
    torch.manual_seed(0)
    net = build().eval()
    for buffer, values in net.named_buffers():
        if buffer.endswith("running_var"):
            values.uniform_(0.5, 2.0)
    return from_torch(net, torch.randn(shape))


def changed_weights(model: Model, count: int) -> Iterator[tuple[tuple[int, str], int]]:
    """Some entries of each parameter: its key and the flat index."""
    random = np.random.default_rng(1)
    for key, array in model.params.items():
        size = array.size
        for index in sorted({int(i) for i in random.integers(0, size, count)} if size else ()):
            yield key, index


SHARP = ["mlp", "lstm", "physics_informed", "graph_convolution", "capsules", "standardize"]


@pytest.mark.parametrize("name", ["gpt", *(n for n in SHARP if n in ARCHITECTURES)])
def test_each_weight_whose_change_moves_an_output_is_found(name: str) -> None:
    """By a little more than 1e-9 of the largest entry of the output, which is what is promised."""
    model = gpt()[1] if name == "gpt" else architecture_model(name)
    cases = parity_cases(model, "float32", make_golden(model))
    limits = parity_limits(model, EmitOptions(learnable_consts=True), cases)
    net = generated(model).double()
    assert compared(net, cases, limits) == []
    state = net.state_dict()
    tried = 0
    for key, index in changed_weights(model, 3):
        attribute = attribute_of(model, key)
        if attribute not in state or state[attribute].numel() != model.params[key].size:
            continue
        weight = state[attribute].view(-1)
        before = float(weight[index])
        step = 1e-6 * max(1.0, abs(before))
        moved = relative_move(net, weight, index, before + step, cases)
        if moved < 1e-7:
            continue
        small = step * 1.2e-9 / moved
        if before + small == before:
            continue
        really = relative_move(net, weight, index, before + small, cases)
        weight[index] = before + small
        found = compared(net, cases, limits)
        weight[index] = before
        if really > 1e-9:
            tried += 1
            assert found, (key, index, really)
    assert tried >= 4
    assert compared(net, cases, limits) == []


def attribute_of(model: Model, key: tuple[int, str]) -> str:
    node = model.graph.nodes[key[0]]
    (slot,) = (slot for slot in model.graph.slots(node) if slot.field == key[1])
    return attribute_name(node.op.prefix, node.id, slot.name)


def relative_move(
    net: nn.Module, weight: Tensor, index: int, value: float, cases: tuple[GoldenCase, ...]
) -> float:
    """How far a changed weight moves an output, relative to the largest entry of the output."""
    before = [outputs(net, case.input, "float64") for case in cases]
    kept = float(weight[index])
    weight[index] = value
    after = [outputs(net, case.input, "float64") for case in cases]
    weight[index] = kept
    most = 0.0
    for one, two in zip(before, after, strict=True):
        assert not isinstance(one, str) and not isinstance(two, str)
        for x, y in zip(one, two, strict=True):
            size = float(np.abs(x.values).max(initial=0.0))
            away = float(np.abs(x.values - y.values).max(initial=0.0))
            most = max(most, away / size if size else 0.0)
    return most
