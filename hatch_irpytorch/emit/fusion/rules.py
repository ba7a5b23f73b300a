"""What `fuse: true` replaces, rule by rule. Each returns whether it replaced its node."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from msgspec import structs

from hatch_irpytorch.axes.free import FreeModel
from hatch_irpytorch.emit.fusion.attention import fuse_attention
from hatch_irpytorch.emit.fusion.embedding import fuse_embedding
from hatch_irpytorch.emit.fusion.gelu import fuse_exact_gelu, fuse_tanh_gelu
from hatch_irpytorch.emit.fusion.nodes import Fuser, is_layer_norm, repeated
from hatch_irpytorch.emit.fusion.ops import (
    Clamp,
    FusedLinears,
    Means,
    OneCall,
    Part,
    WithScalar,
)
from hatch_irpytorch.emit.fusion.selection import fuse_cut
from hatch_irpytorch.emit.options import EmitOptions
from hatch_irpytorch.ir.graph import Model, Node
from hatch_irpytorch.ir.ops import LayerNorm
from hatch_irpytorch.ir.ops.convolution import Conv
from hatch_irpytorch.ir.ops.learned import LearnedAffine, LearnedWeight
from hatch_irpytorch.ir.ops.movement import BroadcastTo
from hatch_irpytorch.ir.ops.normalization import DEFAULT_EPS, BatchNormEval
from hatch_irpytorch.ir.ops.products import Linear
from hatch_irpytorch.ir.ops.reduction import ReduceMean
from hatch_irpytorch.ir.ops.softmaxes import Softmax


def fuse(free: FreeModel, options: EmitOptions) -> Model:
    """The model with every rule applied; the ids of the nodes that stay do not change.

    Without `fuse` these are the idioms: none changes a parameter.
    """
    fuser = Fuser(free, options)
    for rule in _RULES if options.fuse else _IDIOMS:
        fuser.apply(rule)
    return fuser.result()


def _batch_norm(fuser: Fuser, node: Node) -> bool:
    """conv, batch norm → conv. torchlean.ir.v1: conv, batch_norm_eval."""
    norm = node.op
    before = fuser.nodes[node.parents[0]] if node.parents else node
    conv = before.op
    if not isinstance(norm, BatchNormEval) or not isinstance(conv, Conv):
        return False
    if norm.channel_axis != conv.channel_axis or norm.eps is None:
        return False
    learned = conv.learnable.weight
    if learned != norm.learnable.gamma:
        return False
    names = ("gamma", "beta", "mean", "var")
    gamma, beta, mean, var = (fuser.params[node.id, name].astype(np.float64) for name in names)
    weight = fuser.params[before.id, "weight"].astype(np.float64)
    bias = fuser.params[before.id, "bias"].astype(np.float64)
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(np.maximum(np.maximum(var, 0.0) + norm.eps, 0.0))
        weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        bias = (bias - mean) * scale + beta
    if not (fuser.is_finite(weight) and fuser.is_finite(bias)):
        return False
    shifted = conv.learnable.bias or norm.learnable.beta
    whole = replace(conv, learnable=LearnedWeight(weight=learned, bias=shifted))
    return fuser.put(node, whole, before.parents, (before.id,), {"weight": weight, "bias": bias})


def _layer_norm(fuser: Fuser, node: Node) -> bool:
    """Layer norm, times a const, plus a const → one layer norm."""
    if node.op.tag != "add":
        return False
    for scaled, shift in (node.parents, node.parents[::-1]):
        beta = fuser.constant(shift)
        if beta is None or fuser.op(scaled).tag != "mul_elem":
            continue
        parents = fuser.nodes[scaled].parents
        for norm, scale in (parents, parents[::-1]):
            gamma = fuser.constant(scale)
            if gamma is None or not is_layer_norm(fuser, norm):
                continue
            op = fuser.op(norm)
            assert isinstance(op, LayerNorm)
            shape = fuser.shape(norm)
            parts = [repeated(np.broadcast_to(v, shape), op.axis) for v in (gamma[0], beta[0])]
            if parts[0] is None or parts[1] is None:
                continue
            covered = (norm, scaled, *gamma[1], *beta[1])
            eps = DEFAULT_EPS if op.eps is None else op.eps
            learned = [fuser.is_learned(v[1][-1]) for v in (gamma, beta)]
            whole = LayerNorm(op.axis, eps, LearnedAffine(*learned))
            payload = {"gamma": parts[0], "beta": parts[1]}
            return fuser.put(node, whole, fuser.nodes[norm].parents, covered, payload)
    return False


def _linears(fuser: Fuser, node: Node) -> bool:
    """Several affine maps of one value → one product, split."""
    if not isinstance(node.op, Linear):
        return False
    x = node.parents[0]
    children = sorted(user for user in fuser.users[x] if isinstance(fuser.op(user), Linear))
    if len(children) < 2 or children[0] != node.id:
        return False
    first = node.op.learnable
    alike = all(getattr(fuser.op(child), "learnable", None) == first for child in children)
    if not alike or not fuser.signed.isdisjoint(children):
        return False
    arrays = {
        name: np.concatenate([fuser.params[child, name] for child in children])
        for name in ("weight", "bias")
    }
    widths = tuple(fuser.shape(child)[-1] for child in children)
    joined = FusedLinears(tuple(children), widths, first)
    fuser.rewire(structs.replace(node, op=joined, covers=tuple(children)))
    for child in children[1:]:
        fuser.rewire(structs.replace(fuser.nodes[child], op=Part(), parents=(node.id,)))
    fuser.params.update({(node.id, name): array for name, array in arrays.items()})
    return True


def _silu(fuser: Fuser, node: Node) -> bool:
    """x sigmoid(x) → silu."""
    if node.op.tag != "mul_elem":
        return False
    for x, gate in (node.parents, node.parents[::-1]):
        if fuser.op(gate).tag == "sigmoid" and fuser.nodes[gate].parents == (x,):
            return fuser.put(node, OneCall("silu"), (x,), (gate,))
    return False


def _log_softmax(fuser: Fuser, node: Node) -> bool:
    if node.op.tag != "log":
        return False
    softmax = fuser.nodes[node.parents[0]]
    if not isinstance(softmax.op, Softmax) or 0 in softmax.shape:
        return False
    op = OneCall("log_softmax", softmax.op.axis)
    return fuser.put(node, op, softmax.parents, (softmax.id,))


def _clamp(fuser: Fuser, node: Node) -> bool:
    """min(max(x, low), high) → clamp, also the other way round."""
    pairs = {"min_elem": "max_elem", "max_elem": "min_elem"}
    outer = fuser.with_number(node.id, node.op.tag) if node.op.tag in pairs else None
    inner = fuser.with_number(outer[0], pairs[node.op.tag]) if outer is not None else None
    if outer is None or inner is None:
        return False
    low, high = (inner[1], outer[1]) if node.op.tag == "min_elem" else (outer[1], inner[1])
    if low > high or node.id in fuser.signed:
        return False
    op = Clamp(fuser.literal(low), fuser.literal(high))
    return fuser.put(node, op, (inner[0],), (*outer[2], *inner[2]))


def _broadcast(fuser: Fuser, node: Node) -> bool:
    """A value repeated to the shape of the one it is combined with → the value."""
    if node.op.tag not in _SIGNS:
        return False
    for place, parent in enumerate(node.parents):
        if not isinstance(fuser.op(parent), BroadcastTo) or parent in fuser.outputs:
            continue
        other = node.parents[1 - place]
        if fuser.symbolic_shape(other) != fuser.symbolic_shape(node.id):
            continue
        parents = [other, other]
        (parents[place],) = fuser.nodes[parent].parents
        return fuser.put(node, node.op, tuple(parents), (parent,))
    return False


def _means(fuser: Fuser, node: Node) -> bool:
    """A mean of means along one axis each → one mean over several axes."""
    if not isinstance(node.op, ReduceMean):
        return False
    inner = fuser.nodes[node.parents[0]]
    if isinstance(inner.op, ReduceMean):
        before: tuple[int, ...] = (inner.op.axis,)
    elif isinstance(inner.op, Means):
        before = inner.op.axes
    else:
        return False
    left = [axis for axis in range(len(node.shape) + 1 + len(before)) if axis not in before]
    axes = tuple(sorted((left[node.op.axis], *before)))
    return fuser.put(node, Means(axes), inner.parents, (inner.id,))


_SIGNS = {"add": "+", "sub": "-", "mul_elem": "*", "max_elem": "max", "min_elem": "min"}


def _scalar(fuser: Fuser, node: Node) -> bool:
    """A const that holds one number → the number."""
    sign = _SIGNS.get(node.op.tag)
    found = fuser.with_number(node.id, node.op.tag) if sign is not None else None
    if sign is None or found is None:
        return False
    if sign in ("max", "min") and node.id in fuser.signed:
        return False
    x, number, covered = found
    left = sign == "-" and fuser.number(node.parents[1]) is None
    return fuser.put(node, WithScalar(sign, fuser.literal(number), left), (x,), covered)


def _addcmul(fuser: Fuser, node: Node) -> bool:
    """a + b c → addcmul."""
    if node.op.tag != "add":
        return False
    for a, product in (node.parents, node.parents[::-1]):
        if fuser.op(product).tag == "mul_elem" and product not in fuser.outputs:
            parents = (a, *fuser.nodes[product].parents)
            if fuser.users[product] == {node.id} and a != product:
                return fuser.put(node, OneCall("addcmul"), parents, (product,))
    return False


_IDIOMS = (
    fuse_cut,
    fuse_attention,
    fuse_embedding,
    fuse_tanh_gelu,
    fuse_exact_gelu,
    _silu,
    _means,
    _clamp,
    _scalar,
    _broadcast,
)
_RULES = (
    fuse_cut,
    _batch_norm,
    _layer_norm,
    fuse_attention,
    fuse_embedding,
    _linears,
    fuse_tanh_gelu,
    fuse_exact_gelu,
    _silu,
    _log_softmax,
    _clamp,
    _scalar,
    _addcmul,
)
