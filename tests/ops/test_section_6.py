"""Defects of upstream that are not repeated. torchlean.ir.v1: 6.1 to 6.17."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents import (
    POOL,
    assert_equal,
    const,
    document,
    linear_document,
    module,
    op,
    plan,
    problems,
    read,
    run_both,
    source,
)

from hatch_irpytorch import EmitOptions, IRPyTorchError, emit_module, evaluate
from hatch_irpytorch.ir.ops.sources import draw_key, draws


def test_6_1_layernorm_uses_its_payload_and_eps() -> None:
    payload = {"gamma": [2.0, 2.0], "beta": [1.0, 1.0], "eps": 1e-12}
    with_payload = document([1, 2], op("layernorm", [0], [1, 2], axis=1, **payload))
    spread = 0.0005 / math.sqrt(0.0005**2 + 1e-12)
    x = [[1.0, 1.001]]
    found, reference = run_both(with_payload, x)
    np.testing.assert_allclose(found[0], [[1 - 2 * spread, 1 + 2 * spread]], rtol=1e-9)
    np.testing.assert_allclose(reference[0], found[0], rtol=1e-12)
    plain, _ = run_both(document([1, 2], op("layernorm", [0], [1, 2], axis=1)), x)
    np.testing.assert_allclose(plain[0], [[-0.1562, 0.1562]], atol=5e-5)


def test_6_2_sqrt_of_a_negative_number_is_zero() -> None:
    assert_equal(document([2], op("sqrt", [0], [2])), [-1.0, 4.0], [0.0, 2.0])


def test_6_3_log_states_its_domain_and_the_reference_refuses_outside() -> None:
    value = document([1, 2], op("log", [0], [1, 2]))
    assert "defined for v0 > 0" in source(value)
    with pytest.raises(IRPyTorchError) as caught:
        evaluate(read(value), [[1.0, -2.0]])
    assert [problem.code for problem in caught.value.problems] == ["domain"]
    assert "(0, 1)" in str(caught.value) and "node 1 (log)" in str(caught.value)


def test_6_4_batch_norm_clamps_a_negative_variance_and_divides_by_the_root() -> None:
    payload = {"gamma": [1.0], "beta": [0.0], "mean": [0.0], "var": [-4.0], "eps": 0.25}
    fields = {"channel_axis": 0, "channels": 1, **payload}
    assert_equal(document([1], op("batch_norm_eval", [0], [1], **fields)), [3.0], [6.0])
    text = source(document([1], op("batch_norm_eval", [0], [1], **fields)))
    assert "def batch_norm" in text and "rsqrt" not in text


def test_6_4_torch_s_batch_norm_is_called_where_it_computes_the_same() -> None:
    """Its sum cancels where a mean is far larger than its deviation, and it does not clamp."""
    ordinary = {"gamma": [2.0], "beta": [0.5], "mean": [1.0], "var": [4.0], "eps": 0.25}
    for changed, own in (
        ({}, False),
        ({"mean": [1e9]}, True),
        ({"var": [-1.0]}, True),
        ({"eps": -0.5}, True),
        ({"eps": 0.0, "var": [0.0]}, True),
        ({"gamma": [1e308], "var": [0.0]}, True),
    ):
        fields = {"channel_axis": 1, "channels": 1, **ordinary, **changed}
        value = document([1, 1], op("batch_norm_eval", [0], [1, 1], **fields))
        text = source(value, dtype="float64")
        assert ("def batch_norm" in text) == own
        assert ("F.batch_norm" in text) != own
        found, expected = run_both(value, [[1.5 + 0.5 * own * 1e9]])
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)


def test_6_5_mse_loss_of_empty_tensors_is_zero() -> None:
    value = document([0, 3], op("mse_loss", [0, 0], []))
    assert_equal(value, np.zeros((0, 3)), 0.0)


def test_6_6_relu_before_inv_gives_a_positive_zero() -> None:
    value = document([1], op("relu", [0], [1]), op("inv", [1], [1]))
    assert_equal(value, [-0.0], [math.inf])
    assert " + 0.0" not in source(document([1], op("relu", [0], [1])))


@pytest.mark.parametrize("kind", ["max_elem", "min_elem"])
def test_6_7_nan_propagates_in_order_ops(kind: str) -> None:
    value = document([2], const([2], 1.0), op(kind, [0, 1], [2]))
    found, reference = run_both(value, [math.nan, 1.0])
    assert np.isnan(found[0][0]) and np.isnan(reference[0][0])


@pytest.mark.parametrize("x", [[1.0, math.nan], [math.nan, 1.0]])
def test_6_7_nan_propagates_in_max_pool(x: list[float]) -> None:
    found, reference = run_both(document([2], op("max_pool", [0], [1], **POOL)), x)
    assert np.isnan(found[0]).all() and np.isnan(reference[0]).all()


def test_6_8_rounding_stays_within_an_absolute_tolerance() -> None:
    value = document([2, 3, 4], op("reduce_mean", [0], [1, 3, 1], axes=[0, 2], keepdim=True))
    x = np.random.default_rng(0).normal(size=(2, 3, 4)) * 1e6
    assert_equal(value, x, x.mean(axis=(0, 2), keepdims=True))


def test_6_9_random_draws_are_the_graph_s_own() -> None:
    value = document([1], op("rand_uniform", [], [3], seed=44), outputs=[1])
    u = draws(draw_key(44, 1), (3,)) / 2**32
    assert_equal(value, [0.0], u)
    np.testing.assert_allclose(u, [0.974005583440885, 0.9942779776174575, 0.6325918631628156])


def test_6_10_literals_are_exact_and_importable() -> None:
    values = [1e-7, 1e-5, 3.4028234663852886e38, 1e-45, -0.0, 0.1]
    value = document([6], const([6], values), op("add", [0, 1], [6]))
    found = module(source(value, dtype="float64")).get_parameter("const_1")
    assert found.tolist() == values and math.copysign(1, found[4].item()) == -1
    text = source(value)
    assert "1e-07 0.00001" in text and "fromhex" not in text


def test_6_10_values_that_are_not_finite_are_written_as_python(tmp_path: Path) -> None:
    from hatch_irpytorch.ir.params import StoreFile
    from hatch_irpytorch.ir.stores import read_store

    special = np.array([math.nan, math.inf, -math.inf])
    np.savez(tmp_path / "p.npz", const_1=special)
    value = document([3], {"kind": "const", "shape": [3]}, op("add", [0, 1], [3]))
    model = read(value, StoreFile("p.npz", read_store(tmp_path / "p.npz", "p.npz")))
    text = emit_module(model, EmitOptions(dtype="float64")).source
    assert 'CONST_1 = "nan inf -inf"' in text
    found = module(text).get_parameter("const_1").detach().numpy()
    np.testing.assert_array_equal(found, special)


def test_6_11_floats_are_readable_decimals() -> None:
    text = source(linear_document(bias=[0.1, 1 / 3, 2.5]))
    assert 'LINEAR_1_B = "0.1 0.33333334 2.5"' in text


def test_6_12_several_outputs_are_a_tuple() -> None:
    value = document([2], op("relu", [0], [2]), op("sum", [1], []), outputs=[2, 1, 0, 2])
    found, reference = run_both(value, [1.0, -2.0])
    assert [y.tolist() for y in found] == [y.tolist() for y in reference]
    assert [y.tolist() for y in found] == [1.0, [1.0, 0.0], [1.0, -2.0], 1.0]


def test_6_13_nothing_is_emitted_from_a_graph_that_does_not_check() -> None:
    wrong = linear_document(weight=[[1.0, 2.0]])
    assert [p.code for p in problems(wrong)] == ["bad-payload"]
    forward = document([2], op("relu", [2], [2]), op("relu", [0], [2]))
    assert [p.code for p in problems(forward)] == ["bad-parent"]


def test_6_14_learnable_consts_are_the_used_ones_that_are_not_uniform() -> None:
    value = document(
        [2],
        const([2], [1.0, 2.0]),
        const([2], 3.0),
        const([2], [5.0, 6.0]),
        op("add", [0, 1], [2]),
        op("add", [4, 2], [2]),
    )
    bound = {b.name: b.learned for b in plan(value).tensors}
    assert bound == {"const_1": True, "const_2": False}
    assert not any(b.learned for b in plan(value, learnable_consts=False).tensors)


def test_6_15_dead_consts_get_no_binding() -> None:
    value = document([2], const([3], [1.0, 2.0, 3.0]), op("relu", [0], [2]))
    assert plan(value).tensors == ()
    assert (1, "values") in read(value).params


def test_6_16_affine_part_is_found_in_payload_and_in_consts() -> None:
    around = document(
        [2, 2],
        op("layernorm", [0], [2, 2], axis=1),
        const([2, 2], 1.0),
        const([2, 2], 0.0),
        op("mul_elem", [2, 1], [2, 2]),
        op("add", [4, 3], [2, 2]),
    )
    bound = plan(around, compress_broadcast_params=False).tensors
    assert [(b.name, b.learned) for b in bound] == [("const_2", True), ("const_3", True)]
    payload = {"gamma": [1.0, 1.0], "beta": [0.0, 0.0], "eps": 1e-5}
    inside = document([2, 2], op("layernorm", [0], [2, 2], axis=1, **payload))
    assert [(b.name, b.learned) for b in plan(inside).tensors] == [
        ("layernorm_1_gamma", True),
        ("layernorm_1_beta", True),
    ]


def test_6_17_passes_are_linear_in_the_graph() -> None:
    """Counted, not timed: steps of the interpreter for twice the graph are about twice as many."""

    def steps(length: int) -> int:
        nodes = []
        for i in range(length):
            nodes += [
                op("layernorm", [6 * i], [2], axis=0),
                const([2], 1.0),
                op("mul_elem", [6 * i + 1, 6 * i + 2], [2]),
                const([2], [0.0, 1.0]),
                op("add", [6 * i + 3, 6 * i + 4], [2]),
                op("relu", [6 * i + 5], [2]),
            ]
        model = read(document([2], *nodes))
        count = 0

        def tick(frame: Any, event: str, argument: Any) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(tick)
        try:
            emit_module(model, EmitOptions())
        finally:
            sys.setprofile(None)
        return count

    assert steps(80) < 2.5 * steps(40)
