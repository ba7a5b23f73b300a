"""ONNX ops on single entries, and those that only pass a tensor on."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from onnx import TensorProto

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.entries import arcs, erf, inverse_hyperbolic, patterns, powers
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.entries.dtypes import converted
from hatch_irpytorch.capture.onnx.kinds import INTEGERS, dtype_name
from hatch_irpytorch.capture.onnx.rounding_ops import quotient_of_integers
from hatch_irpytorch.capture.onnx.tensors import Call
from hatch_irpytorch.capture.training import DROPOUT, is_input, note
from hatch_irpytorch.ir.ops import Op
from hatch_irpytorch.ir.ops.elementwise import Abs, Cos, Exp, Inv, Sin, Sqrt
from hatch_irpytorch.ir.ops.learned import EVERY_WEIGHT

Handler = Callable[[Call], Any]


def _unary(op: Op) -> Handler:
    return lambda c: c.b.node(op, c.x)


def _formula(function: Callable[..., Value], **defaults: float) -> Handler:
    """A formula whose further arguments are attributes with these defaults."""

    def convert(c: Call) -> Value:
        return function(c.b, c.x, *(float(c.get(name, d)) for name, d in defaults.items()))

    return convert


def _folded(function: Callable[..., Value]) -> Handler:
    """An op of any number of tensors, two at a time."""
    return lambda c: reduce(lambda x, y: function(c.b, x, y), c.values())


def _add(c: Call) -> Value:
    """A sum; of a product with a weight and a vector it is one `linear` node."""
    for position in (0, 1):
        biased = _with_bias(c, position, 1 - position)
        if biased is not None:
            return biased
    return e.add(c.b, c.value(0), c.value(1))


def _with_bias(c: Call, product: int, bias: int) -> Value | None:
    from hatch_irpytorch.capture.layers.products import linear

    named = c.named(product)
    y = named.tensor
    if not isinstance(y, Value) or y.id not in c.scope.bare_products:
        return None
    if named.users != 1 or not c.is_trainable(bias):
        return None
    x, weight = c.scope.bare_products[y.id]
    shift = c.stored(bias, "a bias")
    if shift.shape != (1,) * (shift.ndim - 1) + (len(weight),) or shift.ndim > y.rank:
        return None
    return linear(c.b, x, weight, shift.reshape(-1), EVERY_WEIGHT)


def _from_input(function: Callable[[Builder, Value, Value], Value]) -> Handler:
    """An op whose second operand is data where the first is the input: its mean, its deviation."""

    def convert(c: Call) -> Value:
        if c.is_constant(1) and not c.is_constant(0) and is_input(c.b, c.value(0)):
            return function(c.b, c.x, c.b.const(c.stored(1, "a statistic")))
        return function(c.b, c.x, c.value(1))

    return convert


def _div(c: Call) -> Value:
    of_integers = c.kind(0) in INTEGERS
    return quotient_of_integers(c) if of_integers else _from_input(patterns.quotient)(c)


def _pow(c: Call) -> Value:
    if c.is_constant(1):
        return powers.powers(c.b, c.x, c.reals(1, "an exponent"))
    return powers.any_power(c.b, c.x, c.value(1))


def _clip(c: Call) -> Value:
    x = c.x
    if "min" in c.attributes or "max" in c.attributes or not (c.has(1) or c.has(2)):
        return e.clamp(c.b, x, c.attributes.get("min"), c.attributes.get("max"))
    bounds: list[float | None] = [None, None]
    for position in (1, 2):
        if c.is_constant(position):
            bounds[position - 1] = float(c.reals(position, "a bound").reshape(()))
        elif c.has(position):
            x = (e.maximum, e.minimum)[position - 1](c.b, x, c.value(position))
    return e.clamp(c.b, x, *bounds)


def _gelu(c: Call) -> Value:
    function = e.gelu_tanh if c.get("approximate", "none") == "tanh" else erf.gelu
    return function(c.b, c.x)


def _hard_swish(c: Call) -> Value:
    return e.hard_swish(c.b, c.x)


def _prelu(c: Call) -> Value:
    slope = c.value(1)
    if c.is_own(1):
        slope = c.b.const(c.stored(1, "a slope"), True, name=c.inputs[1])
    return e.prelu(c.b, c.x, slope)


def _selu(c: Call) -> Value:
    alpha = c.get("alpha", 1.67326319217681884765625)
    return e.elu(c.b, c.x, alpha, c.get("gamma", 1.05070102214813232421875))


def _celu(c: Call) -> Value:
    alpha = c.get("alpha", 1.0)
    return e.elu(c.b, c.x, alpha, 1.0, 1.0 / alpha)


def _mean(c: Call) -> Value:
    values = c.values()
    return e.scaled(c.b, reduce(lambda x, y: e.add(c.b, x, y), values), 1.0 / len(values))


def _tan(c: Call) -> Value:
    return e.div(c.b, c.b.node(Sin(), c.x), c.b.node(Cos(), c.x))


def _cast(c: Call) -> Value:
    return _converted(c, int(c.get("to", TensorProto.FLOAT)))


def _cast_like(c: Call) -> Value:
    return _converted(c, c.kind(1))


def _converted(c: Call, kind: int) -> Value:
    return converted(c.b, c.x, dtype_name(c.kind(0)), dtype_name(kind))


def _dropout(c: Call) -> list[Value | None]:
    if c.has(2) and bool(c.array(2, "a training mode").reshape(())):
        raise InexpressibleError("dropout in training mode")
    if _likelihood_of_drops(c) > 0.0:
        note(c.b, DROPOUT)
    return [c.x, None]


def _likelihood_of_drops(c: Call) -> float:
    """The ratio of a dropout, an input since opset 12: 0.5 where it is left out."""
    given = c.array(1, "a ratio").reshape(()) if c.has(1) else c.get("ratio", 0.5)
    return float(given)


def _identity(c: Call) -> Value:
    return c.x


OPS: dict[str, Handler] = {
    "Abs": _unary(Abs()),
    "Acos": _formula(arcs.acos),
    "Acosh": _formula(inverse_hyperbolic.acosh),
    "Add": _add,
    "Asin": _formula(arcs.asin),
    "Asinh": _formula(inverse_hyperbolic.asinh),
    "Atan": _formula(arcs.atan),
    "Atanh": _formula(inverse_hyperbolic.atanh),
    "Cast": _cast,
    "CastLike": _cast_like,
    "Celu": _celu,
    "Clip": _clip,
    "Cos": _unary(Cos()),
    "Cosh": _formula(e.cosh),
    "Div": _div,
    "Dropout": _dropout,
    "Elu": _formula(e.elu, alpha=1.0),
    "Erf": _formula(erf.erf),
    "Exp": _unary(Exp()),
    "Gelu": _gelu,
    "HardSigmoid": _formula(e.hard_sigmoid, alpha=0.2, beta=0.5),
    "HardSwish": _hard_swish,
    "Identity": _identity,
    "LeakyRelu": _formula(e.leaky_relu, alpha=0.01),
    "Log": _formula(patterns.logarithm),
    "Max": _folded(e.maximum),
    "Mean": _mean,
    "Min": _folded(e.minimum),
    "Mish": _formula(e.mish),
    "Mul": lambda c: patterns.product(c.b, c.value(0), c.value(1)),
    "Neg": _formula(e.neg),
    "PRelu": _prelu,
    "Pow": _pow,
    "Reciprocal": _unary(Inv()),
    "Relu": _formula(e.relu),
    "Selu": _selu,
    "Sigmoid": _formula(e.sigmoid),
    "Sin": _unary(Sin()),
    "Sinh": _formula(e.sinh),
    "Softplus": _formula(e.softplus),
    "Softsign": _formula(e.softsign),
    "Sqrt": _unary(Sqrt()),
    "Sub": _from_input(e.sub),
    "Sum": _folded(e.add),
    "Swish": _formula(e.silu, alpha=1.0),
    "Tan": _tan,
    "Tanh": _formula(e.tanh),
}
"""By op type."""
