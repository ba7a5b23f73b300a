"""A reader of `torchlean.ir.v1` as strict as upstream's, written from the specification alone.

It shares no code with the package. It takes every field that the Lean reader demands (sections 1,
2 and 4 of the format), in the v1 dialect only, and refuses all that has no JSON form there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite, prod
from typing import Any

Json = dict[str, Any]


class RefusedError(Exception):
    """The Lean side would not read this document."""


def need(condition: bool, where: str, what: str) -> None:
    if not condition:
        raise RefusedError(f"{where}: {what}")


def pairs_once(pairs: list[tuple[str, Any]]) -> Json:
    keys = [key for key, _ in pairs]
    need(len(set(keys)) == len(keys), "document", f"a key twice among {keys}")
    return dict(pairs)


def refuse_constant(name: str) -> float:
    raise RefusedError(f"document: {name} is not JSON")


def is_nat(value: object) -> bool:
    return type(value) is int and value >= 0


def is_nats(value: object, length: int | None = None) -> bool:
    fits = isinstance(value, list) and all(map(is_nat, value))
    return fits and (length is None or len(value) == length)  # type: ignore[arg-type]


def is_number(value: object) -> bool:
    return type(value) in (int, float) and isfinite(value)  # type: ignore[arg-type]


def is_tensor(value: object, shape: list[int]) -> bool:
    """Nested arrays of numbers with exactly this shape."""
    if not shape:
        return is_number(value)
    if not isinstance(value, list) or len(value) != shape[0]:
        return False
    return all(is_tensor(row, shape[1:]) for row in value)


SAME = [
    "detach",
    "abs",
    "sqrt",
    "inv",
    "exp",
    "sin",
    "cos",
    "tanh",
    "log",
    "relu",
    "sigmoid",
    "softplus",
]
PAIRS = ["add", "sub", "mul_elem", "max_elem", "min_elem"]


def read(text: str) -> Json:
    """The document in a text. Raises `RefusedError`, or `json.JSONDecodeError`."""
    document = json.loads(text, object_pairs_hook=pairs_once, parse_constant=refuse_constant)
    need(isinstance(document, dict), "root", "an object")
    need(document.get("format") == "torchlean.ir.v1", "root", "format")
    need(is_nat(document.get("input_id")), "root", "input_id")
    outputs = document.get("output_ids")
    need(is_nats(outputs) and bool(outputs), "root", "output_ids")
    need("output_id" not in document, "root", "output_id belongs to the older dialect")
    nodes = document.get("nodes")
    need(isinstance(nodes, list) and bool(nodes), "root", "nodes")
    for position, node in enumerate(nodes):
        read_node(nodes, position, node)
    inputs = [node["id"] for node in nodes if node["kind"] == "input"]
    need(inputs == [document["input_id"]], "root", "exactly one input, named by input_id")
    need(all(output < len(nodes) for output in outputs), "root", "output_ids in range")
    result: Json = document
    return result


def read_node(nodes: list[Json], position: int, node: Json) -> None:
    where = f"node {position}"
    need(isinstance(node, dict), where, "an object")
    need(type(node.get("id")) is int and node["id"] == position, where, "id")
    need(isinstance(node.get("kind"), str), where, "kind")
    parents = node.get("parents")
    need(is_nats(parents), where, "parents")
    assert isinstance(parents, list)
    need(all(parent < position for parent in parents), where, "parents before it")
    need(node.get("value_kind", "tensor") == "tensor", where, "value_kind")
    need(is_nats(node.get("shape")), where, "shape")
    kind = node["kind"]
    where = f"{where} ({kind})"
    need(kind in RULES, where, "a kind with a JSON form")
    shapes = [nodes[parent]["shape"] for parent in parents]
    expected = RULES[kind](node, shapes, where)
    need(expected == node["shape"], where, f"shape {node['shape']}, the rule gives {expected}")


def arity(shapes: list[list[int]], count: int, where: str) -> None:
    need(len(shapes) == count, where, f"{count} parents")


def fixed(count: int, rule: Callable[[Json, list[list[int]], str], list[int]]) -> Any:
    def check(node: Json, shapes: list[list[int]], where: str) -> list[int]:
        arity(shapes, count, where)
        return rule(node, shapes, where)

    return check


def same(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    return shapes[0]


def equal(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    need(shapes[0] == shapes[1], where, "equal shapes")
    return shapes[0]


def const(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    shape: list[int] = node["value_shape"] if "value_shape" in node else node["shape"]
    need(is_nats(shape), where, "value_shape")
    if "values" in node:
        values = node["values"]
        flat = isinstance(values, list) and len(values) == prod(shape)
        need(flat and all(map(is_number, values)), where, "values, flat")
    return shape


def declared(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    shape: list[int] = node["shape"]
    return shape


def seeded(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    need(is_nat(node.get("seed")), where, "seed")
    need(all(shape == [] for shape in shapes), where, "a scalar parent")
    return declared(node, shapes, where)


def safe_log(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    need(shapes[1] == [], where, "a scalar second parent")
    return shapes[0]


def axis_of(node: Json, shape: list[int], where: str, name: str = "axis") -> int:
    axis = node.get(name)
    need(is_nat(axis), where, name)
    assert isinstance(axis, int)
    need(axis < len(shape), where, f"{name} below the rank")
    return axis


def softmax(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    axis_of(node, shapes[0], where)
    return shapes[0]


def layernorm(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    tail = shapes[0][axis_of(node, shapes[0], where) :]
    need(prod(tail) > 0, where, "normalised extents without 0")
    need(is_number(node.get("eps")), where, "eps")
    for name in ("gamma", "beta"):
        need(is_tensor(node.get(name), tail), where, name)
    return shapes[0]


def batch_norm(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    axis = axis_of(node, shapes[0], where, "channel_axis")
    channels = node.get("channels")
    need(is_nat(channels) and channels == shapes[0][axis] != 0, where, "channels")
    need(is_number(node.get("eps")), where, "eps")
    for name in ("gamma", "beta", "mean", "var"):
        need(is_tensor(node.get(name), [shapes[0][axis]]), where, name)
    return shapes[0]


def linear(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    need(bool(shapes[0]) and bool(node["shape"]), where, "rank 1 or more")
    need(node.get("in_dim") == shapes[0][-1], where, "in_dim")
    need(node.get("out_dim") == node["shape"][-1], where, "out_dim")
    need(is_tensor(node.get("weight"), [node["out_dim"], node["in_dim"]]), where, "weight")
    need(is_tensor(node.get("bias"), [node["out_dim"]]), where, "bias")
    return [*shapes[0][:-1], node["out_dim"]]


def conv(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    names = ("spatial_rank", "groups", "channel_axis", "in_channels", "out_channels")
    need(all(is_nat(node.get(name)) for name in names), where, "its numbers")
    rank, groups, axis, inputs, outputs = (node[name] for name in names)
    need(min(groups, inputs, outputs) >= 1, where, "at least 1")
    need(inputs % groups == 0 and outputs % groups == 0, where, "divisible by groups")
    lists = ("kernel", "stride", "padding", "padding_after", "dilation", "input_spatial")
    need(all(is_nats(node.get(name), rank) for name in lists), where, "its arrays")
    shape = shapes[0]
    need(axis < len(shape) and shape[axis] == inputs, where, "in_channels")
    need(shape[axis + 1 :] == node["input_spatial"], where, "input_spatial")
    need(is_tensor(node.get("weight"), [outputs, inputs, *node["kernel"]]), where, "weight, dense")
    need(is_tensor(node.get("bias"), [outputs]), where, "bias")
    out = []
    for d in range(rank):
        k, s, before, after, spread, extent = (node[name][d] for name in lists)
        need(min(k, s, spread) >= 1, where, "at least 1")
        room = extent + before + after - (spread * (k - 1) + 1)
        need(room >= 0, where, "a window that fits")
        out.append(room // s + 1)
    return [*shape[:axis], outputs, *out]


def pool(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    rank, shape = node.get("spatial_rank"), shapes[0]
    need(is_nat(rank), where, "spatial_rank")
    assert isinstance(rank, int)
    need(1 <= rank <= len(shape), where, "spatial_rank within the rank")
    need(all(is_nats(node.get(n), rank) for n in ("kernel", "stride", "padding")), where, "arrays")
    out = []
    for extent, k, s, p in zip(
        shape[-rank:], node["kernel"], node["stride"], node["padding"], strict=True
    ):
        need(k >= 1 and s >= 1, where, "at least 1")
        empty = extent == 0 or p > k // 2 or extent + 2 * p < k
        out.append(0 if empty else (extent + 2 * p - k) // s + 1)
    return shape[:-rank] + out


def matmul(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    a, b = shapes
    need(bool(a) and bool(b), where, "rank 1 or more")
    left, right = (a if len(a) > 1 else [1, *a]), (b if len(b) > 1 else [*b, 1])
    need(left[-1] == right[-2], where, "equal inner extents")
    batch: list[int] = []
    longest = max(len(left), len(right)) - 2
    for i in range(longest):
        one, two = ([1] * longest + side[:-2] for side in (left, right))
        m, n = one[len(one) - longest + i], two[len(two) - longest + i]
        need(m == n or 1 in (m, n), where, "batch extents")
        batch.append(n if m == 1 else m)
    return batch + (left[-2:-1] if len(a) > 1 else []) + (right[-1:] if len(b) > 1 else [])


def reduce(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    axes, keep = node.get("axes"), node.get("keepdim")
    need(is_nats(axes) and type(keep) is bool, where, "axes and keepdim")
    assert isinstance(axes, list)
    need(len(set(axes)) == len(axes), where, "axes without repeats")
    need(all(a < len(shapes[0]) and shapes[0][a] > 0 for a in axes), where, "axes that exist")
    pairs = enumerate(shapes[0])
    return [1 if axis in axes else n for axis, n in pairs if keep or axis not in axes]


def broadcast(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    source, target = node.get("from_shape"), node.get("to_shape")
    need(source == shapes[0] and is_nats(target), where, "from_shape, to_shape")
    assert isinstance(source, list) and isinstance(target, list)
    need(len(source) <= len(target), where, "rank")
    aligned = zip(source, target[len(target) - len(source) :], strict=True)
    need(all(m in (1, n) for m, n in aligned), where, "extents")
    return target


def reshape(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    target = node.get("out_shape")
    need(node.get("in_shape") == shapes[0] and is_nats(target), where, "in_shape, out_shape")
    assert isinstance(target, list)
    need(prod(target) == prod(shapes[0]), where, "as many entries")
    return target


def flatten(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    need(node.get("value_shape") == shapes[0], where, "value_shape")
    return [prod(shapes[0])]


def permute(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    perm = node.get("perm")
    need(is_nats(perm, len(shapes[0])), where, "perm")
    assert isinstance(perm, list)
    need(sorted(perm) == list(range(len(perm))), where, "each axis once")
    return [shapes[0][axis] for axis in perm]


def transpose(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    a, b = (axis_of(node, shapes[0], where, name) for name in ("axis1", "axis2"))
    out = list(shapes[0])
    out[a], out[b] = out[b], out[a]
    return out


def concat(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    need(len(shapes) >= 2, where, "two parents or more")
    axis = axis_of(node, shapes[0], where)
    rest = [shape[:axis] + shape[axis + 1 :] for shape in shapes]
    need(
        all(r == rest[0] and len(s) == len(shapes[0]) for r, s in zip(rest, shapes, strict=True)),
        where,
        "extents",
    )
    return [*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :]]


def mse(node: Json, shapes: list[list[int]], where: str) -> list[int]:
    equal(node, shapes, where)
    return []


RULES: dict[str, Any] = {
    **dict.fromkeys(SAME, fixed(1, same)),
    **dict.fromkeys(PAIRS, fixed(2, equal)),
    "input": fixed(0, declared),
    "const": fixed(0, const),
    "rand_uniform": fixed(0, seeded),
    "bernoulli_mask": fixed(1, seeded),
    "safe_log": fixed(2, safe_log),
    "softmax": fixed(1, softmax),
    "layernorm": fixed(1, layernorm),
    "batch_norm_eval": fixed(1, batch_norm),
    "linear": fixed(1, linear),
    "conv": fixed(1, conv),
    "max_pool": fixed(1, pool),
    "avg_pool": fixed(1, pool),
    "matmul": fixed(2, matmul),
    "sum": fixed(1, lambda node, shapes, where: []),
    "reduce_sum": fixed(1, reduce),
    "reduce_mean": fixed(1, reduce),
    "broadcast_to": fixed(1, broadcast),
    "reshape": fixed(1, reshape),
    "flatten": fixed(1, flatten),
    "permute": fixed(1, permute),
    "transpose": fixed(1, transpose),
    "concat": concat,
    "mse_loss": fixed(2, mse),
}
