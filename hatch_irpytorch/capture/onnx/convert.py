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
from hatch_irpytorch.capture.entries.dtypes import require_dtype, require_integers
from hatch_irpytorch.capture.finished import checked
from hatch_irpytorch.capture.onnx.file import (
    OnnxFile,
    array_of,
    attributes_of,
    is_real,
    opsets_of,
    read_file,
)
from hatch_irpytorch.capture.onnx.folding import folded_outputs
from hatch_irpytorch.capture.onnx.functions import function_body, given_attributes
from hatch_irpytorch.capture.onnx.kinds import (
    INTEGERS,
    REALS,
    UNTOLD,
    dtype_name,
    kind_of,
    output_kinds,
)
from hatch_irpytorch.capture.onnx.needs import needed
from hatch_irpytorch.capture.onnx.op_table import OPS, handled, is_standard, runs_graphs
from hatch_irpytorch.capture.onnx.scope import ABSENT, Named, Scope, count_reads, resolved
from hatch_irpytorch.capture.onnx.tensors import Attributes, Call, Constant, Graph
from hatch_irpytorch.capture.onnx.validity import other_shapes
from hatch_irpytorch.capture.outputs import kept
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem, Problems
from hatch_irpytorch.ir.graph import Model
from hatch_irpytorch.ir.ops import RuleError

MAX_NAME = 200
"""How much of a name stands in a message."""

UNBOUNDED = "nothing bounds what computing this constant takes"
NO_FORMULA = "no formula is known for it"


def from_onnx(
    path: Path,
    shapes: Mapping[str, Sequence[int]],
    bind: Mapping[str, Constant],
    tokens: int | None = None,
    keep: Sequence[str] = (),
) -> Model:
    """The graph of an ONNX file with one run-time input, as `hatch_irpytorch.capture` has it."""
    return _Conversion(read_file(path, shapes, bind, tokens)).run(keep)


class _Conversion:
    """`caller` is the name of the function call that is being converted, and of those around.

    `within` is what the outermost of them gives: what it is called where it has no name.
    """

    def __init__(self, file: OnnxFile) -> None:
        self.file = file
        kind = file.input_kind if file.input_kind in REALS else onnx.TensorProto.FLOAT
        self.builder = Builder(file=file.name, dtype=dtype_name(kind), budget=file.budget)
        self.problems = Problems()
        self.position = 0
        self.caller = ""
        self.within = ""

    def run(self, keep: Sequence[str]) -> Model:
        file = self.file
        names = [output.name for output in file.graph.output]
        outputs = [names[position] for position in kept(names, keep, Place(file.name))]
        nodes = needed(file.graph.node, outputs)
        scope = Scope(self.builder, file.opsets, count_reads(nodes.values(), outputs))
        for name, array in file.constants.items():
            learned = name in file.initializers and is_real(array)
            scope.bind(name, Named(array, kind_of(array), trainable=learned))
        x = self.builder.input(file.input_shape, file.integers)
        scope.bind(file.input_name, Named(x, file.input_kind))
        for self.position, node in nodes.items():
            self._convert(node, scope)
        values = [self._output(name, scope) for name in outputs]
        if file.is_as_declared:
            found = {n: v.shape for n, v in zip(outputs, values, strict=True) if v is not None}
            for message in other_shapes(file.graph, found, Place(file.name)):
                self.builder.note("bad-shape", message)
        if not any(self.problems):
            self.problems.extend(file.verdict.errors)
        self.problems.raise_if_any()
        model = checked(self.builder, [value for value in values if value is not None])
        return replace(model, notes=(*file.notes, *model.notes))

    def _output(self, name: str, scope: Scope) -> Value | None:
        named = scope.find(name) or ABSENT
        if named.failed:
            return None
        if named.tensor is None or (
            isinstance(named.tensor, np.ndarray) and not is_real(named.tensor)
        ):
            message = f"the output `{name}` is not a tensor of real numbers with a form"
            self.problems.add("inexpressible", Place(self.file.name), message)
            return None
        self.builder.origin = ""
        if named.kind not in REALS:
            self.builder.note("as-reals", f"the output `{name}` is given as real numbers")
        try:
            return named.value(self.builder, name)
        except InexpressibleError as error:
            code = "too-large" if isinstance(error, OverBudgetError) else "inexpressible"
            message = f"the output `{name}` has no form in torchlean.ir.v1: {error}"
            self.problems.add(code, Place(self.file.name), message)
            return None

    def _convert(self, node: onnx.NodeProto, scope: Scope) -> None:
        """Bind the outputs of a node. This is where all that its handler may raise ends."""
        self.builder.origin = self._name_of(node)
        try:
            node = resolved(node, scope)
            given = [scope.named(name) for name in node.input if name]
            if any(named.failed and named.tensor is None for named in given):
                if not self._is_known(node, scope):
                    raise InexpressibleError(NO_FORMULA)
                self._fail(node, scope)
                return
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                self._bind(node, scope, self._results(node, scope, given))
        except OverBudgetError as error:
            problem = self._problem("too-large", node, f"is too much: {error}")
            raise IRPyTorchError([*self.problems, problem]) from None
        except InexpressibleError as error:
            self._refuse(node, scope, str(error))
        except IRPyTorchError:
            raise
        except Exception as error:  # no file is trusted: whatever its node makes a handler raise
            self._refuse(node, scope, f"not with these inputs ({_said(error)})")

    def _name_of(self, node: onnx.NodeProto) -> str:
        """The name of a node after those of the calls that it is a part of."""
        name: str | bytes = node.name  # protobuf gives text that is no UTF-8 as bytes
        own = name if isinstance(name, str) else name.decode("utf-8", "replace")
        return "/".join(filter(None, (self.caller, own)))

    def _local(self, node: onnx.NodeProto) -> onnx.FunctionProto | None:
        return self.file.functions.get((node.domain, node.op_type, node.overload))

    def _is_known(self, node: onnx.NodeProto, scope: Scope) -> bool:
        if self._local(node) is not None or function_body(node, scope.opsets) is not None:
            return True
        return is_standard(node) and node.op_type in OPS

    def _results(self, node: onnx.NodeProto, scope: Scope, given: list[Named]) -> list[Any]:
        body = self._local(node)
        if body is not None:
            return self._called(node, body, scope)
        call = self._call(node, scope)
        constant = all(isinstance(named.tensor, np.ndarray) for named in given)
        if constant and not runs_graphs(node):
            folded = folded_outputs(node, call, self._kinds(node, scope))
            if folded is not None:
                return list(folded)
        elif is_standard(node) and node.op_type in OPS:
            return handled(OPS[node.op_type], call)
        body = function_body(node, scope.opsets, _types(node, scope))
        if body is None:
            raise InexpressibleError(UNBOUNDED if constant else NO_FORMULA)
        self.builder.budget.spend(nodes=len(body.node))
        return self._called(node, body, scope)

    def _call(self, node: onnx.NodeProto, scope: Scope) -> Call:
        return Call(
            node.op_type,
            scope.version(node.domain),
            tuple(node.input),
            tuple(node.output),
            Attributes(attributes_of(node)),
            scope,
            lambda graph, repeated: self._opened(graph, scope, repeated),
        )

    def _called(self, node: onnx.NodeProto, body: onnx.FunctionProto, scope: Scope) -> list[Named]:
        """What the outputs of a function are for a call of it."""
        inner = scope.called(
            {**scope.opsets, **opsets_of(body.opset_import)},
            count_reads(body.node, body.output),
            given_attributes(node, body, scope.opsets),
        )
        inputs = [scope.named(name) if name else ABSENT for name in node.input]
        for position, name in enumerate(body.input):
            inner.share(name, inputs[position] if position < len(inputs) else ABSENT)
        outer = self.caller, self.within
        self.caller, self.within = self._name_of(node), self.within or next(iter(node.output), "")
        for part in body.node:
            self._convert(part, inner)
        self.caller, self.within = outer
        return [inner.find(name) or ABSENT for name in body.output]

    def _opened(self, graph: onnx.GraphProto, scope: Scope, repeated: bool) -> Graph:
        """A graph inside a node, ready to be run with what its inputs are."""
        reads = count_reads(graph.node, (output.name for output in graph.output))
        frame = scope.inside(reads)
        for tensor in graph.initializer:
            array = array_of(tensor, Place(self.file.name))
            frame.bind(tensor.name, Named(array, kind_of(array), trainable=is_real(array)))
        if repeated:
            frame.count_again(reads)

        def run(given: Sequence[Named]) -> list[Named]:
            self.builder.budget.spend(nodes=1 + len(graph.node))
            inner = frame.inside(reads)
            for value, named in zip(graph.input, given, strict=True):
                inner.share(value.name, named)
            for node in graph.node:
                self._convert(node, inner)
            return [inner.find(output.name) or ABSENT for output in graph.output]

        return run

    def _bind(self, node: onnx.NodeProto, scope: Scope, results: list[Any]) -> None:
        trainable = _is_trainable(node, scope)
        kinds = self._kinds(node, scope)
        found = [*results, *[None] * (len(node.output) - len(results))]
        for name, result, kind in zip(node.output, found, kinds, strict=False):
            if not name:
                continue
            if isinstance(result, Named):
                named = replace(result, stored=None)
            elif isinstance(result, np.ndarray):
                learned = trainable and is_real(result)
                named = Named(result, kind_of(result), trainable=learned)
            else:
                self._require_kind(result, kind)
                named = Named(result, kind)
            scope.bind(name, named)

    def _require_kind(self, result: Value | None, kind: int) -> None:
        """Refuse what the file rounds to another element type and the graph does not."""
        if result is not None and kind in REALS:
            require_dtype(self.builder, result, dtype_name(kind))
        if result is not None and kind in INTEGERS:
            require_integers(self.builder, result, dtype_name(kind))

    def _kinds(self, node: onnx.NodeProto, scope: Scope) -> list[int]:
        given = [scope.named(name).kind if name else UNTOLD for name in node.input]
        return output_kinds(node, scope.version(node.domain), given, attributes_of(node))

    def _fail(self, node: onnx.NodeProto, scope: Scope) -> None:
        """Bind what a refused node would give to inputs of its shape, where that is known."""
        changes = any(isinstance(n.tensor, Value) for n in map(scope.find, node.input) if n)
        for name in filter(None, node.output):
            kind, shape = self.file.verdict.types.get(name, (UNTOLD, None))
            outermost = scope.outer is None and not self.caller
            known = outermost and changes and kind in REALS and shape is not None
            tensor = self._stand_in(shape) if known and shape is not None else None
            scope.bind(name, Named(tensor, kind, failed=True))

    def _stand_in(self, shape: tuple[int, ...]) -> Value | None:
        try:
            return self.builder.input(shape)
        except InexpressibleError:
            return None

    def _refuse(self, node: onnx.NodeProto, scope: Scope, why: str) -> None:
        message = f"has no form in torchlean.ir.v1: {why}"
        self.problems.extend([self._problem("inexpressible", node, message)])
        self._fail(node, scope)

    def _problem(self, code: str, node: onnx.NodeProto, what: str) -> Problem:
        place = Place(self.file.name, node=self.position, kind=node.op_type[:MAX_NAME])
        name = (self._name_of(node) or self.within or next(iter(node.output), ""))[:MAX_NAME]
        return Problem(code, place, f"`{name}`: `{node.op_type[:MAX_NAME]}` {what}")


def _types(node: onnx.NodeProto, scope: Scope) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Element type and shape of each input, for functions that depend on them."""
    result = {}
    for name in filter(None, node.input):
        named = scope.named(name)
        assert named.tensor is not None
        result[name] = named.kind, tuple(named.tensor.shape)
    return result


def _is_trainable(node: onnx.NodeProto, scope: Scope) -> bool:
    """Whether all real numbers that a node is given are parameters, as they are."""
    given = [scope.named(name) for name in node.input if name]
    real = [n for n in given if not isinstance(n.tensor, np.ndarray) or is_real(n.tensor)]
    return bool(real) and all(named.trainable for named in real)


def _said(error: Exception) -> str:
    """What an exception says; those that say a key or nothing are called by their type."""
    name = "" if isinstance(error, ValueError | RuleError) else f"{type(error).__name__}: "
    return f"{name}{first_line(error)}"
