"""The error function and what is made of it: how near to torch, and the spellings of GELU."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from applied_functions import Function, captured_function, emitted, with_gradient
from msgspec import structs
from onnx_files import check, make_node, save
from torch.nn import functional

from hatch_irpytorch import EmitOptions, emit_module, evaluate
from hatch_irpytorch.capture import from_onnx
from hatch_irpytorch.ir.ops import Op
from hatch_irpytorch.ir.ops.elementwise import Add, MaxElem, MinElem, Sin, Sub

FUNCTIONS: dict[str, tuple[Function, float, float]] = {
    "gelu": (functional.gelu, 2.5e-7, 3e-7),
    "erf": (torch.erf, 2.5e-7, 1.5e-6),
    "erfc": (torch.erfc, 2.5e-7, 1.5e-6),
    "ndtr": (torch.special.ndtr, 1.2e-7, 6e-7),
}
"""How far a float32 module may be from float64: its value, its gradient."""

POINTS = torch.cat([torch.linspace(-15, 15, 60_001), torch.logspace(-45, 0, 500), torch.zeros(1)])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_float32_module_is_as_near_as_torch_is(name: str) -> None:
    function, value, slope = FUNCTIONS[name]
    module = emitted(captured_function(function, POINTS))
    found, gradient = with_gradient(module, POINTS)
    wanted, slopes = with_gradient(function, POINTS.double())
    assert (found - wanted).abs().max() < value
    assert (gradient - slopes).abs().max() < slope


@pytest.mark.parametrize("name", FUNCTIONS)
def test_in_float64_the_polynomial_itself_is_what_differs(name: str) -> None:
    function, _, _ = FUNCTIONS[name]
    x = POINTS.double()
    model = captured_function(function, x)
    found, gradient = with_gradient(emitted(model, dtype="float64"), x)
    wanted, slopes = with_gradient(function, x)
    assert (found - wanted).abs().max() < 1e-13
    assert (gradient - slopes).abs().max() < 1.5e-12
    np.testing.assert_allclose(evaluate(model, x.numpy())[0], found.numpy(), rtol=0, atol=1e-14)


def test_digits_are_kept_where_results_are_small() -> None:
    """erf near 0, GELU and erfc in their tails."""
    small, large = torch.logspace(-37, 0, 400), torch.linspace(0.5, 5, 500)
    for function, x, bound in (
        (torch.erf, small, 2e-6),
        (torch.erfc, large, 1e-5),
        (functional.gelu, -large, 1e-5),
    ):
        found = emitted(captured_function(function, x))(x).double()
        torch.testing.assert_close(found, function(x.double()), rtol=bound, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_and_the_ends(dtype: torch.dtype) -> None:
    """Of infinities torch makes NaN; the limits stand here, and no gradient of erf is NaN."""
    name = str(dtype).removeprefix("torch.")
    huge = torch.finfo(dtype).max
    x = torch.tensor([0.0, -0.0, huge, -huge, math.inf, -math.inf, math.nan], dtype=dtype)
    gelu = emitted(captured_function(functional.gelu, x), dtype=name)
    value, gradient = with_gradient(gelu, x)
    assert value.tolist()[:6] == [0.0, 0.0, huge, 0.0, math.inf, 0.0] and value[6].isnan()
    assert gradient.tolist()[:6] == [0.5, 0.5, 1.0, 0.0, 1.0, 0.0]
    erf = emitted(captured_function(torch.erf, x), dtype=name)
    value, gradient = with_gradient(erf, x)
    assert value.tolist()[:6] == [0.0, 0.0, 1.0, -1.0, 1.0, -1.0] and value[6].isnan()
    assert gradient.tolist()[2:6] == [0.0] * 4
    assert gradient[0] == pytest.approx(2 / math.sqrt(math.pi), rel=1e-6)
    erfc = emitted(captured_function(torch.erfc, x), dtype=name)
    assert erfc(x).tolist()[:6] == [1.0, 1.0, 0.0, 2.0, 0.0, 2.0]


ROOT_2 = math.sqrt(2.0)
SPELLINGS: list[Function] = [
    lambda x: x * 0.5 * (1.0 + torch.erf(x / ROOT_2)),
    lambda x: 0.5 * x * (1 + torch.erf(x * math.sqrt(0.5))),
    lambda x: x * (0.5 * (torch.erf(x / ROOT_2) + 1)),
    lambda x: (x * (torch.erf(x / ROOT_2) + 1)) * 0.5,
    lambda x: (1 + torch.erf(x / ROOT_2)) * x / 2,
    functional.gelu,
]


@pytest.mark.parametrize("function", SPELLINGS)
def test_every_spelling_is_one_call_when_fused(function: Function) -> None:
    x = torch.randn(3, 4, dtype=torch.float64)
    model = captured_function(function, x)
    text = emit_module(model, EmitOptions(fuse=True)).source
    assert "v68 = F.gelu(v0)  # (N, 4), nodes 1-68" in text
    torch.testing.assert_close(emitted(model, dtype="float64")(x), function(x), rtol=0, atol=1e-13)


OTHERS: list[Function] = [
    lambda x: x * 0.5 * (1.0 + torch.erf(x / 1.4)),
    lambda x: x * 0.5 * (1.1 + torch.erf(x / ROOT_2)),
    lambda x: x * 0.4 * (1.0 + torch.erf(x / ROOT_2)),
    lambda x: (x + 1.0) * 0.5 * (1.0 + torch.erf(x / ROOT_2)),
    lambda x: x * (1.0 + torch.erf(x / ROOT_2)) / 3,
    lambda x: x / 2 + torch.erf(x / ROOT_2),
]


@pytest.mark.parametrize("function", OTHERS)
def test_what_only_looks_like_gelu_is_none(function: Function) -> None:
    x = torch.randn(3, 4, dtype=torch.float64)
    model = captured_function(function, x)
    assert "F.gelu" not in emit_module(model, EmitOptions(fuse=True)).source
    torch.testing.assert_close(emitted(model, dtype="float64")(x), function(x), rtol=0, atol=1e-12)


def test_a_gelu_whose_parts_are_wanted_is_not_fused() -> None:
    x = torch.randn(3, 4, dtype=torch.float64)
    model = captured_function(lambda x: functional.gelu(x) + x.abs(), x)
    assert "F.gelu" not in emit_module(model, EmitOptions(fuse=True)).source


def test_a_changed_formula_is_not_taken_for_gelu() -> None:
    """Another number, or another op, anywhere in it."""
    model = captured_function(functional.gelu, torch.zeros(3, 4))
    changed = [
        replace(model, params={**model.params, key: array + 1e-3})
        for key, array in model.params.items()
    ]
    others: dict[str, Op] = {"add": Sub(), "sub": Add(), "mul_elem": Add(), "max_elem": MinElem()}
    others |= {"min_elem": MaxElem(), "exp": Sin(), "abs": Sin(), "inv": Sin()}
    nodes = model.graph.nodes
    for node in nodes:
        if node.op.tag in others:
            new = structs.replace(node, op=others[node.op.tag])
            graph = replace(model.graph, nodes=(*nodes[: node.id], new, *nodes[node.id + 1 :]))
            changed.append(replace(model, graph=graph))
    assert len(changed) == 17 + 34
    for one in changed:
        assert "F.gelu" not in emit_module(one, EmitOptions(fuse=True)).source


@pytest.mark.parametrize("half_first", [True, False])
def test_the_pattern_of_exporters(tmp_path: Path, half_first: bool) -> None:
    """Div, Erf, Add, Mul, Mul with initializers, as PyTorch wrote GELU before opset 20."""
    halves = (
        [("x", "half", "h"), ("h", "a", "y")]
        if half_first
        else [("x", "a", "h"), ("h", "half", "y")]
    )
    nodes = [
        make_node("Div", ["x", "root"], ["d"]),
        make_node("Erf", ["d"], ["e"]),
        make_node("Add", ["e", "one"], ["a"]),
        *(make_node("Mul", [a, b], [c]) for a, b, c in halves),
    ]
    constants = {"root": ROOT_2, "one": 1.0, "half": 0.5}
    stored = {name: np.array(value, dtype=np.float32) for name, value in constants.items()}
    path = save(tmp_path / "m.onnx", nodes, [5, 6], 13, stored)
    model = check(path, [5, 6])
    assert "F.gelu(v0)" in emit_module(model, EmitOptions(fuse=True)).source


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_and_erf_of_onnx(tmp_path: Path, approximate: str) -> None:
    node = make_node("Gelu", ["x"], ["y"], approximate=approximate)
    check(save(tmp_path / "gelu.onnx", [node], [3, 7], 20), [3, 7])
    check(save(tmp_path / "erf.onnx", [make_node("Erf", ["x"], ["y"])], [3, 7], 13), [3, 7])


def test_the_polynomial_is_noted(tmp_path: Path) -> None:
    path = save(tmp_path / "erf.onnx", [make_node("Erf", ["x"], ["y"])], [2], 13)
    for model in (captured_function(functional.gelu, torch.zeros(2)), from_onnx(path)):
        assert [note.code for note in model.notes] == ["approximated"]
    tanh = captured_function(lambda x: functional.gelu(x, approximate="tanh"), torch.zeros(2))
    assert not tanh.notes
