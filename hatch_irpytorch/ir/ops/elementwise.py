"""Ops that treat each entry by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hatch_irpytorch.ir.ops.base import (
    Array,
    Code,
    Function,
    Op,
    Shape,
    Site,
    call,
    require_same,
    require_shape,
)
from hatch_irpytorch.ir.ops.zeros import MAXIMUM, MINIMUM
from hatch_irpytorch.ir.symbolic import NotFreeError, Product, SymbolicShape, joined, lined_up


class DomainError(Exception):
    """An entry lies outside an op's domain: its index and value."""

    def __init__(self, index: tuple[int, ...], value: float) -> None:
        self.index = index
        self.value = value
        super().__init__(f"entry {index} is {value}")


class _Binary(Op):
    parents = 2

    def infer(self, a: Shape, b: Shape) -> Shape:
        require_same(a, b)
        return a

    def infer_symbolic(self, out: Shape, a: SymbolicShape, b: SymbolicShape) -> list[SymbolicShape]:
        return [joined((a, b))]

    def repeats(self, parent: SymbolicShape, out: SymbolicShape) -> tuple[tuple[int, Product], ...]:
        return lined_up(parent, out)


class _Unary(Op):
    def infer(self, x: Shape) -> Shape:
        return x

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        return [x]


@dataclass(frozen=True)
class Add(_Binary, tag="add"):
    """Sum of two tensors of one shape. torchlean.ir.v1: add."""

    def reference(self, a: Array, b: Array) -> Array:
        return a + b

    def torch(self, at: Site) -> Code:
        return f"{at.x} + {at.y}"


@dataclass(frozen=True)
class Sub(_Binary, tag="sub"):
    """First minus second. torchlean.ir.v1: sub."""

    def reference(self, a: Array, b: Array) -> Array:
        return a - b

    def torch(self, at: Site) -> Code:
        return f"{at.x} - {at.y}"


@dataclass(frozen=True)
class MulElem(_Binary, tag="mul_elem"):
    """Product entry by entry. torchlean.ir.v1: mul_elem."""

    def reference(self, a: Array, b: Array) -> Array:
        return a * b

    def torch(self, at: Site) -> Code:
        return f"{at.x} * {at.y}"


@dataclass(frozen=True)
class MaxElem(_Binary, tag="max_elem"):
    """Larger entry; NaN propagates. torchlean.ir.v1: max_elem, N2."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.where((a == 0.0) & (b == 0.0), a + b, np.maximum(a, b))

    def torch(self, at: Site) -> Code:
        return call(MAXIMUM if at.zero_sign_matters else "torch.maximum", at.x, at.y)


@dataclass(frozen=True)
class MinElem(_Binary, tag="min_elem"):
    """Smaller entry; NaN propagates. torchlean.ir.v1: min_elem, N2."""

    def reference(self, a: Array, b: Array) -> Array:
        return np.where((a == 0.0) & (b == 0.0), -(-a - b), np.minimum(a, b))

    def torch(self, at: Site) -> Code:
        return call(MINIMUM if at.zero_sign_matters else "torch.minimum", at.x, at.y)


@dataclass(frozen=True)
class Abs(_Unary, tag="abs"):
    """Absolute value. torchlean.ir.v1: abs."""

    hides_zero_sign = True

    def reference(self, x: Array) -> Array:
        return np.abs(x)

    def torch(self, at: Site) -> Code:
        return call("torch.abs", at.x)


@dataclass(frozen=True)
class Sqrt(_Unary, tag="sqrt"):
    """Square root of max(x, 0). torchlean.ir.v1: sqrt, N3."""

    gives_positive_zero = True

    def reference(self, x: Array) -> Array:
        return np.sqrt(np.maximum(x, 0.0))

    def torch(self, at: Site) -> Code:
        return call("torch.sqrt", call("torch.clamp", at.x, min=0))


@dataclass(frozen=True)
class Inv(_Unary, tag="inv"):
    """1/x, infinite with the sign of x at a zero. torchlean.ir.v1: inv."""

    def reference(self, x: Array) -> Array:
        return 1.0 / x

    def torch(self, at: Site) -> Code:
        return call("torch.reciprocal", at.x)


@dataclass(frozen=True)
class Exp(_Unary, tag="exp"):
    """e to the power x. torchlean.ir.v1: exp."""

    hides_zero_sign = True

    def reference(self, x: Array) -> Array:
        return np.exp(x)

    def torch(self, at: Site) -> Code:
        return call("torch.exp", at.x)


@dataclass(frozen=True)
class Sin(_Unary, tag="sin"):
    """Sine of radians. torchlean.ir.v1: sin."""

    def reference(self, x: Array) -> Array:
        return np.sin(x)

    def torch(self, at: Site) -> Code:
        return call("torch.sin", at.x)


@dataclass(frozen=True)
class Cos(_Unary, tag="cos"):
    """Cosine of radians. torchlean.ir.v1: cos."""

    hides_zero_sign = True

    def reference(self, x: Array) -> Array:
        return np.cos(x)

    def torch(self, at: Site) -> Code:
        return call("torch.cos", at.x)


@dataclass(frozen=True)
class Tanh(_Unary, tag="tanh"):
    """Hyperbolic tangent. torchlean.ir.v1: tanh."""

    def reference(self, x: Array) -> Array:
        return np.tanh(x)

    def torch(self, at: Site) -> Code:
        return call("torch.tanh", at.x)


@dataclass(frozen=True)
class Log(_Unary, tag="log"):
    """Natural logarithm; an entry that is not above 0 is an error. torchlean.ir.v1: log, N3."""

    hides_zero_sign = True

    domain = "> 0"

    def reference(self, x: Array) -> Array:
        outside = ~(x > 0.0)
        if outside.any():
            first = np.unravel_index(int(np.argmax(outside)), x.shape)
            index = tuple(int(i) for i in first)
            raise DomainError(index, float(x[index]))
        return np.log(x)

    def torch(self, at: Site) -> Code:
        return call("torch.log", at.x)


@dataclass(frozen=True)
class Relu(_Unary, tag="relu"):
    """max(x, 0), where both zeros give +0. torchlean.ir.v1: relu, 6.6."""

    gives_positive_zero = True

    def reference(self, x: Array) -> Array:
        return np.where(x == 0.0, 0.0, np.maximum(x, 0.0))

    def torch(self, at: Site) -> Code | list[Code]:
        return call("torch.relu", at.x)


@dataclass(frozen=True)
class Sigmoid(_Unary, tag="sigmoid"):
    """Logistic function. torchlean.ir.v1: sigmoid."""

    hides_zero_sign = True

    def reference(self, x: Array) -> Array:
        tail = np.exp(-np.abs(x))
        return np.where(x > 0.0, 1.0 / (1.0 + tail), tail / (1.0 + tail))

    def torch(self, at: Site) -> Code:
        return call("torch.sigmoid", at.x)


def softplus(x: Array) -> Array:
    """log(1 + e**x) by the formula of torchlean.ir.v1: N4."""
    tail = np.log(1.0 + np.exp(np.where(x > 0.0, -x, x)))
    return np.where(x > 0.0, x + tail, tail)


SOFTPLUS = Function(
    "softplus",
    '''\
def softplus(x: torch.Tensor) -> torch.Tensor:
    """log(1 + e**x). `F.softplus` is not used because it returns x itself above 20."""
    positive = x > 0
    tail = torch.log(1 + torch.exp(torch.where(positive, -x, x)))
    return torch.where(positive, x + tail, tail)
''',
)


@dataclass(frozen=True)
class Softplus(_Unary, tag="softplus"):
    """log(1 + e**x). torchlean.ir.v1: softplus, N4."""

    hides_zero_sign = True

    def reference(self, x: Array) -> Array:
        return softplus(x)

    def torch(self, at: Site) -> Code:
        return call(SOFTPLUS, at.x)


@dataclass(frozen=True)
class SafeLog(Op, tag="safe_log"):
    """log(softplus(x) + eps), eps being the scalar second parent. torchlean.ir.v1: safe_log, N4."""

    hides_zero_sign = True

    parents = 2

    def infer(self, x: Shape, eps: Shape) -> Shape:
        require_shape("parents[1]", eps, ())
        return x

    def infer_symbolic(
        self, out: Shape, x: SymbolicShape, eps: SymbolicShape
    ) -> list[SymbolicShape]:
        if eps:
            raise NotFreeError("adds another number for each sample")
        return [x]

    def reference(self, x: Array, eps: Array) -> Array:
        return np.log(softplus(x) + eps)

    def torch(self, at: Site) -> Code | list[Code]:
        return [call(SOFTPLUS, at.x), call("torch.log", f"{at.name} + {at.y}")]
