"""Small graphs for every op of the table, on each rank and extent its rule allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from hatch_irpytorch import Model
from hatch_irpytorch.ir.read import build_model

Shape = tuple[int, ...]
SHAPES: tuple[Shape, ...] = (
    (),
    (1,),
    (3,),
    (0,),
    (2, 3),
    (1, 1),
    (0, 3),
    (2, 0),
    (2, 1, 3),
    (2, 3, 1, 2),
    (1, 2, 1, 2, 2),
)


@dataclass(frozen=True)
class Case:
    """One op applied to consts or the input: `positive` keeps the input above 0."""

    tag: str
    shapes: tuple[Shape, ...]
    out: Shape
    attributes: dict[str, Any] = field(default_factory=dict)
    payload: dict[str, Shape] = field(default_factory=dict)
    positive: bool = False

    def __str__(self) -> str:
        return f"{self.tag}-{'x'.join(map(str, self.shapes))}-{list(self.attributes.values())}"


def document(case: Case, seed: int = 0) -> dict[str, Any]:
    """A graph whose first operand is the input and whose other operands are consts."""
    rng = np.random.default_rng(seed)
    nodes: list[dict[str, Any]] = []
    shapes = case.shapes or ((),)
    for i, shape in enumerate(shapes):
        node: dict[str, Any] = {
            "id": i,
            "kind": "const" if i else "input",
            "parents": [],
            "shape": list(shape),
        }
        if i:
            node["values"] = np.abs(rng.normal(size=shape)).reshape(-1).tolist()
        nodes.append(node)
    if case.tag == "input":
        return {"format": "torchlean.ir.v1", "input_id": 0, "output_ids": [0], "nodes": nodes}
    op: dict[str, Any] = {
        "id": len(nodes),
        "kind": case.tag,
        "parents": list(range(len(case.shapes))),
        "shape": list(case.out),
        **case.attributes,
    }
    for name, shape in case.payload.items():
        value = rng.normal(size=shape)
        op[name] = (value.reshape(-1) if case.tag == "const" else value).tolist()
    return {
        "format": "torchlean.ir.v1",
        "input_id": 0,
        "output_ids": [op["id"]],
        "nodes": [*nodes, op],
    }


def model(case: Case, seed: int = 0) -> Model:
    return build_model(json.dumps(document(case, seed)).encode(), "case.json")


def _elementwise() -> Iterator[Case]:
    for shape in SHAPES:
        for tag in (
            "detach",
            "abs",
            "sqrt",
            "inv",
            "exp",
            "sin",
            "cos",
            "tanh",
            "relu",
            "sigmoid",
            "softplus",
        ):
            yield Case(tag, (shape,), shape)
        yield Case("log", (shape,), shape, positive=True)
        yield Case("safe_log", (shape, ()), shape)
        for tag in ("add", "sub", "mul_elem", "max_elem", "min_elem"):
            yield Case(tag, (shape, shape), shape)
        yield Case("mse_loss", (shape, shape), ())
        yield Case("sum", (shape,), ())
        yield Case("const", (), shape, payload={"values": shape})
        yield Case("rand_uniform", (), shape, {"seed": 2**64 + 5})
        yield Case("flatten", (shape,), (int(np.prod(shape)),), {"value_shape": list(shape)})
        yield Case(
            "reshape", (shape,), (1, *shape), {"in_shape": list(shape), "out_shape": [1, *shape]}
        )
        yield Case(
            "broadcast_to",
            (shape,),
            (2, *shape),
            {"from_shape": list(shape), "to_shape": [2, *shape]},
        )
        yield Case("permute", (shape,), shape[::-1], {"perm": list(range(len(shape)))[::-1]})
        allowed = [i % 3 != 1 for i in range(int(np.prod(shape)))]
        yield Case(
            "hard_masked_softmax",
            (shape,),
            shape,
            {"mask": {"shape": list(shape), "allowed": allowed}},
        )
        yield Case(
            "hard_masked_softmax",
            (shape,),
            shape,
            {"mask": {"shape": list(shape), "allowed": [False] * len(allowed)}},
        )
    for shape in SHAPES:
        yield Case("bernoulli_mask", ((),), shape, {"seed": 7})
    yield Case("input", (), ())


def _axes() -> Iterator[Case]:
    for shape in SHAPES:
        for axis in range(len(shape)):
            yield Case("softmax", (shape,), shape, {"axis": axis})
            yield Case("transpose", (shape,), _swap(shape, 0, axis), {"axis1": 0, "axis2": axis})
            doubled = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
            yield Case("concat", (shape, shape), doubled, {"axis": axis})
            if shape[axis]:
                gone = shape[:axis] + shape[axis + 1 :]
                for tag in ("reduce_sum", "reduce_mean"):
                    yield Case(tag, (shape,), gone, {"axes": [axis], "keepdim": False})
            if 0 not in shape[axis:]:
                yield Case("layernorm", (shape,), shape, {"axis": axis})
                for eps in (1e-3, -0.5):
                    payload = {"gamma": shape[axis:], "beta": shape[axis:]}
                    yield Case("layernorm", (shape,), shape, {"axis": axis, "eps": eps}, payload)
            if shape[axis]:
                channels = shape[axis]
                names: dict[str, Shape] = dict.fromkeys(
                    ("gamma", "beta", "mean", "var"), (channels,)
                )
                attributes = {"channel_axis": axis, "channels": channels, "eps": 1e-5}
                yield Case("batch_norm_eval", (shape,), shape, attributes, names)
        if shape:
            for out in (0, 2):
                payload = {"weight": (out, shape[-1]), "bias": (out,)}
                attributes = {"out_dim": out, "in_dim": shape[-1]}
                yield Case("linear", (shape,), (*shape[:-1], out), attributes, payload)


def _swap(shape: Shape, a: int, b: int) -> Shape:
    out = list(shape)
    out[a], out[b] = out[b], out[a]
    return tuple(out)


def _matmul() -> Iterator[Case]:
    for a, b, out in (
        ((3,), (3,), ()),
        ((3,), (5, 3, 4), (5, 4)),
        ((2, 3), (3,), (2,)),
        ((2, 0), (0, 3), (2, 3)),
        ((2, 1, 4, 3), (7, 3, 2), (2, 7, 4, 2)),
        ((1, 2, 3), (0, 3, 1), (0, 2, 1)),
        ((0,), (0,), ()),
    ):
        yield Case("matmul", (a, b), out)


LEADS: tuple[Shape, ...] = ((), (1,), (2,), (0,), (2, 3))
PADDED = ((1, (0, 0), 4), (2, (1, 1), 3), (2, (2, 0), 3), (1, (2, 2), 0))
"""Groups, padding before and after, extent."""
POOLS = (
    (2, 2, 0, 4),
    (3, 1, 1, 3),
    (2, 1, 2, 3),
    (3, 1, 0, 2),
    (1, 1, 0, 0),
    (1, 1, 0, 1),
    (3, 1, 1, 2),
)
"""Kernel, stride, padding, extent."""


def _convolutions() -> Iterator[Case]:
    for rank, lead, (groups, pads, extent) in product(range(5), LEADS, PADDED):
        if extent == 0 and rank == 0:
            continue
        kernel, stride, dilation = [2] * rank, [1, 2, 1, 2][:rank], [2, 1, 1, 1][:rank]
        spatial = [extent] * rank
        axes = zip(spatial, kernel, stride, dilation, strict=True)
        out = [(e + sum(pads) - d * (k - 1) - 1) // s + 1 for e, k, s, d in axes]
        attributes = {
            "spatial_rank": rank,
            "kernel": kernel,
            "stride": stride,
            "padding": [pads[0]] * rank,
            "padding_after": [pads[1]] * rank,
            "dilation": dilation,
            "groups": groups,
            "channel_axis": len(lead),
            "in_channels": 2,
            "out_channels": 4,
            "input_spatial": spatial,
        }
        payload: dict[str, Shape] = {"weight": (4, 2, *kernel), "bias": (4,)}
        yield Case("conv", ((*lead, 2, *spatial),), (*lead, 4, *out), attributes, payload)


def _pools() -> Iterator[Case]:
    leads: tuple[Shape, ...] = (*LEADS, (2, 1, 3))
    for rank, lead, (kernel, stride, padding, extent) in product(range(1, 5), leads, POOLS):
        fits = extent and padding <= kernel // 2 and extent + 2 * padding >= kernel
        width = (extent + 2 * padding - kernel) // stride + 1 if fits else 0
        attributes = {
            "spatial_rank": rank,
            "kernel": [kernel] * rank,
            "stride": [stride] * rank,
            "padding": [padding] * rank,
        }
        for tag in ("max_pool", "avg_pool"):
            yield Case(tag, ((*lead, *[extent] * rank),), (*lead, *[width] * rank), attributes)


CASES: tuple[Case, ...] = (*_elementwise(), *_axes(), *_matmul(), *_convolutions(), *_pools())
