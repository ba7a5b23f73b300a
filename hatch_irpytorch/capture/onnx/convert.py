"""From an ONNX file to a checked model, node by node."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from hatch_irpytorch.capture.budget import OverBudgetError
from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.finished import checked
from hatch_irpytorch.capture.onnx.file import (
    OnnxFile,
    array_of,
    attributes_of,
    is_real,
    opsets_of,
    read_file,
)
from hatch_irpytorch.capture.onnx.folding import folded_outputs, may_have_form
from hatch_irpytorch.capture.onnx.functions import (
    are_parameters,
    function_body,
    given_attributes,
    input_types,
)
from hatch_irpytorch.capture.onnx.kinds import (
    REALS,
    UNTOLD,
    dtype_name,
    kind_of,
    output_kinds,
    require_kind,
)
from hatch_irpytorch.capture.onnx.needs import needed
from hatch_irpytorch.capture.onnx.op_table import OPS, handled, is_standard, runs_graphs
from hatch_irpytorch.capture.onnx.refused_nodes import (
    RefusedNodes,
    Where,
    graphs_that_may_run,
    said,
    stand_ins,
)
from hatch_irpytorch.capture.onnx.scope import ABSENT, Named, Scope, count_reads, resolved
from hatch_irpytorch.capture.onnx.tensors import Attributes, Call, Constant, Graph
from hatch_irpytorch.capture.onnx.validity import other_shapes
from hatch_irpytorch.capture.outputs import kept
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem, Problems
from hatch_irpytorch.ir.graph import Model

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
    """`caller` is the name of the node whose graph or function is being converted, after those
    around it, and `within` what the outermost of them gives: what it is called without a name.
    `where` tells which node of the file is being converted.
    """

    def __init__(self, file: OnnxFile) -> None:
        self.file = file
        kind = file.input_kind if file.input_kind in REALS else onnx.TensorProto.FLOAT
        self.builder = Builder(file=file.name, dtype=dtype_name(kind), budget=file.budget)
        self.problems = Problems()
        self.refused = RefusedNodes()
        self.position = 0
        self.where: Where = ()
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
            key = name if learned else ""
            scope.bind(name, Named(array, kind_of(array), trainable=learned, key=key))
        x = self.builder.input(file.input_shape, file.integers)
        scope.bind(file.input_name, Named(x, file.input_kind))
        for self.position, node in nodes.items():
            self._convert(node, scope, (self.position,))
        values = [self._output(name, scope) for name in outputs]
        if file.is_as_declared:
            found = {n: v.shape for n, v in zip(outputs, values, strict=True) if v is not None}
            for message in other_shapes(file.graph, found, Place(file.name)):
                self.builder.note("bad-shape", message)
        found_wrong = [*self.refused.problems(), *self.problems] or file.verdict.errors
        if found_wrong:
            raise IRPyTorchError(found_wrong)
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

    def _convert(self, node: onnx.NodeProto, scope: Scope, where: Where) -> None:
        """Bind the outputs of a node. This is where all that its handler may raise ends."""
        self.builder.origin = self._name_of(node)
        self.where = where
        try:
            node = resolved(node, scope)
            given = [scope.named(name) for name in node.input if name]
            if any(named.lost for named in given):
                self._pass_over(node, scope)
                return
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                self._bind(node, scope, self._results(node, scope, given))
        except OverBudgetError as error:
            problem = self._problem("too-large", node, f"is too much: {error}")
            raise IRPyTorchError([*self.refused.problems(), problem]) from None
        except InexpressibleError as error:
            self._refuse(node, scope, str(error))
        except IRPyTorchError:
            raise
        except Exception as error:  # no file is trusted: whatever its node makes a handler raise
            self._refuse(node, scope, f"not with these inputs ({said(error)})")

    def _name_of(self, node: onnx.NodeProto) -> str:
        """The name of a node after those of the calls that it is a part of."""
        name: str | bytes = node.name  # protobuf gives text that is no UTF-8 as bytes
        own = name if isinstance(name, str) else name.decode("utf-8", "replace")
        return "/".join(filter(None, (self.caller, own)))

    def _local(self, node: onnx.NodeProto) -> onnx.FunctionProto | None:
        return self.file.functions.get((node.domain, node.op_type, node.overload))

    def _pass_over(self, node: onnx.NodeProto, scope: Scope) -> None:
        """Look into a node that is given what a refused one would have given.

        Raises `InexpressibleError` where it has no form, whatever it is given.
        """
        known = may_have_form(node)
        body = self._local(node) or (None if known else function_body(node, scope.opsets))
        if body is not None and body.node:
            self._bind(node, scope, self._called(node, body, scope))
            return
        if not known and body is None:
            raise InexpressibleError(NO_FORMULA)
        self._look_inside(node, scope)
        self._stand_in(node, scope)

    def _look_inside(self, node: onnx.NodeProto, scope: Scope) -> None:
        """Tell what the graphs of a node that is not run have no form for."""
        for attribute, given in graphs_that_may_run(node, scope):
            with suppress(InexpressibleError):
                self._opened(node, attribute, scope, repeated=True)(given)

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
        body = function_body(node, scope.opsets, input_types(node, scope))
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
            lambda attribute, repeated: self._opened(node, attribute, scope, repeated),
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
        local = self._local(node) is not None
        where = (node.domain, node.op_type, node.overload) if local else self.where
        self._convert_inside(node, body, inner, where)
        return [inner.find(name) or ABSENT for name in body.output]

    def _convert_inside(
        self,
        node: onnx.NodeProto,
        graph: onnx.FunctionProto | onnx.GraphProto,
        scope: Scope,
        where: Where,
        attribute: str = "",
    ) -> None:
        """Convert what stands for a node, or in an attribute of it."""
        outer = self.caller, self.within, self.where
        self.within = self.within or next(iter(node.output), "")
        name = self._name_of(node)
        self.caller = f"{name or self.within}/{attribute}" if attribute else name
        for position, part in enumerate(graph.node):
            self._convert(part, scope, (*where, attribute, position))
        self.caller, self.within, self.where = outer

    def _opened(self, node: onnx.NodeProto, attribute: str, scope: Scope, repeated: bool) -> Graph:
        """A graph inside a node, ready to be run with what its inputs are."""
        graph = next(given.g for given in node.attribute if given.name == attribute)
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
            self._convert_inside(node, graph, inner, self.where, attribute)
            return [inner.find(output.name) or ABSENT for output in graph.output]

        return run

    def _bind(self, node: onnx.NodeProto, scope: Scope, results: list[Any]) -> None:
        trainable = are_parameters(node, scope)
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
                require_kind(self.builder, result, kind)
                named = Named(result, kind)
            scope.bind(name, named)

    def _kinds(self, node: onnx.NodeProto, scope: Scope) -> list[int]:
        given = [scope.named(name).kind if name else UNTOLD for name in node.input]
        return output_kinds(node, scope.version(node.domain), given, attributes_of(node))

    def _stand_in(self, node: onnx.NodeProto, scope: Scope) -> None:
        outermost = scope.outer is None and not self.caller
        for name, named in stand_ins(node, scope, self.file.verdict.types if outermost else {}):
            scope.bind(name, named)

    def _refuse(self, node: onnx.NodeProto, scope: Scope, why: str) -> None:
        message = f"has no form in torchlean.ir.v1: {why}"
        self.refused.add(self.where, why, self._problem("inexpressible", node, message))
        self._look_inside(node, scope)
        self._stand_in(node, scope)

    def _problem(self, code: str, node: onnx.NodeProto, what: str) -> Problem:
        place = Place(self.file.name, node=self.position, kind=node.op_type[:MAX_NAME])
        own = "" if node.name else next(iter(node.output), "")
        around = self.within if own and not self.caller else ""
        name = "/".join(filter(None, (around, self._name_of(node), own)))[:MAX_NAME]
        return Problem(code, place, f"`{name}`: `{node.op_type[:MAX_NAME]}` {what}")
