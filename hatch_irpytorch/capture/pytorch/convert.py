"""From a module to a checked model, node by node."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_leaves, tree_map

from hatch_irpytorch.capture.builder import UNFIT, Builder, InexpressibleError, Value, first_line
from hatch_irpytorch.capture.finished import checked
from hatch_irpytorch.capture.pytorch.arguments import takes
from hatch_irpytorch.capture.pytorch.batch import mixes_rows
from hatch_irpytorch.capture.pytorch.elementwise_ops import Sign
from hatch_irpytorch.capture.pytorch.program import (
    OPS,
    OUTERMOST,
    Program,
    export,
    module_path,
    op_name,
    overload_name,
    source_place,
    whole_op,
)
from hatch_irpytorch.capture.pytorch.tensors import Context, Parameter
from hatch_irpytorch.errors import Place, Problem, Problems, fail
from hatch_irpytorch.ir.graph import Model

MAX_CONSTANT = 1 << 27
"""No tensor that `forward` makes of constants alone has more entries."""


class _Unknown:
    """Stands for the result of a node that has no form, so that the rest is looked at as well."""


_UNKNOWN = _Unknown()


def from_torch(module: nn.Module, example: torch.Tensor) -> Model:
    """The graph of a module in eval mode for inputs like `example`, with its parameters.

    Notes of the model tell where a parameter was copied or a value computed from parameters was
    stored. Raises `IRPyTorchError` with every op that has no form, each with the line of the
    user's source that it comes from.
    """
    name = type(module).__name__
    if not isinstance(example, torch.Tensor) or not example.dtype.is_floating_point:
        message = "the example must be one tensor of floating point numbers"
        raise fail("capture-failed", Place(name), message)
    program = export(module, example, name)
    conversion = _Conversion(program, tuple(example.shape), name)
    with torch.no_grad():
        model = conversion.run()
    if not mixes_rows(module, example, model):
        return model
    message = "the module gives other rows in a larger batch: its batch is fixed"
    notes = (*model.notes, Problem("not-free", Place(name), message))
    return replace(model, notes=notes, mixes_rows=True)


class _Conversion:
    def __init__(self, program: Program, shape: tuple[int, ...], name: str) -> None:
        self.program = program
        self.builder = Builder(file=name)
        self.context = Context(self.builder, program.uses)
        self.values: dict[fx.Node, Any] = {}
        self.shape = shape
        self.problems = Problems()
        self.name = name

    def run(self) -> Model:
        outputs: list[Value] = []
        for node in self.program.nodes:
            self.builder.origin = "" if node.op == "placeholder" else module_path(node)
            if node.op == "placeholder":
                self.values[node] = self._placeholder(node)
            elif node.op == "output":
                outputs = self._outputs(node)
            else:
                self.values[node] = self._call(node)
        self.problems.raise_if_any()
        return checked(self.builder, outputs)

    def _placeholder(self, node: fx.Node) -> Any:
        if node.name == self.program.user_input:
            return self.builder.input(self.shape)
        return self.program.inputs[node.name]

    def _outputs(self, node: fx.Node) -> list[Value]:
        pairs = zip(tree_leaves(node.args), self.program.returned, strict=True)
        found = [self.values[n] for n, mine in pairs if mine and isinstance(n, fx.Node)]
        values = []
        for output in found:
            if isinstance(output, torch.Tensor) and not output.dtype.is_floating_point:
                message = f"an output of {output.dtype} is not a tensor of real numbers"
                self.problems.add("capture-failed", Place(self.name), message)
            elif isinstance(output, Sign):
                message = "an output is the sign of a tensor, which has no form"
                self.problems.add("inexpressible", Place(self.name), message)
            elif not isinstance(output, _Unknown):
                values.append(self.context.value(output))
        if not found:
            self.problems.add("capture-failed", Place(self.name), "the module returns no tensor")
        return values

    def _call(self, node: fx.Node) -> Any:
        arguments = tree_map(self._resolved, (node.args, node.kwargs))
        leaves = tree_leaves(arguments)
        known = node.target is operator.getitem or op_name(node) in OPS
        if any(leaf is _UNKNOWN for leaf in leaves):
            if not known:
                self._refuse(node)
            return _UNKNOWN
        args, kwargs = arguments
        if not any(isinstance(leaf, Value | Parameter | Sign) for leaf in leaves):
            return self._folded(node, args, kwargs)
        if node.target is operator.getitem:
            return self._item(node, args)
        if not known:
            self._refuse(node)
            return _UNKNOWN
        try:
            if any(isinstance(leaf, Sign) for leaf in leaves) and op_name(node) != "mul":
                raise InexpressibleError("the sign of a tensor")
            handler = OPS[op_name(node)]
            if not takes(handler, args, kwargs):
                raise InexpressibleError(f"the overload `{overload_name(node)}`")
            return handler(self.context, *args, **kwargs)
        except InexpressibleError as error:
            self._refuse(node, str(error))
        except UNFIT as error:
            self._refuse(node, f"not with these arguments ({first_line(error)})")
        return _UNKNOWN

    def _folded(self, node: fx.Node, args: Any, kwargs: Any) -> Any:
        """What torch itself makes of constants alone; random numbers are none."""
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            self._refuse(node, "it draws random numbers")
            return _UNKNOWN
        made = (
            leaf for leaf in tree_leaves(node.meta.get("val")) if isinstance(leaf, torch.Tensor)
        )
        if sum(tensor.numel() for tensor in made) > MAX_CONSTANT:
            self._refuse(node, f"a constant of more than {MAX_CONSTANT} entries")
            return _UNKNOWN
        target: Callable[..., Any] = node.target  # type: ignore[assignment]
        try:
            return target(*args, **kwargs)
        except UNFIT as error:
            self._refuse(node, f"not with these arguments ({first_line(error)})")
        return _UNKNOWN

    def _item(self, node: fx.Node, args: Any) -> Any:
        result = args[0][args[1]]
        if result is None:
            self._refuse(node, "the positions or statistics that an op returns beside its result")
            return _UNKNOWN
        return result

    def _resolved(self, argument: Any) -> Any:
        return self.values[argument] if isinstance(argument, fx.Node) else argument

    def _refuse(self, node: fx.Node, why: str = "") -> None:
        place = source_place(node, self.name)
        where = module_path(node)
        reason = f": {why}" if why else ""
        part = f", as a part of `{whole_op(node)}`" if whole_op(node) else ""
        message = f"`{op_name(node)}` has no form in torchlean.ir.v1{part}{reason}"
        hint = f"it is in `{where}`" if where != OUTERMOST else ""
        self.problems.extend([Problem("inexpressible", place, message, hint)])
