"""From an ONNX file to a checked model, node by node."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from hatch_irpytorch.capture.budget import OverBudgetError
from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value, first_line
from hatch_irpytorch.capture.finished import checked
from hatch_irpytorch.capture.onnx import (
    elementwise_ops,
    layer_ops,
    movement_ops,
    recurrent_ops,
    reduction_ops,
    resize_ops,
)
from hatch_irpytorch.capture.onnx.file import (
    OnnxFile,
    array_of,
    attributes_of,
    count_users,
    is_real,
    read_file,
)
from hatch_irpytorch.capture.onnx.folding import evaluate_node
from hatch_irpytorch.capture.onnx.functions import function_body, inlined
from hatch_irpytorch.capture.onnx.kinds import UNTOLD, kind_of, output_kinds
from hatch_irpytorch.capture.onnx.tensors import Attributes, Call, Constant, Names
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem, Problems, shown
from hatch_irpytorch.ir.graph import Model
from hatch_irpytorch.ir.ops import RuleError

OPS = {
    **elementwise_ops.OPS,
    **movement_ops.OPS,
    **reduction_ops.OPS,
    **layer_ops.OPS,
    **recurrent_ops.OPS,
    **resize_ops.OPS,
}
"""Every ONNX op that has a form, by type."""

WITHOUT_EFFECT = frozenset(
    {
        *("kernel_shape", "storage_order", "momentum", "consumed_inputs"),
        *("ratio", "seed", "is_test", "stash_type", "saturate", "round_mode"),
    }
)
"""Attributes that repeat a shape, or say what only training, other outputs or speed depend on."""

DRAWING = frozenset(
    {
        *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"),
        "RandomUniformLike",
    }
)
"""Ops whose result is no constant although their inputs are."""

MAX_NAME = 200
"""How much of a name stands in a message."""

UNBOUNDED = "nothing bounds what computing this constant takes"
NO_FORMULA = "no formula is known for it"


def from_onnx(
    path: Path, shapes: Mapping[str, Sequence[int]], bind: Mapping[str, Constant]
) -> Model:
    """The graph of an ONNX file with one real input, as `hatch_irpytorch.capture` has it."""
    return _Conversion(read_file(path, shapes, bind)).run()


class _Conversion:
    def __init__(self, file: OnnxFile) -> None:
        self.file = file
        self.builder = Builder(file=file.name, budget=file.budget)
        self.names = Names(self.builder)
        self.problems = Problems()
        self.failed: set[str] = set()

    def run(self) -> Model:
        file = self.file
        for name, array in file.constants.items():
            learned = name in file.initializers and is_real(array)
            self.names.bind(name, array, kind_of(array), trainable=learned)
        value = self.builder.input(file.input_shape)
        self.names.bind(file.input_name, value, file.input_kind)
        outputs = [output.name for output in file.graph.output]
        self.names.users = dict(count_users(file.graph.node, outputs))
        for position, node in enumerate(file.graph.node):
            self._convert(node, position)
        values = [self._output(name) for name in outputs]
        self.problems.raise_if_any()
        model = checked(self.builder, [value for value in values if value is not None])
        return replace(model, notes=(*file.notes, *model.notes))

    def _output(self, name: str) -> Value | None:
        if name in self.failed:
            return None
        tensor = self.names.tensors.get(name)
        if tensor is None or (isinstance(tensor, np.ndarray) and not is_real(tensor)):
            message = f"the output `{name}` is not a tensor of real numbers with a form"
            self.problems.add("inexpressible", Place(self.file.name), message)
            return None
        self.builder.origin = ""
        try:
            return self.names.value(name)
        except InexpressibleError as error:
            code = "too-large" if isinstance(error, OverBudgetError) else "inexpressible"
            message = f"the output `{name}` has no form in torchlean.ir.v1: {error}"
            self.problems.add(code, Place(self.file.name), message)
            return None

    def _convert(self, node: onnx.NodeProto, position: int) -> None:
        """Bind the outputs of a node. This is where all that its handler may raise ends."""
        self.builder.origin = node.name
        try:
            self._require_defined(node)
            if any(name in self.failed for name in node.input if name):
                if not self._is_known(node):
                    raise InexpressibleError(NO_FORMULA)
                self.failed.update(name for name in node.output if name)
                return
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                results = self._results(node, position)
                self._bind(node, results)
        except OverBudgetError as error:
            problem = self._problem("too-large", node, position, f"is too much: {error}")
            raise IRPyTorchError([*self.problems, problem]) from None
        except InexpressibleError as error:
            self._refuse(node, position, str(error))
        except IRPyTorchError:
            raise
        except Exception as error:  # no file is trusted: whatever its node makes a handler raise
            self._refuse(node, position, f"not with these inputs ({_said(error)})")

    def _require_defined(self, node: onnx.NodeProto) -> None:
        for name in node.input:
            if name and name not in self.failed and name not in self.names.tensors:
                raise InexpressibleError(f"its input {shown(name)} is not defined before it")

    def _is_known(self, node: onnx.NodeProto) -> bool:
        return (
            node.op_type in OPS
            or node.op_type == "If"
            or function_body(node, self.file.opsets) is not None
        )

    def _results(self, node: onnx.NodeProto, position: int) -> list[Any]:
        tensors = self.names.tensors
        inputs = [name for name in node.input if name]
        if node.op_type == "If":
            return self._branch(node, position)
        constant = all(isinstance(tensors[name], np.ndarray) for name in inputs)
        folded = self._folded(node, inputs) if constant else None
        if folded is not None:
            return list(folded)
        if node.domain in ("", "ai.onnx") and node.op_type in OPS:
            call = self._call(node)
            result = OPS[node.op_type](call)
            unseen = set(call.attributes.unseen()) - WITHOUT_EFFECT
            if unseen:
                raise InexpressibleError(f"its attribute `{min(unseen)}`")
            return list(result) if isinstance(result, list | tuple) else [result]
        body = function_body(node, self.file.opsets, self._types(inputs))
        if body is None:
            raise InexpressibleError(UNBOUNDED if constant else NO_FORMULA)
        self.builder.budget.spend(nodes=len(body.node))
        return self._inner(*inlined(node, body, self.file.opsets), position)

    def _call(self, node: onnx.NodeProto) -> Call:
        version = self.file.opsets.get("", 1)
        inputs, outputs = tuple(node.input), tuple(node.output)
        attributes = Attributes(attributes_of(node))
        return Call(node.op_type, version, inputs, outputs, attributes, self.names)

    def _folded(self, node: onnx.NodeProto, inputs: list[str]) -> list[Constant] | None:
        if node.op_type in DRAWING:
            raise InexpressibleError("it draws random numbers")
        constants = {n: t for n in inputs if isinstance(t := self.names.tensors[n], np.ndarray)}
        return evaluate_node(node, constants, self.file.opsets, self.builder.budget)

    def _types(self, inputs: list[str]) -> dict[str, tuple[int, tuple[int, ...]]]:
        """Element type and shape of each input, for functions that depend on them."""
        result = {}
        for name in inputs:
            tensor = self.names.tensors[name]
            assert tensor is not None
            result[name] = self.names.kinds[name], tuple(tensor.shape)
        return result

    def _branch(self, node: onnx.NodeProto, position: int) -> list[Any]:
        condition = self.names.tensors[node.input[0]]
        if not isinstance(condition, np.ndarray):
            raise InexpressibleError("a branch that depends on the input")
        chosen = "then_branch" if condition.reshape(()) else "else_branch"
        graph = next(a.g for a in node.attribute if a.name == chosen)
        for tensor in graph.initializer:
            array = array_of(tensor, Place(self.file.name))
            self.names.bind(tensor.name, array, kind_of(array))
        return self._inner(list(graph.node), [o.name for o in graph.output], position)

    def _inner(self, nodes: list[onnx.NodeProto], outputs: list[str], position: int) -> list[Any]:
        for name, count in count_users(nodes, outputs).items():
            self.names.users[name] = self.names.users.get(name, 0) + count
        for part in nodes:
            self._convert(part, position)
        if any(name in self.failed for name in outputs):
            return [None] * len(outputs)
        return [self.names.tensors.get(name) for name in outputs]

    def _bind(self, node: onnx.NodeProto, results: list[Any]) -> None:
        trainable = self._is_trainable(node)
        kinds = self._kinds(node)
        for name, result, kind in zip(node.output, results, kinds, strict=False):
            if name:
                stored = isinstance(result, np.ndarray)
                kind = kind_of(result) if stored else kind
                self.names.bind(name, result, kind, trainable=trainable and stored)
                if result is None and self.names.users.get(name) and any(self.problems):
                    self.failed.add(name)
        for name in node.output[len(results) :]:
            self.names.bind(name, None, UNTOLD)

    def _kinds(self, node: onnx.NodeProto) -> list[int]:
        given = [self.names.kinds[name] if name else UNTOLD for name in node.input]
        domain = "" if node.domain == "ai.onnx" else node.domain
        return output_kinds(node, self.file.opsets.get(domain, 1), given, attributes_of(node))

    def _is_trainable(self, node: onnx.NodeProto) -> bool:
        """Whether all real numbers that a node is given are parameters, as they are."""
        given = ((name, self.names.tensors[name]) for name in node.input if name)
        real = [n for n, tensor in given if not isinstance(tensor, np.ndarray) or is_real(tensor)]
        return bool(real) and all(name in self.names.trainable for name in real)

    def _refuse(self, node: onnx.NodeProto, position: int, why: str) -> None:
        message = f"has no form in torchlean.ir.v1: {why}"
        self.problems.extend([self._problem("inexpressible", node, position, message)])
        self.failed.update(output for output in node.output if output)

    def _problem(self, code: str, node: onnx.NodeProto, position: int, what: str) -> Problem:
        place = Place(self.file.name, node=position, kind=node.op_type[:MAX_NAME])
        name = (node.name or next(iter(node.output), ""))[:MAX_NAME]
        return Problem(code, place, f"`{name}`: `{node.op_type[:MAX_NAME]}` {what}")


def _said(error: Exception) -> str:
    """What an exception says; those that say a key or nothing are called by their type."""
    name = "" if isinstance(error, ValueError | RuleError) else f"{type(error).__name__}: "
    return f"{name}{first_line(error)}"
