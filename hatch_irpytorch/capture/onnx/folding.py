"""Nodes of constants alone: the graph that our own formula makes of them is evaluated at once.

NumPy does what no graph does exactly; integers, booleans and text without a formula are left to
the reference implementation in the `onnx` package.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value, first_line
from hatch_irpytorch.capture.onnx.constant_ops import ANY_OPS, REAL_OPS
from hatch_irpytorch.capture.onnx.costs import SLOW, cost_of, is_bounded
from hatch_irpytorch.capture.onnx.file import attributes_of
from hatch_irpytorch.capture.onnx.kinds import REALS
from hatch_irpytorch.capture.onnx.op_table import DRAWING, OPS, handled, is_standard
from hatch_irpytorch.capture.onnx.scope import Named, Scope
from hatch_irpytorch.capture.onnx.tensors import Call, Constant


def folded_outputs(
    node: onnx.NodeProto, call: Call, kinds: Sequence[int]
) -> list[Constant | None] | None:
    """The outputs of a node of constants alone, which are of the element types `kinds`.

    None where nothing bounds what it takes; a definition by other ops may still. Raises
    `OverBudgetError` before the work, `InexpressibleError` where it fails.
    """
    if node.op_type in DRAWING:
        raise InexpressibleError("it draws random numbers")
    function = _by_numpy(node, call)
    if function is not None:
        if not _afford(node, call):
            return None
        found = handled(function, call)
        if found[0] is not None:
            return [np.asarray(array) for array in found]
    real = not REALS.isdisjoint([*kinds, *(call.kind(i) for i in range(len(call.inputs)))])
    if not real and _afford(node, call):
        return _by_onnx(node, call)
    handler = OPS.get(node.op_type) if is_standard(node) else None
    return None if handler is None else _evaluated(handler, call, kinds)


def may_have_form(node: onnx.NodeProto) -> bool:
    """Whether an op of the standard has a form for some inputs, if only for constants."""
    op = node.op_type
    return is_standard(node) and (op in OPS or op in ANY_OPS or op in REAL_OPS or is_bounded(op))


def _by_numpy(node: onnx.NodeProto, call: Call) -> Callable[[Call], Any] | None:
    """The function for numbers that are better not made into a graph, where there is one."""
    if not is_standard(node):
        return None
    if node.op_type in ANY_OPS:
        return ANY_OPS[node.op_type]
    return REAL_OPS.get(node.op_type) if call.kind(0) in REALS else None


def _afford(node: onnx.NodeProto, call: Call) -> bool:
    """Take what a node costs out of the budget; False where nothing bounds it."""
    given = [_given(call, position) for position in range(len(call.inputs))]
    try:
        cost = None if node.domain else cost_of(node.op_type, given, attributes_of(node))
    except Exception as error:  # inputs and attributes of wrong shapes, types and counts
        raise _failed(error) from None
    if cost is not None:
        call.b.budget.spend(entries=cost.entries, steps=cost.steps)
    return cost is not None


def _evaluated(
    handler: Callable[[Call], Any], call: Call, kinds: Sequence[int]
) -> list[Constant | None]:
    """What the graph of a handler gives, each output rounded to its element type.

    The graph is given up, and with it the room that it took; the steps are not.
    """
    budget = call.b.budget
    entries, nodes = budget.entries, budget.nodes
    scratch = Builder(file=call.b.file, dtype="float64", budget=budget, evaluates=True)
    scope = Scope(scratch, call.scope.opsets)
    for name in filter(None, call.inputs):
        named = call.scope.named(name)
        scope.bind(name, Named(named.tensor, named.kind))
    results = handled(handler, replace(call, scope=scope))
    arrays = [scratch.array(r) if isinstance(r, Value) else r for r in results]
    used = nodes - budget.nodes
    budget.entries, budget.nodes = entries, nodes
    budget.spend(entries=sum(a.size for a in arrays if a is not None), steps=SLOW * used)
    return [
        _in_type(array, kind) if isinstance(result, Value) else array
        for result, array, kind in zip(results, arrays, kinds, strict=False)
    ]


def _in_type(array: Constant, kind: int) -> Constant:
    return array.astype(helper.tensor_dtype_to_np_dtype(kind))


def _by_onnx(node: onnx.NodeProto, call: Call) -> list[Constant | None]:
    """What the `onnx` package makes of integers, booleans and text."""
    if node.op_type in ("Div", "Mod") and _divides_by_zero(_given(call, 1)):
        raise InexpressibleError("integers divided by zero")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return _run(node, call)
    except Exception as error:  # the evaluator raises what its NumPy code raises
        raise _failed(error) from None


def _given(call: Call, position: int) -> Constant | None:
    return call.array(position, "an input") if call.has(position) else None


def _divides_by_zero(divisor: Constant | None) -> bool:
    """Whether NumPy would give 0 for what no rule gives a number."""
    return divisor is not None and divisor.dtype.kind in "iu" and not divisor.all()


def _failed(error: Exception) -> InexpressibleError:
    return InexpressibleError(f"a constant that `onnx` cannot evaluate ({first_line(error)})")


def _run(node: onnx.NodeProto, call: Call) -> list[Constant | None]:
    from onnx.reference import ReferenceEvaluator

    inputs = {name: call.scope.named(name).tensor for name in filter(None, call.inputs)}
    unknown = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    fed = [
        helper.make_tensor_value_info(name, call.scope.named(name).kind, array.shape)
        for name, array in inputs.items()
        if array is not None
    ]
    graph = helper.make_graph([node], "constant", fed, unknown)
    imports = [helper.make_opsetid(*pair) for pair in call.scope.opsets.items()]
    model = helper.make_model(graph, opset_imports=imports)
    results = ReferenceEvaluator(model).run(None, inputs)
    return [np.asarray(result) for result in results]
