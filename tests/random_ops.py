"""How each op is added to a random graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from random_builder import EPSILONS, MAX_NUMEL, SEEDS, SHAPES, Builder, Shape, size

from hatch_irpytorch.ir.ops import OPS
from hatch_irpytorch.ir.ops.pooling import pool_extent


def _unary(kind: str) -> Callable[[Builder], None]:
    def build(b: Builder) -> None:
        x = b.pick()
        assert x is not None
        b.add(kind, [x], b.shape(x))

    return build


def _binary(kind: str) -> Callable[[Builder], None]:
    def build(b: Builder) -> None:
        x = b.pick()
        assert x is not None
        other = b.like(x)
        operands = [x, other] if b.draw(st.booleans()) else [other, x]
        b.add(kind, operands, () if kind == "mse_loss" else b.shape(x))

    return build


def _const(b: Builder) -> None:
    b.const(b.draw(SHAPES))


def _rand_uniform(b: Builder) -> None:
    b.add("rand_uniform", [], b.draw(SHAPES), seed=b.draw(st.sampled_from(SEEDS)))


def _bernoulli_mask(b: Builder) -> None:
    p = b.pick(lambda shape: shape == ())
    if p is None or b.draw(st.booleans()):
        p = b.add(
            "const", [], (), value_shape=[], values=[b.draw(st.sampled_from([0.0, 0.3, 2.0]))]
        )
    b.add("bernoulli_mask", [p], b.draw(SHAPES), seed=b.draw(st.sampled_from(SEEDS)))


def _safe_log(b: Builder) -> None:
    x = b.pick()
    assert x is not None
    eps = b.add("const", [], (), value_shape=[], values=[b.draw(st.sampled_from([1e-6, 0.0, 0.5]))])
    b.add("safe_log", [x, eps], b.shape(x))


def _log(b: Builder) -> None:
    """After an op whose result is positive, unless it underflows."""
    x = b.pick()
    assert x is not None
    above = b.add(b.draw(st.sampled_from(["exp", "softplus", "sigmoid"])), [x], b.shape(x))
    b.add("log", [above], b.shape(x))


def _ranked(b: Builder) -> tuple[int, Shape] | None:
    x = b.pick(lambda shape: len(shape) >= 1)
    return None if x is None else (x, b.shape(x))


def _softmax(b: Builder) -> None:
    found = _ranked(b)
    if found is not None:
        x, shape = found
        b.add("softmax", [x], shape, axis=b.nat(0, len(shape) - 1))


def _hard_masked_softmax(b: Builder) -> None:
    x = b.pick()
    assert x is not None
    shape = b.shape(x)
    allowed = (b.rng.random(size(shape)) < b.draw(st.sampled_from([0.0, 0.6, 1.0]))).tolist()
    b.add("hard_masked_softmax", [x], shape, mask={"shape": list(shape), "allowed": allowed})


def _layernorm(b: Builder) -> None:
    x = b.pick(lambda shape: len(shape) >= 1 and shape[-1] > 0)
    if x is None:
        return
    shape = b.shape(x)
    axis = b.draw(st.sampled_from([i for i in range(len(shape)) if 0 not in shape[i:]]))
    fields: dict[str, Any] = {}
    if b.draw(st.booleans()):
        eps = 1e-5 if b.tame else b.draw(st.sampled_from(EPSILONS))
        fields = {"eps": eps, "gamma": b.payload(shape[axis:]), "beta": b.payload(shape[axis:])}
    y = b.add("layernorm", [x], shape, axis=axis, **fields)
    if b.draw(st.booleans()):
        scaled = b.add("mul_elem", [y, b.const(shape)], shape)
        b.add("add", [b.const(shape), scaled], shape)


def _batch_norm_eval(b: Builder) -> None:
    x = b.pick(lambda shape: any(shape))
    if x is None:
        return
    shape = b.shape(x)
    axis = b.draw(st.sampled_from([i for i, extent in enumerate(shape) if extent]))
    fields: dict[str, Any] = {name: b.payload((shape[axis],)) for name in ("gamma", "beta", "mean")}
    fields |= b.learnable("gamma", "beta")
    variance = b.numbers((shape[axis],))
    fields["var"] = (np.abs(variance) + 0.5 if b.tame else variance).tolist()
    eps = 1e-5 if b.tame else b.draw(st.sampled_from(EPSILONS))
    b.add("batch_norm_eval", [x], shape, channel_axis=axis, channels=shape[axis], eps=eps, **fields)


def _linear(b: Builder) -> None:
    found = _ranked(b)
    if found is None:
        return
    x, shape = found
    out = b.nat(0, 4)
    weight, bias = b.payload((out, shape[-1])), b.payload((out,))
    fields = {"out_dim": out, "in_dim": shape[-1], "weight": weight, "bias": bias}
    b.add("linear", [x], (*shape[:-1], out), **fields, **b.learnable("weight", "bias"))


def _conv(b: Builder) -> None:
    x = b.pick(lambda shape: any(shape))
    if x is None:
        return
    shape = b.shape(x)
    axis = b.draw(st.sampled_from([i for i, extent in enumerate(shape) if extent]))
    channels, spatial = shape[axis], shape[axis + 1 :]
    rank = len(spatial)
    groups = b.draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
    out_channels = groups * b.nat(1, 2)
    small = 2 if rank > 3 else 3
    kernel = [b.nat(1, small) for _ in spatial]
    stride = [b.nat(1, 3) for _ in spatial]
    dilation = [b.nat(1, 2) for _ in spatial]
    before = [b.nat(0, 2) if rank <= 3 else 0 for _ in spatial]
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    after = [
        max(span - extent - pad, b.nat(0, 2) if rank <= 3 else 0)
        for span, extent, pad in zip(spans, spatial, before, strict=True)
    ]
    axes = zip(spatial, before, after, spans, stride, strict=True)
    out = [(e + p + q - span) // s + 1 for e, p, q, span, s in axes]
    if size(shape[:axis]) * out_channels * size(tuple(out)) > 8 * MAX_NUMEL:
        return
    b.add(
        "conv",
        [x],
        (*shape[:axis], out_channels, *out),
        spatial_rank=rank,
        kernel=kernel,
        stride=stride,
        padding=before,
        padding_after=after,
        dilation=dilation,
        groups=groups,
        channel_axis=axis,
        in_channels=channels,
        out_channels=out_channels,
        **b.learnable("weight", "bias"),
        input_spatial=list(spatial),
        weight=_block_diagonal(b, (out_channels, channels, *kernel), groups),
        bias=b.payload((out_channels,)),
    )


def _block_diagonal(b: Builder, shape: Shape, groups: int) -> Any:
    """A dense kernel; what lies outside the blocks is never read and may be anything."""
    values = b.numbers(shape)
    if b.draw(st.booleans()):
        rows = np.arange(shape[0]) * groups // shape[0]
        columns = np.arange(shape[1]) * groups // shape[1]
        inside = rows[:, None] == columns[None, :]
        values = np.where(inside.reshape(*inside.shape, *[1] * (len(shape) - 2)), values, 0.0)
    return values.tolist()


def _pool(kind: str) -> Callable[[Builder], None]:
    def build(b: Builder) -> None:
        found = _ranked(b)
        if found is None:
            return
        x, shape = found
        rank = b.nat(1, min(len(shape), 4))
        kernel = [b.nat(1, 3) for _ in range(rank)]
        stride = [b.nat(1, 3) for _ in range(rank)]
        padding = [b.draw(st.sampled_from([0, 0, 1, 2])) for _ in range(rank)]
        axes = zip(shape[-rank:], kernel, stride, padding, strict=True)
        out = shape[:-rank] + tuple(pool_extent(*axis) for axis in axes)
        fields = {"spatial_rank": rank, "kernel": kernel, "stride": stride, "padding": padding}
        b.add(kind, [x], out, **fields)

    return build


def _matmul(b: Builder) -> None:
    found = _ranked(b)
    if found is None:
        return
    x, shape = found
    columns = b.nat(0, 3)
    forms = [(shape[-1],), (shape[-1], columns)]
    if len(shape) > 2:
        forms += [(*shape[:-2], shape[-1], columns), (1, shape[-1], columns)]
    elif len(shape) == 2:
        forms.append((2, shape[-1], columns))
    other = b.draw(st.sampled_from(forms))
    y = b.const(other)
    out = np.matmul(np.zeros(shape), np.zeros(other)).shape
    if size(out) <= 4 * MAX_NUMEL:
        b.add("matmul", [x, y], out)


def _reduction(kind: str) -> Callable[[Builder], None]:
    def build(b: Builder) -> None:
        x = b.pick(lambda shape: any(shape))
        if x is not None:
            shape = b.shape(x)
            axis = b.draw(st.sampled_from([i for i, extent in enumerate(shape) if extent]))
            out = shape[:axis] + shape[axis + 1 :]
            b.add(kind, [x], out, axes=[axis], keepdim=False)

    return build


def _sum(b: Builder) -> None:
    x = b.pick()
    assert x is not None
    b.add("sum", [x], ())


def _broadcast_to(b: Builder) -> None:
    x = b.pick()
    assert x is not None
    shape = b.shape(x)
    grown = [b.nat(0, 3) if extent == 1 else extent for extent in shape]
    lead = [b.nat(0, 2) for _ in range(b.nat(0, 2))]
    target = (*lead, *grown)
    if size(target) <= 4 * MAX_NUMEL and len(target) <= 6:
        b.add("broadcast_to", [x], target, from_shape=list(shape), to_shape=list(target))


def _reshape(b: Builder) -> None:
    x = b.pick()
    assert x is not None
    shape = b.shape(x)
    forms = [(size(shape),), (*shape, 1), (1, *shape), shape[::-1], shape]
    if len(shape) > 1:
        forms += [(shape[0] * shape[1], *shape[2:]), tuple(e for e in shape if e != 1)]
    target = b.draw(st.sampled_from(forms))
    if len(target) <= 6:
        b.add("reshape", [x], target, in_shape=list(shape), out_shape=list(target))


def _flatten(b: Builder) -> None:
    x = b.pick()
    assert x is not None
    b.add("flatten", [x], (size(b.shape(x)),), value_shape=list(b.shape(x)))


def _permute(b: Builder) -> None:
    x = b.pick()
    assert x is not None
    shape = b.shape(x)
    perm = list(b.draw(st.permutations(range(len(shape)))))
    b.add("permute", [x], tuple(shape[axis] for axis in perm), perm=perm)


def _transpose(b: Builder) -> None:
    found = _ranked(b)
    if found is None:
        return
    x, shape = found
    first, second = b.nat(0, len(shape) - 1), b.nat(0, len(shape) - 1)
    out = list(shape)
    out[first], out[second] = out[second], out[first]
    b.add("transpose", [x], tuple(out), axis1=first, axis2=second)


def _concat(b: Builder) -> None:
    found = _ranked(b)
    if found is None:
        return
    x, shape = found
    axis = b.nat(0, len(shape) - 1)
    parts = [x]
    for _ in range(b.nat(1, 3)):
        other = (*shape[:axis], b.nat(0, 2), *shape[axis + 1 :])
        parts.append(x if b.draw(st.booleans()) else b.const(other))
    parts = list(b.draw(st.permutations(parts)))
    total = sum(b.shape(part)[axis] for part in parts)
    if size(shape) * len(parts) <= 4 * MAX_NUMEL:
        b.add("concat", parts, (*shape[:axis], total, *shape[axis + 1 :]), axis=axis)


SIMPLE = {
    **{kind: _unary(kind) for kind in ("detach", "abs", "sqrt", "inv", "exp", "sin", "cos")},
    **{kind: _unary(kind) for kind in ("tanh", "relu", "sigmoid", "softplus")},
    **{kind: _binary(kind) for kind in ("add", "sub", "mul_elem", "max_elem", "min_elem")},
    "mse_loss": _binary("mse_loss"),
    "const": _const,
    "rand_uniform": _rand_uniform,
    "bernoulli_mask": _bernoulli_mask,
    "safe_log": _safe_log,
    "log": _log,
    "softmax": _softmax,
    "hard_masked_softmax": _hard_masked_softmax,
    "layernorm": _layernorm,
    "batch_norm_eval": _batch_norm_eval,
    "linear": _linear,
    "conv": _conv,
    "max_pool": _pool("max_pool"),
    "avg_pool": _pool("avg_pool"),
    "matmul": _matmul,
    "reduce_sum": _reduction("reduce_sum"),
    "reduce_mean": _reduction("reduce_mean"),
    "sum": _sum,
    "broadcast_to": _broadcast_to,
    "reshape": _reshape,
    "flatten": _flatten,
    "permute": _permute,
    "transpose": _transpose,
    "concat": _concat,
}
assert {*SIMPLE, "input"} == {op.tag for op in OPS}


def many_axes(b: Builder) -> None:
    x = b.pick(lambda shape: len(shape) >= 2 and 0 not in shape)
    if x is None:
        return
    shape = b.shape(x)
    axes = b.draw(st.lists(st.integers(0, len(shape) - 1), unique=True, max_size=len(shape)))
    keepdim = b.draw(st.booleans())
    kept = [1 if i in axes else e for i, e in enumerate(shape) if keepdim or i not in axes]
    kind = b.draw(st.sampled_from(["reduce_sum", "reduce_mean"]))
    b.add(kind, [x], tuple(kept), axes=axes, keepdim=keepdim)


def attention(b: Builder) -> None:
    heads = b.nat(1, 2)
    embed, batch, tokens = heads * b.nat(1, 2), b.nat(1, 2), b.nat(1, 3)
    shape = (batch, tokens, embed)
    x = b.pick(lambda s: s == shape)
    x = b.const(shape) if x is None else x
    fields: dict[str, Any] = {"embed_dim": embed, "num_heads": heads, "batch_first": True}
    fields |= {"dropout_zero": True, "bias": True, "scale": (embed // heads) ** -0.5}
    for part in ("q", "k", "v", "out"):
        fields[f"{part}_weight"] = b.payload((embed, embed))
        fields[f"{part}_bias"] = b.payload((embed,))
    shapes = [list(shape), [batch, tokens, tokens]]
    raw_id = len(b.nodes)
    node = {"id": raw_id, "kind": "multihead_attention", "parents": [x, x, x]}
    b.nodes.append({**node, "value_kind": "tuple", "tuple_shapes": shapes, **fields})
    b.shapes.append(None)
    for _ in range(b.nat(1, 2)):
        b.add("tuple_getitem", [raw_id], shape, index=0)
