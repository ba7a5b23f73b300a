"""Normalisations, with their scale and shift as payload or as constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hatch_irpytorch.capture.builder import Builder, Reals, Value
from hatch_irpytorch.capture.entries.elementwise import add, mul, rsqrt, shifted, square, sub
from hatch_irpytorch.capture.layers.reductions import mean
from hatch_irpytorch.capture.training import STATISTICS, note, without_shift
from hatch_irpytorch.ir.ops.learned import LearnedAffine
from hatch_irpytorch.ir.ops.normalization import DEFAULT_EPS, BatchNormEval, LayerNorm
from hatch_irpytorch.ir.shapes import numel


def standardized(b: Builder, x: Value, axes: Sequence[int], eps: float) -> Value:
    """(x - mean) / √(var + eps) over the axes."""
    first = x.rank - len(axes)
    last = [axis % x.rank for axis in axes] == list(range(first, x.rank))
    if last and eps == DEFAULT_EPS and numel(x.shape[first:]):
        return b.node(LayerNorm(first), x)
    centred = sub(b, x, mean(b, x, axes, True))
    variance = mean(b, square(b, centred), axes, True)
    return mul(b, centred, rsqrt(b, shifted(b, variance, eps)))


def scale_shift(
    b: Builder, x: Value, gamma: Value | None, beta: Value | None, shape: Sequence[int]
) -> Value:
    """x · gamma + beta, both seen with `shape`, which broadcasts to x."""
    if gamma is not None:
        x = mul(b, x, b.reshape(gamma, shape))
    return x if beta is None else add(b, x, b.reshape(beta, shape))


def layer_norm(
    b: Builder,
    x: Value,
    axis: int,
    gamma: Reals,
    beta: Reals | None,
    eps: float,
    learned: LearnedAffine,
) -> Value:
    """One `layernorm` node over the axes from `axis` on; no beta is a beta of zeros."""
    if beta is None:
        learned = without_shift(b, learned)
        beta = np.zeros_like(gamma)
    return b.node(LayerNorm(axis, eps, learned), x, payload={"gamma": gamma, "beta": beta})


def group_norm(
    b: Builder, x: Value, groups: int, gamma: Value | None, beta: Value | None, eps: float
) -> Value:
    """x (N, C, ...) normalised over each of the groups of channels and all that follows."""
    batch, channels, *spatial = x.shape
    folded = b.reshape(x, (batch, groups, channels // groups * numel(tuple(spatial))))
    y = b.reshape(standardized(b, folded, [2], eps), x.shape)
    return scale_shift(b, y, gamma, beta, (channels, *[1] * len(spatial)))


def rms_norm(b: Builder, x: Value, axes: Sequence[int], gamma: Value | None, eps: float) -> Value:
    """x / √(mean of squares + eps) over the axes, times gamma."""
    factor = rsqrt(b, shifted(b, mean(b, square(b, x), axes, True), eps))
    y = mul(b, x, factor)
    return y if gamma is None else mul(b, y, gamma)


def batch_norm(
    b: Builder,
    x: Value,
    channel_axis: int,
    gamma: Reals | None,
    beta: Reals | None,
    stored: tuple[Reals, Reals],
    eps: float,
    learned: LearnedAffine,
) -> Value:
    """One `batch_norm_eval` node with the stored (mean, var) of the channels."""
    mean_, var = stored
    channels = x.shape[channel_axis]
    payload = {
        "gamma": np.ones(channels) if gamma is None else gamma,
        "beta": np.zeros(channels) if beta is None else beta,
        "mean": mean_,
        "var": var,
    }
    note(b, STATISTICS)
    op = BatchNormEval(channel_axis, channels, float(eps), learned)
    return b.node(op, x, payload=payload)
