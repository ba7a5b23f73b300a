"""From a module to a checked model, node by node."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.utils._pytree import tree_leaves, tree_map

from hatch_irpytorch.capture.builder import UNFIT, Builder, InexpressibleError, Value, first_line
from hatch_irpytorch.capture.entries.dtypes import require_dtype, require_integers
from hatch_irpytorch.capture.finished import checked
from hatch_irpytorch.capture.pytorch.again import gives_the_same_again, kept_state
from hatch_irpytorch.capture.pytorch.arguments import takes
from hatch_irpytorch.capture.pytorch.batch import mixes_rows
from hatch_irpytorch.capture.pytorch.call import Call, Returned, module_name
from hatch_irpytorch.capture.pytorch.examples import dtype_of, require_example, tensors
from hatch_irpytorch.capture.pytorch.program import (
    OPS,
    Program,
    blank,
    export,
    module_path,
    op_name,
    overload_name,
    source_place,
)
from hatch_irpytorch.capture.pytorch.refused_nodes import RefusedNodes
from hatch_irpytorch.capture.pytorch.state import SHAPE_ONLY, UNWRITTEN, later_reads, needed
from hatch_irpytorch.capture.pytorch.subgraphs import SUBGRAPH_OPS
from hatch_irpytorch.capture.pytorch.tensors import Complex, Context, Parameter, dtype_name
from hatch_irpytorch.capture.training import DROPOUT, note
from hatch_irpytorch.errors import Place, Problem, Problems, fail
from hatch_irpytorch.ir.graph import Model
from hatch_irpytorch.ir.ops import Input

MAX_CONSTANT = 1 << 27
"""No tensor that `forward` makes of constants alone has more entries."""


class _Unknown:
    """Stands for a result without a form that is no tensor of real numbers."""


_UNKNOWN = _Unknown()


def from_torch(
    module: nn.Module,
    example: torch.Tensor,
    *,
    tokens: int | None = None,
    parameter: str = "",
    bind: Mapping[str, np.ndarray[Any, Any]] | None = None,
    keep: Sequence[str] = (),
) -> Model:
    """The graph of a module in eval mode for inputs like `example`, with its parameters.

    The keywords and notes are those of `hatch_irpytorch.capture.from_torch`; the arrays share the
    memory of the module where they can. Raises `IRPyTorchError` with every op that has no form,
    each with the line of the user's source that it comes from.
    """
    name = type(module).__name__
    require_example(example, tokens, name)
    call = Call(module, name, parameter, tensors(bind or {}, module), keep)
    program = export(call, example)
    dtype = example.dtype if tokens is None else dtype_of(module)
    conversion = _Conversion(program, tuple(example.shape), tokens, dtype, name)
    if program.drops:
        note(conversion.builder, DROPOUT)
    with torch.no_grad():
        model = conversion.run(call.returned)
    with kept_state(call, (name for _, name in program.replaced.values())):
        mixes = mixes_rows(call, example, model)
        # Rows that agree between three calls say already that no call changes the next.
        if mixes is not False and not gives_the_same_again(call, example):
            message = "a second call of the module gives other numbers; a graph keeps no state"
            raise fail("capture-failed", Place(name), message)
    if not mixes:
        return model
    message = "the module gives other rows in a larger batch: its batch is fixed"
    notes = (*model.notes, Problem("not-free", Place(name), message))
    return replace(model, notes=notes, mixes_rows=True)


class _Conversion:
    def __init__(
        self,
        program: Program,
        shape: tuple[int, ...],
        integers: int | None,
        dtype: torch.dtype,
        name: str,
    ) -> None:
        self.program = program
        self.builder = Builder(file=name, dtype=dtype_name(dtype))
        self.context = Context(self.builder, program.uses, program.buffers)
        self.values: dict[fx.Node, Any] = {}
        self.shape = shape
        self.integers = integers
        self.problems = Problems()
        self.refused = RefusedNodes(name)
        self.name = name

    def run(self, returned: Returned) -> Model:
        outputs: list[Value] = []
        live = needed(self.program)
        for node in self.program.nodes:
            self.builder.origin = "" if node.op == "placeholder" else module_path(node)
            if node.op == "placeholder":
                self.values[node] = self._placeholder(node)
            elif node.op == "output":
                outputs = self._outputs(node)
            elif node in live:
                self.values[node] = self._call(node)
        for kind, names in returned.others.items():
            self.builder.note("left-out", _left_out(kind, names))
        self.problems.extend(self.refused.problems())
        self.problems.raise_if_any()
        return checked(self.builder, outputs)

    def _placeholder(self, node: fx.Node) -> Any:
        if node.name == self.program.user_input:
            return self.builder.input(self.shape, self.integers)
        return self.program.inputs.get(node.name, _UNKNOWN)

    def _outputs(self, node: fx.Node) -> list[Value]:
        results = tree_leaves(node.args)
        pairs = zip(results, self.program.returned, strict=True)
        mine = [result for result, own in pairs if own and isinstance(result, fx.Node)]
        self._require_no_state(results)
        values = []
        for result in mine:
            output = self.values[result]
            if isinstance(output, torch.Tensor) and not output.dtype.is_floating_point:
                message = f"an output of {output.dtype} is not a tensor of real numbers"
                self.problems.add("capture-failed", source_place(result, self.name), message)
            elif isinstance(output, Complex):
                message = "an output of complex numbers is not a tensor of real numbers"
                self.problems.add("capture-failed", source_place(result, self.name), message)
            elif not isinstance(output, _Unknown):
                dtype = result.meta["val"].dtype
                if not dtype.is_floating_point:
                    message = f"an output of {dtype} is given as real numbers"
                    self.builder.note("as-reals", message)
                values.append(self.context.value(output))
        return values

    def _require_no_state(self, results: list[Any]) -> None:
        """Refuse what a call leaves behind for the next one, note what it leaves in its input."""
        seen = later_reads(self.program)
        for position, (placeholder, name) in self.program.replaced.items():
            if placeholder not in self.program.inputs:
                message = "`forward` changes its input in place; the graph leaves it as it was"
                self.builder.note("in-place", message)
            elif position in seen and not self._is_unchanged(placeholder, results[position]):
                name = module_name(name)
                message = f"`forward` changes `{name}`, and a later call computes with the change"
                place = source_place(results[position], self.name)
                self.problems.add("capture-failed", place, message, "a graph keeps no state")

    def _is_unchanged(self, placeholder: str, result: fx.Node) -> bool:
        old, new = self.program.inputs[placeholder], self.values[result]
        before = old.tensor if isinstance(old, Parameter) else old
        return isinstance(new, torch.Tensor) and torch.equal(before, new)

    def _inline(self, graph: fx.GraphModule, operands: Sequence[Any], once: bool) -> Any:
        given = iter(operands)
        held = [value.identity for value in operands if isinstance(value, Parameter)]
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                operand = self.values[node] = next(given)
                if isinstance(operand, Parameter):
                    instead = once and held.count(operand.identity) == 1
                    self.program.uses[operand.identity] += len(node.users) - instead
            elif node.op == "output":
                return tree_map(self._resolved, node.args[0])
            else:
                self.values[node] = self._call(node)
        return ()

    def _call(self, node: fx.Node) -> Any:
        if node.op == "get_attr":
            return getattr(node.graph.owning_module, str(node.target))
        arguments = tree_map(self._resolved, (node.args, node.kwargs))
        if op_name(node) in SHAPE_ONLY:
            arguments = ((blank(node), *arguments[0][1:]), arguments[1])
        leaves = tree_leaves(arguments)
        subgraphs = node.target in SUBGRAPH_OPS
        known = node.target is operator.getitem or subgraphs or op_name(node) in OPS
        if any(leaf is _UNKNOWN for leaf in leaves):
            return self._stand_in(node) if known else self._refuse(node)
        args, kwargs = arguments
        if not subgraphs and not any(
            isinstance(leaf, Value | Parameter | Complex) for leaf in leaves
        ):
            return self._folded(node, args, kwargs)
        if node.target is operator.getitem:
            return self._item(node, args)
        if not known:
            return self._refuse(node)
        return self._handled(node, args, kwargs)

    def _handled(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        try:
            if node.target in SUBGRAPH_OPS:
                return SUBGRAPH_OPS[node.target](self._inline, *args)
            handler = OPS[op_name(node)]
            if not takes(handler, args, kwargs):
                raise InexpressibleError(f"the overload `{overload_name(node)}`")
            self.context.node = node
            result = handler(self.context, *args, **kwargs)
            self._require_dtypes(node, result)
            return result
        except InexpressibleError as error:
            return self._refuse(node, str(error))
        except UNFIT as error:
            return self._refuse(node, f"not with these arguments ({first_line(error)})")

    def _require_dtypes(self, node: fx.Node, result: Any) -> None:
        """Refuse what torch rounds to another dtype and the graph does not."""
        made = node.meta.get("val")
        tensors = made if isinstance(made, list | tuple) else [made]
        values = result if isinstance(result, list | tuple) else [result]
        for value, tensor in zip(values, tensors, strict=False):
            if not isinstance(value, Value) or not isinstance(tensor, torch.Tensor):
                continue
            dtype = dtype_name(tensor.dtype)
            if tensor.dtype.is_floating_point:
                require_dtype(self.builder, value, dtype)
            elif tensor.dtype != torch.bool:
                require_integers(self.builder, value, dtype)

    def _folded(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        """What torch itself makes of constants alone; random numbers are none."""
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            return self._refuse(node, "it draws random numbers")
        made = (
            leaf.numel()
            for leaf in tree_leaves(node.meta.get("val"))
            if isinstance(leaf, torch.Tensor)
        )
        # Behind a selection by flags torch.export leaves the count open.
        if sum(count for count in made if isinstance(count, int)) > MAX_CONSTANT:
            return self._refuse(node, f"a constant of more than {MAX_CONSTANT} entries")
        target: Callable[..., Any] = node.target  # type: ignore[assignment]
        try:
            result = target(*args, **kwargs)
            return result.zero_() if op_name(node) in UNWRITTEN else result
        except UNFIT as error:
            return self._refuse(node, f"not with these arguments ({first_line(error)})")

    def _item(self, node: fx.Node, args: Any) -> Any:
        result = args[0][args[1]]
        if result is None:
            return self._refuse(node, "the positions or statistics beside the result of an op")
        return result

    def _resolved(self, argument: Any) -> Any:
        return self.values[argument] if isinstance(argument, fx.Node) else argument

    def _refuse(self, node: fx.Node, why: str = "") -> Any:
        self.refused.add(node, why)
        return self._stand_in(node)

    def _stand_in(self, node: fx.Node) -> Any:
        """For what a node without a form gives, so that all that uses it is looked at as well."""
        constant = not any(
            isinstance(found, Value) and not self.builder.is_constant(found)
            for found in tree_leaves([self.values[source] for source in node.all_input_nodes])
        )

        def stands_in(tensor: object) -> Any:
            real = isinstance(tensor, torch.Tensor) and tensor.dtype.is_floating_point
            if not real:
                return _UNKNOWN
            shape = tuple(tensor.shape)  # type: ignore[attr-defined]
            if not all(isinstance(extent, int) for extent in shape):
                return _UNKNOWN
            if constant:
                return self.builder.broadcast(self.builder.const(1.0, learnable=True), shape)
            return self.builder.node(Input(shape))

        try:
            return tree_map(stands_in, node.meta.get("val"))
        except InexpressibleError:
            return _UNKNOWN


def _left_out(kind: str, names: Sequence[str]) -> str:
    listed = ", ".join(f"`{name}`" for name in names[:10])
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"outputs of the module that are no tensors are left out: {listed}{more} ({kind})"
