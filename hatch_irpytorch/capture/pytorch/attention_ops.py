"""ATen ops that weigh by a softmax, and what they do with rows that are masked whole."""

from __future__ import annotations

import numpy as np
import torch

from hatch_irpytorch.capture.builder import LARGEST, InexpressibleError, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.layers import masks
from hatch_irpytorch.capture.layers import products as p
from hatch_irpytorch.capture.layers import reductions as r
from hatch_irpytorch.capture.pytorch.arguments import Handler
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor
from hatch_irpytorch.capture.selections.cuts import repeat_entries


def _softmax(c: Context, x: Tensor, dim: int, *_: object, **__: object) -> Value:
    return r.softmax(c.builder, c.value(x), dim)


def _safe_softmax(c: Context, x: Tensor, dim: int, *_: object, **__: object) -> Value:
    return masks.attention_weights(c.builder, c.value(x), dim)


def _isnan(c: Context, x: Tensor) -> torch.Tensor | Value:
    found = masks.not_a_number(c.builder, c.value(x))
    if found is None:
        raise InexpressibleError("it asks of values that nothing bounds")
    return found if isinstance(found, Value) else torch.tensor(found)


def _isinf(c: Context, x: Tensor) -> torch.Tensor:
    found = masks.infinite(c.builder, c.value(x))
    if found is None:
        raise InexpressibleError("it asks of values that nothing bounds")
    return torch.tensor(found)


def _nan_to_num(c: Context, x: Tensor, nan: float | None = None, *_: object) -> Value:
    b, weights = c.builder, c.value(x)
    found = masks.not_a_number(b, weights)
    if found is None:
        raise InexpressibleError("it asks of other values than those of a softmax")
    if isinstance(found, Value):
        raise InexpressibleError("it asks of a softmax whose mask depends on the input")
    return e.chosen(b, found, b.const(nan or 0.0), weights)


def _attention(
    c: Context,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:
    if dropout_p:
        raise InexpressibleError("attention with dropout")
    b = c.builder
    query, key, value = c.value(q), c.value(k), c.value(v)
    if enable_gqa:
        key, value = (
            repeat_entries(b, part, -3, query.shape[-3] // part.shape[-3]) for part in (key, value)
        )
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
    mask, rows = (None, None) if attn_mask is None else _mask(c, attn_mask)
    return p.attention(b, query, key, value, mask, scale, rows)


def _mask(c: Context, mask: Tensor) -> tuple[Value, Value | None]:
    """What is added to the scores, and 0 for the rows that it blocks whole, if it may."""
    b = c.builder
    if isinstance(mask, torch.Tensor):
        given = mask.numpy()
        addend = np.where(given, 0.0, -np.inf) if given.dtype == np.bool_ else given
        blocked = np.isneginf(addend).all(axis=-1, keepdims=True)
        rows = b.const(np.where(blocked, 0.0, 1.0)) if blocked.any() else None
        return b.const(np.where(blocked, 0.0, addend)), rows
    added = c.value(mask)
    if not _is_bool(c):
        return added, None
    rows = r.largest(b, added, [-1], True)
    return e.scaled(b, e.shifted(b, added, -1.0), LARGEST), rows


def _is_bool(c: Context) -> bool:
    """Whether the mask of the attention that is converted holds flags."""
    assert c.node is not None
    argument = c.node.args[3] if len(c.node.args) > 3 else c.node.kwargs["attn_mask"]
    return bool(argument.meta["val"].dtype == torch.bool)  # type: ignore[union-attr]


OPS: dict[str, Handler] = {
    "_safe_softmax": _safe_softmax,
    "_softmax": _softmax,
    "isinf": _isinf,
    "isnan": _isnan,
    "nan_to_num": _nan_to_num,
    "scaled_dot_product_attention": _attention,
    "softmax": _softmax,
}
"""By the name of the ATen op, for all of its overloads."""
