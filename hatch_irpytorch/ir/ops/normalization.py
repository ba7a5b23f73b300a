"""Layer norm and batch norm in eval mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hatch_irpytorch.ir.ops.base import (
    Array,
    Code,
    Function,
    Op,
    Reals,
    RuleError,
    Shape,
    Site,
    Slot,
    call,
    numel,
    require_axis,
)
from hatch_irpytorch.ir.ops.learned import EVERY_AFFINE, LearnedAffine
from hatch_irpytorch.ir.symbolic import NotFreeError, SymbolicShape, is_free

DEFAULT_EPS = 1e-5
"""What a layer norm without payload adds to the variance; torch's default, in batch norm too."""

LAYER_NORM = Function(
    "layer_norm",
    '''\
def layer_norm(
    x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor, eps: float
) -> torch.Tensor:
    """Layer norm whose variance plus a negative eps is cut off at 0."""
    dims = tuple(range(-gamma.dim(), 0))
    centred = x - x.mean(dim=dims, keepdim=True)
    again = centred - centred.mean(dim=dims, keepdim=True)
    var = again.square().mean(dim=dims, keepdim=True)
    return centred / torch.sqrt(torch.clamp(var + eps, min=0)) * gamma + beta


fx.wrap("layer_norm")
''',
)


@dataclass(frozen=True)
class LayerNorm(Op, tag="layernorm"):
    """Normalisation over the axes from `axis` on. torchlean.ir.v1: layernorm, N6."""

    gives_positive_zero = True

    axis: int
    eps: float | None = None
    learnable: LearnedAffine = EVERY_AFFINE

    payload_fields = ("gamma", "beta")

    def infer(self, x: Shape) -> Shape:
        require_axis(self.axis, x)
        if numel(x[self.axis :]) == 0:
            raise RuleError("axis", x[self.axis :], "normalised extents without a 0")
        return x

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        if any(map(is_free, x[self.axis :])):
            raise NotFreeError(f"normalises over the axes from {self.axis} on")
        return [x]

    def payload(self, x: Shape) -> tuple[Slot, ...]:
        normalised, learned = x[self.axis :], self.learnable
        return (
            Slot("gamma", "gamma", normalised, learned.gamma),
            Slot("beta", "beta", normalised, learned.beta),
        )

    def optional_payload(self) -> bool:
        return self.eps is None

    def payload_problems(self, present: frozenset[str]) -> Iterable[RuleError]:
        if present and self.eps is None:
            yield RuleError("eps", "nothing", "a number beside `gamma` and `beta`")

    def reference(
        self, x: Array, *, gamma: Array | None = None, beta: Array | None = None
    ) -> Array:
        eps = DEFAULT_EPS if self.eps is None else self.eps
        rows = x.reshape(numel(x.shape[: self.axis]), numel(x.shape[self.axis :]))
        centred = rows - rows.mean(axis=1, keepdims=True)
        var = np.maximum(centred.var(axis=1, keepdims=True), 0.0)
        y: Array = (centred / np.sqrt(np.maximum(var + eps, 0.0))).reshape(x.shape)
        return y if gamma is None or beta is None else y * gamma + beta

    def torch(self, at: Site) -> Code:
        normalised = at.out[self.axis :]
        if not at.payload:
            return call("F.layer_norm", at.x, normalised)
        eps = DEFAULT_EPS if self.eps is None else self.eps
        gamma, beta = at.slot("gamma"), at.slot("beta")
        if eps < 0:
            return call(LAYER_NORM, at.x, gamma, beta, eps=eps)
        return call("F.layer_norm", at.x, normalised, gamma, beta, **_unless_default(eps))


def _unless_default(eps: float) -> dict[str, float]:
    return {} if eps == DEFAULT_EPS else {"eps": eps}


_FAR = 1_000.0

BATCH_NORM = Function(
    "batch_norm",
    '''\
def batch_norm(
    x: torch.Tensor,
    mean: torch.Tensor,
    var: torch.Tensor,
    gamma: torch.Tensor,
    beta: torch.Tensor,
    shape: tuple[int, ...],
    eps: float,
) -> torch.Tensor:
    """Batch norm in eval mode; `shape` lines the channels up with their axis of x."""
    std = torch.sqrt(torch.clamp(torch.clamp(var, min=0) + eps, min=0))
    y = (x - mean.reshape(shape)) / std.reshape(shape)
    return y * gamma.reshape(shape) + beta.reshape(shape)
''',
)


@dataclass(frozen=True)
class BatchNormEval(Op, tag="batch_norm_eval", prefix="batchnorm"):
    """Batch norm with stored statistics. torchlean.ir.v1: batch_norm_eval, N7."""

    gives_positive_zero = True

    channel_axis: int
    channels: int
    eps: float | None = None
    learnable: LearnedAffine = EVERY_AFFINE

    payload_fields = ("gamma", "beta", "mean", "var")
    code_reads_payload = True

    def infer(self, x: Shape) -> Shape:
        if self.channels < 1:
            raise RuleError("channels", self.channels, "at least 1")
        require_axis(self.channel_axis, x, "channel_axis")
        if x[self.channel_axis] != self.channels:
            expected = f"{x[self.channel_axis]}, the extent of axis {self.channel_axis} of {x}"
            raise RuleError("channels", self.channels, expected)
        return x

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        if is_free(x[self.channel_axis]):
            raise NotFreeError(f"has its channels on axis {self.channel_axis}")
        return [x]

    def payload(self, x: Shape) -> tuple[Slot, ...]:
        shape, learned = (self.channels,), self.learnable
        return (
            Slot("gamma", "gamma", shape, learned.gamma),
            Slot("beta", "beta", shape, learned.beta),
            Slot("mean", "mean", shape, learned=False),
            Slot("var", "var", shape, learned=False),
        )

    def payload_problems(self, present: frozenset[str]) -> Iterable[RuleError]:
        if self.eps is None:
            yield RuleError("eps", "nothing", "a number")

    def _view(self, rank: int) -> Shape:
        return (self.channels,) + (1,) * (rank - self.channel_axis - 1)

    def reference(self, x: Array, *, gamma: Array, beta: Array, mean: Array, var: Array) -> Array:
        assert self.eps is not None
        shape = self._view(x.ndim)
        std = np.sqrt(np.maximum(np.maximum(var, 0.0) + self.eps, 0.0))
        y = (x - mean.reshape(shape)) / std.reshape(shape)
        return y * gamma.reshape(shape) + beta.reshape(shape)

    def _is_ordinary(self, payload: Mapping[str, Reals]) -> bool:
        """Whether torch's own function computes the same: it multiplies by gamma / root first.

        It does not clamp, and where a mean is far larger than its root the sum cancels.
        """
        assert self.eps is not None
        mean, var, gamma = (payload[name].astype(np.float64) for name in ("mean", "var", "gamma"))
        if self.eps <= 0 or not (var >= 0.0).all():
            return False
        with np.errstate(all="ignore"):
            root = np.sqrt(var + self.eps)
            return bool((np.abs(mean) <= _FAR * root).all() and np.isfinite(gamma / root).all())

    def torch(self, at: Site) -> Code:
        assert self.eps is not None
        tensors = (at.slot("mean"), at.slot("var"), at.slot("gamma"), at.slot("beta"))
        if self.channel_axis == 1 and 0 not in at.out and self._is_ordinary(at.payload):
            return call("F.batch_norm", at.x, *tensors, **_unless_default(self.eps))
        return call(BATCH_NORM, at.x, *tensors, shape=self._view(len(at.out)), eps=self.eps)
