"""The rule of `fuse: true` for attention: softmax(scale * q kᵀ + bias) v in one call."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hatch_irpytorch.emit.fused_ops import FusedAttention
from hatch_irpytorch.emit.fusion import Fuser
from hatch_irpytorch.ir.graph import Node
from hatch_irpytorch.ir.ops import Mask
from hatch_irpytorch.ir.ops.movement import Permute, Transpose
from hatch_irpytorch.ir.ops.softmaxes import HardMaskedSoftmax, Softmax


class _Weights(NamedTuple):
    """Softmax over scores: the scores, and what masks them."""

    scores: int
    mask: Mask | None = None
    causal: bool = False


class _Product(NamedTuple):
    """scale * q kᵀ and the nodes it is made of."""

    query: int
    key: int
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
    shapes = [fuser.shape(i)[:-2] for i in (product.query, product.key, v)]
    if shapes[0] != shapes[1] or shapes[0] != shapes[2]:
        return False
    op = FusedAttention(product.scale, weights.causal, weights.mask)
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
            if fuser.constant(bias) is not None:
                return other, (bias,), (scores,)
    return scores, (), ()


def _product(fuser: Fuser, scores: int, rank: int) -> _Product | None:
    scale = 1.0
    covered: tuple[int, ...] = ()
    scaled = fuser.with_number(scores, "mul_elem")
    if scaled is not None:
        scores, scale, covered = scaled
    turned = _query_and_key(fuser, fuser.nodes[scores], rank)
    if turned is None:
        return None
    query, key, turn = turned
    covered = (*covered, scores, turn)
    scaled = fuser.with_number(query, "mul_elem")
    if scaled is not None and fuser.users[query] == {scores}:
        return _Product(scaled[0], key, scale * scaled[1], (*covered, *scaled[2]))
    return _Product(query, key, scale, covered)


def _query_and_key(fuser: Fuser, node: Node, rank: int) -> tuple[int, int, int] | None:
    """The parents of a product q kᵀ, and the node that turns k."""
    if node.op.tag != "matmul" or len(node.shape) != rank:
        return None
    query, turned = node.parents
    op = fuser.op(turned)
    last = (rank - 2, rank - 1)
    by_transpose = isinstance(op, Transpose) and {op.axis1, op.axis2} == set(last)
    by_permute = isinstance(op, Permute) and op.perm == (*range(rank - 2), *last[::-1])
    if not by_transpose and not by_permute:
        return None
    return query, fuser.nodes[turned].parents[0], turned
