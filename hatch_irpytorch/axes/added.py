"""`batch: added`: a graph of one sample, rewritten to have an axis of samples in front.

The rewritten graph declares one sample, and inference shows that any number will do. Ids stay, so a
node that needs more than its own op gets one that stands for several calls of PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from hatch_irpytorch.ir.graph import Model, Node
from hatch_irpytorch.ir.ops import Op
from hatch_irpytorch.ir.ops.base import (
    Code,
    Shape,
    Site,
    call,
)
from hatch_irpytorch.ir.ops.convolution import Conv
from hatch_irpytorch.ir.ops.movement import (
    BroadcastTo,
    Concat,
    Flatten,
    Permute,
    Reshape,
    Transpose,
    expanded,
)
from hatch_irpytorch.ir.ops.normalization import BatchNormEval, LayerNorm
from hatch_irpytorch.ir.ops.products import Linear, Matmul
from hatch_irpytorch.ir.ops.reduction import MseLoss, ReduceMean, ReduceSum, Sum
from hatch_irpytorch.ir.ops.softmaxes import Softmax
from hatch_irpytorch.ir.ops.sources import Input
from hatch_irpytorch.ir.shapes import numel
from hatch_irpytorch.ir.symbolic import NotFreeError, SymbolicShape, declared, is_free, joined


@dataclass(frozen=True)
class SumEach(Op, tag="sum_each"):
    """The sum of all entries of each sample: (N, ...) to (N,)."""

    gives_positive_zero = True

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        return [x[:1]]

    def torch(self, at: Site) -> Code:
        return _over_each("torch.sum", at.x, at.shapes[0])


@dataclass(frozen=True)
class MseEach(Op, tag="mse_each"):
    """The mean of squared differences of each sample, 0 where it has no entries."""

    gives_positive_zero = True

    parents = 2

    def infer_symbolic(self, out: Shape, a: SymbolicShape, b: SymbolicShape) -> list[SymbolicShape]:
        shape = joined((a, b))
        if any(map(is_free, shape[1:])):
            raise NotFreeError("averages over extents that it has to know")
        return [shape[:1]]

    def passes_gradient(self, *shapes: Shape) -> bool:
        return all(map(numel, shapes))

    def torch(self, at: Site) -> Code:
        shape = max(at.shapes, key=len)
        square = f"torch.square({at.x} - {at.y})"
        return _over_each("torch.mean" if numel(shape) else "torch.sum", square, shape)


def _over_each(function: str, value: str, shape: Shape) -> Code:
    if len(shape) == 1:
        return value
    flat = value if len(shape) == 2 else call(f"{value}.flatten", 1)
    return call(function, flat, dim=1)


@dataclass(frozen=True)
class BroadcastEach(Op, tag="broadcast_each"):
    """Each sample repeated along new axes in front of its own."""

    rank: int
    """Of the result."""

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        view = self._view(x)
        return BroadcastTo(declared(view), out).infer_symbolic(out, view)

    def _view(self, x: SymbolicShape) -> SymbolicShape:
        return (x[0], *(1,) * (self.rank - len(x)), *x[1:])

    def torch(self, at: Site) -> list[Code]:
        view = self._view(at.parent_shapes[0])
        reshaped = call(f"{at.x}.reshape", *at.sizes(view))
        return [reshaped, expanded(at.name, view, at.result_shape)]


@dataclass(frozen=True)
class MatmulEach(Op, tag="matmul_each"):
    """The product of each sample, whose axes are made to line up: `views` are the shapes that the
    parents get before, without the batch; None leaves one as it is.
    """

    gives_positive_zero = True

    views: tuple[Shape | None, Shape | None]

    parents = 2

    def infer_symbolic(self, out: Shape, a: SymbolicShape, b: SymbolicShape) -> list[SymbolicShape]:
        batch = next(shape[0] for shape, view in zip((a, b), self.views, strict=True) if view)
        if any(is_free(extent) and extent != batch for extent in (*a, *b)):
            raise NotFreeError("lines up axes whose extents it has to know")
        return [(batch, *out[1:])]

    def torch(self, at: Site) -> list[Code]:
        operands = [
            name if view is None else call(f"{name}.reshape", *at.sizes((shape[0], *view)))
            for name, shape, view in zip(at.parents, at.parent_shapes, self.views, strict=True)
        ]
        product = call("torch.matmul", *operands)
        return [product, call(f"{at.name}.reshape", *at.sizes(at.result_shape))]


def with_batch(model: Model) -> Model:
    """The model of one sample with a batch axis in front of everything that depends on the input.

    Raises `RefusedError` where an op has no form for samples.
    """
    graph = model.graph
    nodes = list(graph.nodes)
    batched = {graph.input_id}
    for node in graph.nodes:
        if node.id in batched or not batched.isdisjoint(node.parents):
            batched.add(node.id)
            nodes[node.id] = _batched(node, [nodes[i] for i in node.parents], batched)
    return replace(model, graph=replace(graph, nodes=tuple(nodes)))


def _batched(node: Node, parents: list[Node], batched: set[int]) -> Node:
    op: Any = node.op
    shape = (1, *node.shape)
    if isinstance(op, Matmul):
        op = _matmul(op, node, parents, batched)
    else:
        rule = next((_RULES[kind] for kind in type(op).__mro__ if kind in _RULES), None)
        op = op if rule is None else rule(op)
    if isinstance(op, BroadcastTo) and len(op.from_shape) < len(op.to_shape):
        op = BroadcastEach(len(op.to_shape))
    return structs.replace(node, op=op, shape=shape)


def _one_further(field: str) -> Callable[[Any], Op]:
    """The op with its axis one further back."""
    return lambda op: replace(op, **{field: getattr(op, field) + 1})


_RULES: dict[type[Op], Callable[[Any], Op]] = {
    Input: lambda op: replace(op, shape=(1, *op.shape)),
    Softmax: _one_further("axis"),
    LayerNorm: _one_further("axis"),
    ReduceSum: _one_further("axis"),
    ReduceMean: _one_further("axis"),
    Concat: _one_further("axis"),
    BatchNormEval: _one_further("channel_axis"),
    Conv: _one_further("channel_axis"),
    Linear: lambda op: replace(op, shape=(1, *op.shape)),
    Transpose: lambda op: Transpose(op.axis1 + 1, op.axis2 + 1),
    Permute: lambda op: Permute((0, *(axis + 1 for axis in op.perm))),
    Reshape: lambda op: Reshape((1, *op.in_shape), (1, *op.out_shape)),
    Flatten: lambda op: Reshape((1, *op.value_shape), (1, numel(op.value_shape))),
    BroadcastTo: lambda op: BroadcastTo((1, *op.from_shape), (1, *op.to_shape)),
    Sum: lambda op: SumEach(),
    MseLoss: lambda op: MseEach(),
}


def _matmul(op: Matmul, node: Node, parents: list[Node], batched: set[int]) -> Op:
    """A product of values with a new first axis, which has to line up with no other."""
    own = [parent.shape[parent.id in batched :] for parent in parents]
    each = [parent.id in batched for parent in parents]
    lead = max(max(len(shape) - 2, 0) for shape in own)
    if each == [True, False] and len(own[0]) == 1 and lead == 0:
        return op
    views: list[Shape | None] = [None, None]
    for place, shape in enumerate(own):
        if each[place]:
            vector = (1, *shape) if place == 0 else (*shape, 1)
            matrix = vector if len(shape) == 1 else shape
            views[place] = (*(1,) * (lead + 2 - len(matrix)), *matrix)
    if all(view is None or view == shape for view, shape in zip(views, own, strict=True)):
        return op
    return MatmulEach((views[0], views[1]))
