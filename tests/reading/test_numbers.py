"""The numbers of torchlean.ir.v1: 8."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hatch_irpytorch import evaluate
from hatch_irpytorch.ir.ops.elementwise import softplus
from hatch_irpytorch.ir.ops.pooling import pool_extent
from hatch_irpytorch.ir.ops.sources import draw_key, draws, mix
from hatch_irpytorch.ir.read import build_model

DRAWS = {
    (0, 1): (0x910A2DEC89025CC1, [1949917470, 840412675, 2524120683, 1272474839, 2550472035]),
    (42, 3): (0xF7E9F3F88CC04AD6, [4183322127, 4270391397, 2716961364, 1373604689, 3415360407]),
    (2**64 + 5, 2): (0x63CBE1E459320DD7, [2125188677, 3887872905, 3806430955, 1767208896]),
}


def test_mix_of_zero() -> None:
    assert mix(0) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize(("seed", "node"), DRAWS)
def test_draws(seed: int, node: int) -> None:
    key, expected = DRAWS[seed, node]
    assert draw_key(seed, node) == key
    assert draws(key, (len(expected),)).tolist() == expected


@pytest.mark.parametrize(
    ("window", "out"),
    [((5, 3, 2, 1), 3), ((3, 3, 1, 2), 0), ((2, 3, 1, 0), 0), ((0, 1, 1, 0), 0)],
)
def test_pool_windows(window: tuple[int, int, int, int], out: int) -> None:
    assert pool_extent(*window) == out


def test_softplus() -> None:
    x = np.array([20.5, -36.0, -40.0, 0.0, 800.0])
    with np.errstate(over="ignore"):
        found = softplus(x)
    expected = [20.500000001250154, 2.220446049250313e-16, 0.0, 0.6931471805599453, 800.0]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_reduce_mean_of_two_axes_is_four_nodes() -> None:
    document = {
        "format": "torchlean.ir.v1",
        "input_id": 0,
        "output_ids": [1, 0],
        "nodes": [
            {"id": 0, "kind": "input", "parents": [], "shape": [2, 3, 4]},
            {
                "id": 1,
                "kind": "reduce_mean",
                "parents": [0],
                "shape": [1, 3, 1],
                "axes": [0, 2],
                "keepdim": True,
            },
        ],
    }
    model = build_model(json.dumps(document).encode(), "mean.json")
    shapes = [(node.op.tag, node.shape) for node in model.graph.nodes[1:]]
    assert shapes == [
        ("reduce_mean", (2, 3)),
        ("reshape", (2, 3, 1)),
        ("reduce_mean", (3, 1)),
        ("reshape", (1, 3, 1)),
    ]
    x = np.arange(24.0).reshape(2, 3, 4)
    mean, same = evaluate(model, x)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2), keepdims=True))
    np.testing.assert_array_equal(same, x)
