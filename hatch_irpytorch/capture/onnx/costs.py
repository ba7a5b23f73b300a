"""What computing a node of constants makes and takes, told by its inputs before it is run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from hatch_irpytorch.capture.onnx.tensors import Constant

Inputs = Sequence[Constant | None]
Size = Callable[[Inputs, Mapping[str, Any]], int]


class Cost(NamedTuple):
    """At most how many numbers are made, in how many steps."""

    entries: int
    steps: int


SLOW = 1 << 8
"""How many steps of NumPy one step of Python takes."""

_PER_ENTRY = (
    *("Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BitShift"),
    *("BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu"),
    *("Clip", "Cos", "Cosh", "Div", "Elu", "Equal", "Exp", "Floor", "Greater", "GreaterOrEqual"),
    *("HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less"),
    *("LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or"),
    *("PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin"),
    *("Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh"),
    *("ThresholdedRelu", "Where", "Xor"),
)
_SLOW_PER_ENTRY = ("Erf", "Gelu")
_NO_MORE_THAN_THE_INPUTS = (
    *("ArgMax", "ArgMin", "Compress", "Concat", "CumProd", "CumSum", "DepthToSpace"),
    *("Dropout", "DynamicQuantizeLinear", "Flatten", "Hardmax", "LogSoftmax"),
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax"),
    *("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Reshape"),
    *("ReverseSequence", "Shape", "Size", "Softmax", "SpaceToDepth", "Squeeze"),
    *("Transpose", "Unique", "Unsqueeze"),
)
_SLOW_IN_THE_INPUTS = ("Scatter", "ScatterElements", "ScatterND")
_OUTPUTS = 4
"""At most how many tensors of the size of its inputs such a node makes."""


def cost_of(op: str, inputs: Inputs, attributes: Mapping[str, Any]) -> Cost | None:
    """The cost of an op, or None where nothing bounds it. May raise whatever wrong inputs cause."""
    if op in _SIZES:
        size, weight = _SIZES[op]
        entries = size(inputs, attributes)
        return Cost(entries, weight * (entries + _inputs(inputs, attributes)))
    if op in _PRODUCTS:
        return _PRODUCTS[op](inputs, attributes)
    return None


def is_bounded(op: str) -> bool:
    """Whether the cost of an op can be told, so that a node of constants alone is run."""
    return op in _SIZES or op in _PRODUCTS


def _extents(array: Constant | None) -> tuple[int, ...]:
    return () if array is None else array.shape


def _naturals(array: Constant | None) -> list[int]:
    values = [] if array is None else [int(i) for i in array.reshape(-1)]
    if any(value < 0 for value in values):
        raise ValueError(f"{min(values)} where a count is needed")
    return values


def _given(inputs: Inputs, position: int) -> Constant | None:
    return inputs[position] if position < len(inputs) else None


def _inputs(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    return sum(array.size for array in inputs if array is not None) + 1


def _in_common(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    """The entries of the shape that all inputs are repeated to."""
    return _spread([_extents(array) for array in inputs])


def _spread(shapes: Sequence[Sequence[int]]) -> int:
    axes = zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1)
    return math.prod(max(extents) for extents in axes)


def _parts(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    return _inputs(inputs, attributes) + max(int(attributes.get("num_outputs", 0)), 0)


def _largest(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    counts = _naturals(_given(inputs, 1)) or [int(attributes.get("k", 0))]
    return _OUTPUTS * _inputs(inputs, attributes) + max(counts)


def _scaled(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    """Scales are repeated over the blocks of an axis, and then to the shape of all inputs."""
    repeated = max(int(attributes.get("block_size", 1)), 1)
    return repeated * _inputs(inputs, attributes) + _OUTPUTS * _in_common(inputs, attributes)


def _triangle(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    if len(_extents(inputs[0])) < 2:
        raise ValueError("a triangle needs a matrix, the input has fewer than two axes")
    return _OUTPUTS * _inputs(inputs, attributes)


def _constant(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    """A constant is part of the file; numbers may be packed, eight in a byte at most."""
    return 8 * sum(
        value.ByteSize() if hasattr(value, "ByteSize") else np.size(value)
        for value in attributes.values()
    )


def _filled(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    return math.prod(_naturals(inputs[0]))


def _expanded(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    return _spread([_extents(inputs[0]), _naturals(inputs[1])])


def _tiled(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    return math.prod(_extents(inputs[0])) * math.prod(_naturals(inputs[1]))


def _range(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    start, limit, delta = (float(np.asarray(array).reshape(())) for array in inputs)
    return max(math.ceil((limit - start) / delta), 0)


def _padded(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    given = attributes.get("pads", _given(inputs, 1))
    pads = [abs(int(i)) for i in np.asarray(given if given is not None else []).reshape(-1)]
    half = len(pads) // 2
    amounts = [pads[i] + pads[half + i] for i in range(half)]
    extents = list(_extents(inputs[0]))
    if half != len(extents) or _given(inputs, 3) is not None:
        # Which axis gets which is left to the op: the product is largest in this order.
        amounts.sort(reverse=True)
        extents.sort()
    return math.prod(extent + more for extent, more in zip_longest(extents, amounts, fillvalue=0))


def _one_hot(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    depth = math.prod(_naturals(inputs[1]))
    return math.prod(_extents(inputs[0])) * depth


def _gathered(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    extents, axis = _extents(inputs[0]), int(attributes.get("axis", 0))
    rest = math.prod(extents) // max(extents[axis], 1)
    return rest * math.prod(_extents(inputs[1]))


def _elements(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    return math.prod(_extents(inputs[1]))


def _vectors(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    *lead, last = _extents(inputs[1])
    return math.prod(lead) * math.prod(_extents(inputs[0])[last:])


def _positions(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    return math.prod(_extents(inputs[0])) * max(len(_extents(inputs[0])), 1)


def _window(inputs: Inputs, attributes: Mapping[str, Any]) -> int:
    return math.prod(_naturals(inputs[0]))


def _product(inputs: Inputs, attributes: Mapping[str, Any]) -> Cost:
    a, c = (_extents(array) or (1,) for array in inputs[:2])
    rows, columns = (1, 1, *a)[-2:], (*c, 1)[-2:] if len(c) == 1 else c[-2:]
    if attributes.get("transA"):
        rows = rows[::-1]
    if attributes.get("transB"):
        columns = columns[::-1]
    entries = _spread([a[:-2], c[:-2]]) * rows[0] * columns[1]
    entries += sum(math.prod(_extents(array)) for array in inputs[2:])
    return Cost(entries, entries * max(rows[1], 1))


def _einsum(inputs: Inputs, attributes: Mapping[str, Any]) -> Cost:
    equation = str(attributes.get("equation", "")).replace(" ", "")
    found: dict[str, int] = {}
    for term, array in zip(equation.split("->")[0].split(","), inputs, strict=True):
        if not term.isalpha():
            found[term] = math.prod(_extents(array))
        else:
            for letter, extent in zip(term, _extents(array), strict=True):
                found[letter] = max(found.get(letter, 1), extent)
    steps = math.prod(found.values())
    named = equation.partition("->")[2] if "->" in equation else ""
    closed = named.isalpha() and "." not in equation
    return Cost(math.prod(found[letter] for letter in named) if closed else steps, steps)


_SIZES: dict[str, tuple[Size, int]] = {
    **dict.fromkeys(_PER_ENTRY, (_in_common, 4)),
    **dict.fromkeys(_SLOW_PER_ENTRY, (_in_common, SLOW)),
    **dict.fromkeys(_NO_MORE_THAN_THE_INPUTS, (lambda i, a: _OUTPUTS * _inputs(i, a), 4)),
    **dict.fromkeys(_SLOW_IN_THE_INPUTS, (_inputs, SLOW)),
    **dict.fromkeys(("BlackmanWindow", "HammingWindow", "HannWindow"), (_window, 8)),
    "Constant": (_constant, 1),
    "ConstantOfShape": (_filled, 1),
    "Expand": (_expanded, 1),
    "EyeLike": (_in_common, 4),
    "Gather": (_gathered, 4),
    "GatherElements": (_elements, 8),
    "GatherND": (_vectors, SLOW),
    "NonZero": (_positions, 4),
    "OneHot": (_one_hot, 8),
    "Pad": (_padded, 4),
    "Range": (_range, SLOW),
    "DequantizeLinear": (_scaled, 4),
    "QuantizeLinear": (_scaled, 4),
    "Split": (_parts, 4),
    "Tile": (_tiled, 1),
    "TopK": (_largest, 4),
    "Trilu": (_triangle, 4),
}
"""By op: how many entries it makes, and how many steps each entry of it and its inputs takes."""

_PRODUCTS: dict[str, Callable[[Inputs, Mapping[str, Any]], Cost]] = {
    "Einsum": _einsum,
    "Gemm": _product,
    "MatMul": _product,
}
