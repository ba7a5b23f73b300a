"""The functions in the gates of ONNX's recurrent layers, some with numbers of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.layers.recurrent import Activation
from hatch_irpytorch.capture.onnx.tensors import Call


class _Kind(NamedTuple):
    """A function of alpha and beta, each of which it has a default for where it takes it."""

    of: Callable[[Builder, Value, float, float], Value]
    alpha: float | None = None
    beta: float | None = None


_KINDS: dict[str, _Kind] = {
    "affine": _Kind(lambda b, x, alpha, beta: _affine(b, x, alpha, beta), 1.0, 0.0),
    "elu": _Kind(lambda b, x, alpha, _: e.elu(b, x, alpha), 1.0),
    "hardsigmoid": _Kind(e.hard_sigmoid, 0.2, 0.5),
    "leakyrelu": _Kind(lambda b, x, alpha, _: e.leaky_relu(b, x, alpha), 0.01),
    "relu": _Kind(lambda b, x, *_: e.relu(b, x)),
    "scaledtanh": _Kind(lambda b, x, alpha, beta: _scaled_tanh(b, x, alpha, beta), 1.0, 1.0),
    "sigmoid": _Kind(lambda b, x, *_: e.sigmoid(b, x)),
    "softplus": _Kind(lambda b, x, *_: e.softplus(b, x)),
    "softsign": _Kind(lambda b, x, *_: e.softsign(b, x)),
    "tanh": _Kind(lambda b, x, *_: e.tanh(b, x)),
}


def _affine(b: Builder, x: Value, alpha: float, beta: float) -> Value:
    return e.shifted(b, e.scaled(b, x, alpha), beta)


def _scaled_tanh(b: Builder, x: Value, alpha: float, beta: float) -> Value:
    return e.scaled(b, e.tanh(b, e.scaled(b, x, beta)), alpha)


def activations(c: Call, defaults: list[str]) -> list[Activation]:
    """The functions that a layer names; what its gates are of is cut off at its `clip`.

    The cell of an LSTM is none of the gates: ONNX Runtime lets its last function see all of it.
    The numbers of `activation_alpha` and `activation_beta` go to those that take one, in order.
    """
    names = c.get("activations", None) or defaults
    texts = [name.decode() if isinstance(name, bytes) else name for name in names]
    if len(texts) != len(defaults) or any(text.lower() not in _KINDS for text in texts):
        raise InexpressibleError(f"the activations {', '.join(texts)}")
    alphas = iter(c.get("activation_alpha", None) or [])
    betas = iter(c.get("activation_beta", None) or [])
    clip = c.get("clip", None)
    cut = [None if c.op == "LSTM" and i % 3 == 2 else clip for i in range(len(texts))]
    parts = zip(texts, cut, strict=True)
    return [_made(_KINDS[text.lower()], alphas, betas, bound) for text, bound in parts]


def _made(
    kind: _Kind, alphas: Iterator[float], betas: Iterator[float], clip: float | None
) -> Activation:
    alpha = 0.0 if kind.alpha is None else next(alphas, kind.alpha)
    beta = 0.0 if kind.beta is None else next(betas, kind.beta)

    def function(b: Builder, x: Value) -> Value:
        return kind.of(b, x if clip is None else e.clamp(b, x, -clip, clip), alpha, beta)

    return function
