"""Graphs, weights and projects of any size."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Document = dict[str, Any]
Node = dict[str, Any]


def document(nodes: list[Node], output: int) -> Document:
    return {"format": "torchlean.ir.v1", "input_id": 0, "output_ids": [output], "nodes": nodes}


def node(node_id: int, kind: str, parents: list[int], shape: list[int], **fields: Any) -> Node:
    return {"id": node_id, "kind": kind, "parents": parents, "shape": shape, **fields}


def chain(count: int, shape: list[int]) -> Document:
    """Elementwise nodes one after another."""
    kinds = ("relu", "tanh", "sigmoid", "abs", "sin")
    nodes = [node(0, "input", [], shape)]
    nodes += [node(i, kinds[i % 5], [i - 1], shape) for i in range(1, count)]
    return document(nodes, count - 1)


def skips(count: int, shape: list[int]) -> Document:
    """A chain in which every fourth node adds what stands three nodes before it."""
    nodes = [node(0, "input", [], shape)]
    for i in range(1, count):
        parents = [i - 1, max(0, i - 4)] if i % 4 == 0 else [i - 1]
        nodes.append(node(i, "add" if i % 4 == 0 else "sin", parents, shape))
    return document(nodes, count - 1)


def network(count: int, width: int = 8) -> Document:
    """Of five nodes two are linear, one is a layer norm, one a relu, one a residual sum."""
    rng = np.random.default_rng(0)
    shape = [4, width]
    nodes = [node(0, "input", [], shape)]
    for i in range(1, count):
        kind = ("linear", "relu", "linear", "add", "layernorm")[i % 5]
        fields: dict[str, Any] = {}
        if kind == "linear":
            weight, bias = rng.normal(size=(width, width)).round(6), rng.normal(size=width).round(6)
            fields = {"weight": weight.tolist(), "bias": bias.tolist()}
            fields |= {"in_dim": width, "out_dim": width}
        if kind == "layernorm":
            fields = {"axis": 1, "gamma": [1.5] * width, "beta": [0.5] * width, "eps": 1e-5}
        parents = [i - 1, max(0, i - 3)] if kind == "add" else [i - 1]
        nodes.append(node(i, kind, parents, shape, **fields))
    return document(nodes, count - 1)


def fan(count: int) -> Document:
    """One node with all others but the input as its parents."""
    nodes = [node(0, "input", [], [1])]
    nodes += [node(i, "sin", [0], [1]) for i in range(1, count - 1)]
    parents = list(range(1, count - 1))
    nodes.append(node(count - 1, "concat", parents, [count - 2], axis=0))
    return document(nodes, count - 1)


def norms(count: int) -> Document:
    """Layer norms whose scale and shift are consts."""
    shape, values = [4, 16], [1.0, 2.0, 3.0, 4.0] * 16
    nodes = [node(0, "input", [], shape)]
    while len(nodes) < count:
        i = len(nodes)
        nodes += [
            node(i, "layernorm", [i - 1], shape, axis=1),
            node(i + 1, "const", [], shape, values=values),
            node(i + 2, "mul_elem", [i, i + 1], shape),
            node(i + 3, "const", [], shape, values=values),
            node(i + 4, "add", [i + 2, i + 3], shape),
        ]
    return document(nodes, len(nodes) - 1)


def tree(count: int) -> Document:
    """Half of the nodes joined two by two into one."""
    nodes = [node(0, "input", [], [8])]
    nodes += [node(i, "sin", [0], [8]) for i in range(1, count // 2)]
    layer = list(range(1, count // 2))
    while len(layer) > 1:
        joined = []
        for a, b in zip(layer[::2], layer[1::2], strict=False):
            width = nodes[a]["shape"][0] + nodes[b]["shape"][0]
            nodes.append(node(len(nodes), "concat", [a, b], [width], axis=0))
            joined.append(len(nodes) - 1)
        layer = joined + layer[len(layer) - len(layer) % 2 :]
    return document(nodes, layer[0])


def deep(count: int) -> Document:
    """Concats one after another, so that no two nodes have the same shape."""
    nodes = [node(0, "input", [], [512, 1])]
    nodes += [node(i, "concat", [i - 1, 0], [512, i + 1], axis=1) for i in range(1, count)]
    return document(nodes, count - 1)


GRAPHS: dict[str, Callable[[int], Document]] = {
    "network": network,
    "chain": lambda count: chain(count, [4, 8]),
    "10,000 parents": fan,
    "layer norms": norms,
    "concat tree": tree,
    "deep concat tree": deep,
}
"""Graphs of as many nodes as wanted, by name."""


def one_linear(outputs: int, inputs: int) -> Document:
    """One linear node without payload."""
    shapes = [1, inputs], [1, outputs]
    return document([node(0, "input", [], shapes[0]), node(1, "linear", [0], shapes[1])], 1)


def weights(rows: int, row: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Weights as training leaves them."""
    return (np.random.default_rng(0).standard_normal((rows, row)) * 0.05).astype(np.float32)


def write_project(root: Path, count: int) -> None:
    """A project of `count` small models."""
    models = root / "models"
    models.mkdir(parents=True)
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling", "hatch-irpytorch"]\n'
        'build-backend = "hatchling.build"\n[project]\nname = "many"\nversion = "1.0"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["generated/many"]\n'
        '[tool.hatch.build.hooks.irpytorch]\npackage = "many"\n'
    )
    text = json.dumps(network(6))
    for i in range(count):
        (models / f"m{i:04}.ir.json").write_text(text)
        (models / f"m{i:04}.yaml").write_text(f"ir: m{i:04}.ir.json\n")
