"""Nodes of constants alone, evaluated by the reference implementation in the `onnx` package."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from hatch_irpytorch.capture.budget import Budget
from hatch_irpytorch.capture.builder import InexpressibleError, first_line
from hatch_irpytorch.capture.onnx.costs import cost_of
from hatch_irpytorch.capture.onnx.file import attributes_of
from hatch_irpytorch.capture.onnx.tensors import Constant


def evaluate_node(
    node: onnx.NodeProto,
    inputs: Mapping[str, Constant],
    opsets: Mapping[str, int],
    budget: Budget,
) -> list[Constant] | None:
    """The outputs of one node for constant inputs, or None where nothing bounds what it takes.

    Raises `OverBudgetError` before the work, `InexpressibleError` where it fails.
    """
    given = [inputs[name] if name else None for name in node.input]
    try:
        cost = None if node.domain else cost_of(node.op_type, given, attributes_of(node))
    except Exception as error:  # inputs and attributes of wrong shapes, types and counts
        raise _failed(error) from None
    if cost is None:
        return None
    budget.spend(entries=cost.entries, steps=cost.steps)
    if node.op_type in ("Div", "Mod") and _divides_by_zero(given[-1]):
        raise InexpressibleError("integers divided by zero")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return _evaluated(node, inputs, opsets)
    except Exception as error:  # the evaluator raises what its NumPy code raises
        raise _failed(error) from None


def _divides_by_zero(divisor: Constant | None) -> bool:
    """Whether NumPy would give 0 for what no rule gives a number."""
    return divisor is not None and divisor.dtype.kind in "iu" and not divisor.all()


def _failed(error: Exception) -> InexpressibleError:
    return InexpressibleError(f"a constant that `onnx` cannot evaluate ({first_line(error)})")


def _evaluated(
    node: onnx.NodeProto, inputs: Mapping[str, Constant], opsets: Mapping[str, int]
) -> list[Constant]:
    from onnx.reference import ReferenceEvaluator

    unknown = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    fed = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in inputs.items()
    ]
    graph = helper.make_graph([node], "constant", fed, unknown)
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(graph, opset_imports=imports)
    results = ReferenceEvaluator(model).run(None, dict(inputs))
    return [np.asarray(result) for result in results]
