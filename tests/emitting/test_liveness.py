"""Memory of a forward pass: no more than that of torch.fx code, which frees dead values."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from documents import Document, const, document, module, op, read, source
from held_memory import peak_of
from hypothesis import given, settings
from random_graphs import RandomGraph, random_graphs

from hatch_irpytorch import EmitOptions, emit_module
from hatch_irpytorch.emit import liveness
from hatch_irpytorch.ir.read import build_model


def chain(count: int, extents: list[int]) -> list[Document]:
    kinds = ["relu", "tanh", "abs", "sigmoid"]
    return [op(kinds[i % 4], [i], extents) for i in range(count)]


def skips(count: int, extents: list[int]) -> list[Document]:
    return [
        op("add", [i, max(0, i - 3)], extents) if i % 4 == 3 else op("sin", [i], extents)
        for i in range(count)
    ]


def fan(count: int, extents: list[int]) -> list[Document]:
    several = [op("sin", [0], extents) for _ in range(count)]
    return [*several, op("concat", list(range(1, count + 1)), [count * extents[0]], axis=0)]


def views(count: int, extents: list[int]) -> list[Document]:
    (n,) = extents
    part: list[Document] = []
    for i in range(0, count, 4):
        part += [
            op("reshape", [i], [n // 4, 4], in_shape=[n], out_shape=[n // 4, 4]),
            op("transpose", [i + 1], [4, n // 4], axis1=0, axis2=1),
            op("reshape", [i + 2], [n], in_shape=[4, n // 4], out_shape=[n]),
            op("add", [i + 3, i], [n]),
        ]
    return part


SHAPES = {"chain": chain, "skips": skips, "fan": fan, "views": views}


@pytest.mark.parametrize("name", SHAPES)
def test_the_peak_is_that_of_fx_code(name: str) -> None:
    extents = [2**18]
    text = source(document(extents, *SHAPES[name](100, extents)))
    generated = module(text).eval()
    x = torch.rand(extents)
    traced = torch.fx.symbolic_trace(generated)
    torch.testing.assert_close(generated(x), traced(x))
    assert peak_of(generated, x) <= peak_of(traced, x)


@pytest.mark.parametrize("name", SHAPES)
def test_housekeeping_stands_on_few_lines(name: str) -> None:
    extents = [2**18]
    text = source(document(extents, *SHAPES[name](100, extents)), training_skeleton=False)
    assert len(re.findall(r"^ +del ", text, re.MULTILINE)) <= 25
    assert "; " not in text.split("def forward")[1]


def test_small_values_keep_their_own_names() -> None:
    text = source(document([8], *chain(100, [8])))
    assert "  del " not in text and "v100 = torch.sigmoid(v99)  # (N,)" in text


def test_a_name_that_was_taken_over_says_its_node() -> None:
    extents = [2**19]
    text = source(document(extents, *chain(4, extents)))
    assert "v1 = torch.relu(v0)  # (N,)" in text
    assert "v1 = torch.tanh(v1)  # v2: (N,)" in text
    assert "return v4" in text


def test_a_large_value_is_given_back_at_once() -> None:
    """Also where the peak would let it stay: pages that are held on to cost a pass its time."""
    large = [2**18]
    joined = op("concat", [3, 3, 3, 3], [2**20], axis=0)
    text = source(document(large, *[op("sin", [i], large) for i in range(3)], joined))
    assert "v1 = torch.sin(v1)  # v2: (262144,)" in text
    assert "v1 = torch.sin(v1)  # v3: (262144,)" in text
    assert "  del " not in text


def test_a_parent_of_fused_linears_is_given_back() -> None:
    extents, rng = [2**12, 64], np.random.default_rng(0)
    weights = [{"weight": rng.normal(size=(64, 64)).tolist(), "bias": [0.5] * 64} for _ in range(3)]
    linears = [op("linear", [1], extents, in_dim=64, out_dim=64, **held) for held in weights]
    value = document(
        extents,
        op("sin", [0], extents),
        *linears,
        op("add", [2, 3], extents),
        op("add", [5, 4], extents),
        *[op(kind, [6 + i], extents) for i, kind in enumerate(["sin", "tanh", "sin", "tanh"])],
    )
    text = source(value, fuse=True)
    assert "torch.split(" in text
    generated, x = module(text).eval(), torch.rand(extents)
    assert peak_of(generated, x) <= peak_of(torch.fx.symbolic_trace(generated), x)


def test_outputs_and_their_memory_are_kept() -> None:
    extents = [2**19]
    value = document(extents, *chain(6, extents), outputs=[2, 6, 4, 2])
    generated = module(source(value))
    x = torch.randn(extents)
    expected = [torch.relu(x).tanh()]
    expected.append(expected[0].abs().sigmoid())
    expected.append(expected[1].relu().tanh())
    for found, wanted in zip(generated(x), [expected[i] for i in (0, 2, 1, 0)], strict=True):
        torch.testing.assert_close(found, wanted)


def test_safe_log_reads_its_epsilon_after_its_own_name_is_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(liveness, "SMALL", 0)
    eps = [
        op("sum", [0], []),
        op("sigmoid", [1], []),
        op("safe_log", [0, 2], [8]),
        op("sin", [3], [8]),
    ]
    x = torch.rand(8, dtype=torch.float64)
    found = module(source(document([8], *eps), dtype="float64"))(x)
    soft = torch.nn.functional.softplus(x)
    torch.testing.assert_close(found, torch.sin(torch.log(soft + torch.sigmoid(x.sum()))))


@settings(max_examples=150, deadline=None)
@given(random_graphs())
def test_names_and_deletions_change_no_number(case: RandomGraph) -> None:
    model = build_model(json.dumps(case.document).encode(), "graph.json", case.store)
    options = EmitOptions(training_skeleton=False, dtype="float64")
    x = torch.tensor(case.x, dtype=torch.float64)
    plain = module(emit_module(model, options).source)(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(liveness, "SMALL", 0)
        frugal = module(emit_module(model, options).source)(x)
    pairs = zip(plain, frugal, strict=True) if isinstance(plain, tuple) else [(plain, frugal)]
    for found, expected in pairs:
        np.testing.assert_array_equal(found.detach().numpy(), expected.detach().numpy())


def test_a_const_takes_no_memory_and_is_never_deleted() -> None:
    extents = [2**19]
    value = document(
        extents,
        const(extents, np.arange(2**19, dtype=np.float64)),
        *[op("add", [i, 1] if i else [0, 1], extents) for i in (0, 2, 3, 4, 5)],
    )
    assert read(value).graph.nodes[1].op.tag == "const"
    text = source(value, inline_limit=2**20)
    assert "del v1" not in text


def test_values_of_any_size_are_planned() -> None:
    extents = [2**40, 2**40]
    text = source(document(extents, *chain(200, extents)), training_skeleton=False)
    assert "v1 = torch.tanh(v1)  # v2: (N, 1099511627776)" in text
