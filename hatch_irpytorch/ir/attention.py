"""`multihead_attention` as tensor nodes. torchlean.ir.v1: 3.3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hatch_irpytorch.errors import Place, Problems
from hatch_irpytorch.ir.ops import Const, Op
from hatch_irpytorch.ir.ops.elementwise import MulElem
from hatch_irpytorch.ir.ops.learned import EVERY_PROJECTION, LearnedProjections
from hatch_irpytorch.ir.ops.movement import Reshape, Transpose
from hatch_irpytorch.ir.ops.products import Linear, Matmul
from hatch_irpytorch.ir.ops.softmaxes import Softmax
from hatch_irpytorch.ir.shapes import Shape, shape_text

ATTENTION_ATTRIBUTES: dict[str, type] = {
    "embed_dim": int,
    "num_heads": int,
    "batch_first": bool,
    "dropout_zero": bool,
}
SCALE = "scale"
"""The legacy dialect leaves it out: then the parameters hold it. torchlean.ir.v1: 6.38."""

ATTENTION_PAYLOAD = EVERY_PROJECTION.names()
_PARTS = ("q", "k", "v", "out")

Append = Callable[[Op, tuple[int, ...], Shape], int]
"""Appends a tensor node and returns its id."""


@dataclass(frozen=True)
class Attention:
    """A checked attention node over x of shape (batch, tokens, embed_dim)."""

    num_heads: int
    scale: float | None
    shape: Shape
    learnable: LearnedProjections


@dataclass(frozen=True)
class Expansion:
    """The tensor ids of an attention: its linears with their payload prefix, scale and result."""

    linears: dict[int, str]
    scale_id: int
    result: int


def checked_attention(
    a: Any, x: Shape, declared: Shape, place: Place, problems: Problems
) -> Attention | None:
    """The attention that a node's attributes describe, or None after a problem with them."""
    before = len(problems)
    for name in ("batch_first", "dropout_zero"):
        if not getattr(a, name):
            problems.mismatch("unsupported", place, name, "`true`", "`false`")
    embed, heads = a.embed_dim, a.num_heads
    if heads < 1 or embed % heads:
        expected = f"a positive divisor of {embed}, the `embed_dim`"
        problems.mismatch("bad-attribute", place, "num_heads", expected, f"`{heads}`")
    if len(x) != 3 or x[-1] != embed:
        expected = f"(batch, tokens, {embed})"
        problems.mismatch("shape-mismatch", place, "parents", expected, shape_text(x))
    elif declared != x:
        expected = shape_text(x)
        problems.mismatch("shape-mismatch", place, "shape", expected, shape_text(declared))
    return Attention(heads, a.scale, x, a.learnable) if len(problems) == before else None


def expand(attention: Attention, x: int, append: Append) -> Expansion:
    """Append the nodes of an attention over node `x`: ten for one head, eighteen for several."""
    shape = attention.shape
    linears = {part: Linear(shape, learnable=attention.learnable.of(part)) for part in _PARTS}
    q, k, v = (append(linears[part], (x,), shape) for part in _PARTS[:3])
    several = attention.num_heads > 1
    core = _several_heads if several else _one_head
    joined, scale_id = core(attention, (q, k, v), append)
    out = append(linears["out"], (joined,), shape)
    return Expansion({q: "q", k: "k", v: "v", out: "out"}, scale_id, out)


def _one_head(attention: Attention, qkv: tuple[int, int, int], append: Append) -> tuple[int, int]:
    batch, tokens, embed = attention.shape
    q, k, v = qkv
    scores = (batch, tokens, tokens)
    turned = append(Transpose(1, 2), (k,), (batch, embed, tokens))
    weights, scale_id = _weights(q, turned, scores, append)
    return append(Matmul(), (weights, v), attention.shape), scale_id


def _several_heads(
    attention: Attention, qkv: tuple[int, int, int], append: Append
) -> tuple[int, int]:
    batch, tokens, embed = attention.shape
    heads = attention.num_heads
    depth = embed // heads
    split, headed = (batch, tokens, heads, depth), (batch, heads, tokens, depth)
    parts = [append(Reshape(attention.shape, split), (part,), split) for part in qkv]
    q, k, v = [append(Transpose(1, 2), (part,), headed) for part in parts]
    turned = append(Transpose(2, 3), (k,), (batch, heads, depth, tokens))
    weights, scale_id = _weights(q, turned, (batch, heads, tokens, tokens), append)
    mixed = append(Matmul(), (weights, v), headed)
    rows = append(Transpose(1, 2), (mixed,), split)
    return append(Reshape(split, attention.shape), (rows,), attention.shape), scale_id


def _weights(q: int, turned: int, scores: Shape, append: Append) -> tuple[int, int]:
    products = append(Matmul(), (q, turned), scores)
    scale_id = append(Const(scores), (), scores)
    scaled = append(MulElem(), (products, scale_id), scores)
    return append(Softmax(len(scores) - 1), (scaled,), scores), scale_id
