"""How far a module's tensor may be from the reference: what rounding of one op can do.

`allowance` gives, for one node, the magnitude that the relative tolerance is measured against:
0 where an op only moves or picks values, the sum of the terms' magnitudes where it adds them up,
NaN where the numbers are too ill-conditioned to say anything.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hatch_irpytorch.ir.graph import Node
from hatch_irpytorch.ir.ops.elementwise import softplus
from hatch_irpytorch.ir.ops.normalization import DEFAULT_EPS, BatchNormEval, LayerNorm

Array = np.ndarray[Any, np.dtype[np.float64]]

MOVES = {"broadcast_to", "reshape", "flatten", "permute", "transpose", "concat", "input", "const"}
PICKS = {"detach", "abs", "relu", "max_elem", "min_elem", "max_pool", "bernoulli_mask"}
EXACT = frozenset(MOVES | PICKS)
SUMS = {"add", "linear", "conv", "avg_pool", "matmul", "sum", "reduce_sum", "reduce_mean"}
KEEPS_ZERO_SIGN = EXACT - {"max_elem", "min_elem", "max_pool", "bernoulli_mask"}


def allowance(node: Node, inputs: list[Array], payload: dict[str, Array], expected: Array) -> Array:
    """What a relative error of 1 in one rounding step amounts to, entry by entry."""
    tag = node.op.tag
    if tag in EXACT:
        return np.zeros(expected.shape)
    if tag in SUMS:
        magnitudes = {name: np.abs(values) for name, values in payload.items()}
        return np.asarray(node.op.reference(*map(np.abs, inputs), **magnitudes))
    if tag == "sub":
        return np.add(np.abs(inputs[0]), np.abs(inputs[1]))
    if tag in ("softmax", "hard_masked_softmax"):
        finite = np.abs(inputs[0][np.isfinite(inputs[0])])
        return np.asarray(np.abs(expected) * (1.0 + 2.0 * finite.max(initial=0.0)))
    if tag == "softplus":
        return 1.0 + np.abs(expected)
    if tag == "safe_log":
        inner = softplus(inputs[0]) + inputs[1]
        return np.abs(expected) + np.where(inner > 0, (1.0 + softplus(inputs[0])) / inner, np.nan)
    if isinstance(node.op, LayerNorm):
        return _layer_norm(node.op, inputs[0], payload)
    if isinstance(node.op, BatchNormEval):
        return _batch_norm(node.op, inputs[0], payload)
    return np.abs(expected)


def _layer_norm(op: LayerNorm, x: Array, payload: dict[str, Array]) -> Array:
    eps = DEFAULT_EPS if op.eps is None else op.eps
    axes = tuple(range(op.axis, x.ndim))
    largest = np.abs(x).max(axis=axes, keepdims=True, initial=0.0)
    var = x.var(axis=axes, keepdims=True) + eps
    gain = np.where(var > 0, (largest**2 + abs(eps)) / var, np.nan)
    # The error of the variance passes on to every entry; a gain near 1/eps leaves no digit.
    y = largest / np.sqrt(np.where(var > 0, var, np.nan)) * (1.0 + gain) * np.ones(x.shape)
    gamma, beta = payload.get("gamma", np.ones(())), payload.get("beta", np.zeros(()))
    return np.asarray(y * np.abs(gamma) + np.abs(beta))


def _batch_norm(op: BatchNormEval, x: Array, payload: dict[str, Array]) -> Array:
    assert op.eps is not None
    shape = (op.channels,) + (1,) * (x.ndim - op.channel_axis - 1)
    mean, var, gamma, beta = (payload[n].reshape(shape) for n in ("mean", "var", "gamma", "beta"))
    var = np.maximum(var, 0.0)
    inner = var + op.eps
    gain = np.where(inner > 0, (var + abs(op.eps)) / inner, np.nan)
    std = np.sqrt(np.where(inner > 0, inner, np.nan))
    return (np.abs(x) + np.abs(mean)) / std * gain * np.abs(gamma) + np.abs(beta)


def largest_step(node: Node, inputs: list[Array]) -> float:
    """The largest number that a node may form on its way to numbers that are smaller again."""
    with np.errstate(all="ignore"):
        if isinstance(node.op, LayerNorm):
            # A NaN in one row says nothing of the others.
            return float(inputs[0].size * np.nan_to_num(np.abs(inputs[0])).max(initial=0.0) ** 2)
        if node.op.tag == "mse_loss":
            return float(np.nansum(np.square(inputs[0] - inputs[1])))
        if node.op.tag in ("reduce_mean", "avg_pool"):
            return float(np.nansum(np.abs(inputs[0])))
    return 0.0


def far(
    found: Array, expected: Array, allowed: Array, step: float, dtype: str, tolerance: float
) -> Array:
    """Where a result of `dtype` is not the expected one, as booleans.

    Where numbers come near the largest one of the dtype they may overflow on the way.
    """
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        rounded = expected.astype(dtype).astype(np.float64)
        risky = ~(allowed < float(info.max) / 1e3) | (step >= float(info.max) / 1e3)
        margin = tolerance * allowed + 4.0 * float(info.tiny)
        close = np.abs(found - rounded) <= np.where(allowed == 0.0, 0.0, margin)
        same = (found == rounded) | (np.isnan(found) & np.isnan(rounded)) | close
    return np.asarray(~(same | risky))
