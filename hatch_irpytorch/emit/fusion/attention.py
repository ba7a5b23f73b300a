"""The rule of `fuse: true` for attention: softmax(scale * q kᵀ + bias) v in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hatch_irpytorch.emit.fusion.nodes import Fuser
from hatch_irpytorch.emit.fusion.ops import FusedAttention
from hatch_irpytorch.emit.literals import rounded
from hatch_irpytorch.ir.graph import Node
from hatch_irpytorch.ir.ops import Mask
from hatch_irpytorch.ir.ops.movement import Permute, Transpose
from hatch_irpytorch.ir.ops.softmaxes import HardMaskedSoftmax, Softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


class _Weights(NamedTuple):
    """Softmax over scores: the scores, and what masks them."""

    scores: int
    mask: Mask | None = None
    causal: bool = False


class _Product(NamedTuple):
    """scale * q kᵀ and the nodes it is made of."""

    query: int
    key: int
    key_order: tuple[int, ...]
    scale: float
    covered: tuple[int, ...]


def fuse_attention(fuser: Fuser, node: Node) -> bool:
    """A product of softmax weights with values → scaled dot product attention."""
    if node.op.tag != "matmul" or len(node.shape) < 3 or 0 in node.shape:
        return False
    softmax, v = node.parents
    weights = _weights(fuser, fuser.nodes[softmax])
    if weights is None:
        return False
    scores, bias, covered = _bias(fuser, weights.scores)
    product = _product(fuser, scores, len(node.shape))
    if product is None:
        return False
    key = fuser.symbolic_shape(product.key)
    leads = fuser.symbolic_shape(product.query)[:-2], fuser.symbolic_shape(v)[:-2]
    if {*leads} != {tuple(key[axis] for axis in product.key_order[:-2])}:
        return False
    op = FusedAttention(product.scale, product.key_order, weights.causal, weights.mask)
    parents = (product.query, product.key, v, *bias)
    return fuser.put(node, op, parents, (softmax, *covered, *product.covered))


def _weights(fuser: Fuser, node: Node) -> _Weights | None:
    op = node.op
    if isinstance(op, Softmax) and op.axis == len(node.shape) - 1:
        return _Weights(node.parents[0])
    if not isinstance(op, HardMaskedSoftmax):
        return None
    allowed = np.array(op.mask.allowed, dtype=np.bool_).reshape(op.mask.shape)
    if allowed.ndim < 2 or not allowed.any(axis=-1).all():
        return None
    lower = np.tril(np.ones(allowed.shape[-2:], dtype=np.bool_))
    causal = allowed.shape[-1] == allowed.shape[-2] and bool((allowed == lower).all())
    return _Weights(node.parents[0], None if causal else op.mask, causal)


def _bias(fuser: Fuser, scores: int) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Scores without the const that is added to them, the const, the nodes of the sum."""
    parents = fuser.nodes[scores].parents
    if fuser.op(scores).tag == "add":
        for other, bias in (parents, parents[::-1]):
            found = fuser.constant(bias)
            if found is not None and _leaves_something(rounded(found[0], fuser.dtype)):
                return other, (bias,), (scores,)
    return scores, (), ()


def _leaves_something(bias: Array) -> bool:
    """Whether no row masks all it is added to: PyTorch's attention gives 0 there, softmax NaN."""
    return bool((bias.max(axis=-1, initial=-np.inf) > -np.inf).all())


def _product(fuser: Fuser, scores: int, rank: int) -> _Product | None:
    scale = 1.0
    covered: tuple[int, ...] = ()
    scaled = fuser.with_number(scores, "mul_elem")
    if scaled is not None:
        scores, scale, covered = scaled
    turned = _query_and_key(fuser, fuser.nodes[scores], rank)
    if turned is None:
        return None
    query, covered = turned.query, (*covered, scores, turned.turn)
    scaled = fuser.with_number(query, "mul_elem")
    if scaled is not None and fuser.users[query] == {scores}:
        query, scale, covered = scaled[0], scale * scaled[1], (*covered, *scaled[2])
    return _Product(query, turned.key, turned.order, scale, covered)


class _Turned(NamedTuple):
    """The parents of q kᵀ, the node that turns k, and what of its turning is left for k."""

    query: int
    key: int
    turn: int
    order: tuple[int, ...]


def _query_and_key(fuser: Fuser, node: Node, rank: int) -> _Turned | None:
    if node.op.tag != "matmul" or len(node.shape) != rank:
        return None
    query, turn = node.parents
    op = fuser.op(turn)
    order = list(range(rank))
    if isinstance(op, Transpose):
        order[op.axis1], order[op.axis2] = order[op.axis2], order[op.axis1]
    elif isinstance(op, Permute):
        order = list(op.perm)
    else:
        return None
    return _Turned(query, fuser.nodes[turn].parents[0], turn, (*order[:-2], order[-1], order[-2]))
