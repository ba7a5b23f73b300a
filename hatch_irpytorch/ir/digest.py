"""Which graph parameters belong to: a digest of everything but the numbers."""

from __future__ import annotations

import json
from dataclasses import fields
from hashlib import sha256
from itertools import chain
from typing import Any

import numpy as np

from hatch_irpytorch.ir.graph import Graph, Node
from hatch_irpytorch.ir.ops.base import Mask
from hatch_irpytorch.ir.ops.learned import LearnedArrays

_LATER = frozenset({"integers"})
"""Attributes that ops got later: graphs that do not give them keep the digest that they had."""


def graph_digest(graph: Graph) -> str:
    """`sha256:` and 64 digits over kinds, attributes, parents, shapes and origins in id order.

    The keys that a ParamStore has for the slots of each node are part of it, their arrays are not,
    nor is which arrays of a layer are learned: trained parameters fit when layers are frozen later.
    Parameters of one graph mean the same in every other with its digest.
    """
    found = sha256()
    numbers: dict[str, int] = {}
    said = [_signature_text(graph, node) for node in graph.signature_nodes]
    of_signatures = np.array([numbers.setdefault(text, len(numbers)) for text in said], np.int64)
    parents = [node.parents for node in graph.nodes]
    columns = (
        of_signatures[graph.signature_ids],
        np.fromiter(map(len, parents), np.int64, len(parents)),
        np.fromiter(chain.from_iterable(parents), np.int64),
        np.array([graph.input_id, *graph.output_ids], np.int64),
    )
    texts = ("\n".join(numbers), "\n".join([node.origin for node in graph.nodes]))
    for part in (*(text.encode("utf-8", "surrogatepass") for text in texts), *map(_bytes, columns)):
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return f"sha256:{found.hexdigest()}"


def _signature_text(graph: Graph, node: Node) -> str:
    op = node.op
    values = {field.name: getattr(op, field.name) for field in fields(op)}  # type: ignore[arg-type]
    attributes = {name: _plain(value) for name, value in values.items() if _counts(name, value)}
    slots = [(op.prefix, slot.name, slot.shape) for slot in graph.slots(node)]
    shapes = [node.shape, *graph.parent_shapes(node)]
    return json.dumps([op.tag, attributes, shapes, slots], sort_keys=True, default=_number)


def _counts(name: str, value: object) -> bool:
    """Whether an attribute is part of a digest."""
    return not isinstance(value, LearnedArrays) and (name not in _LATER or value is not None)


def _plain(value: object) -> object:
    return [value.shape, value.allowed] if isinstance(value, Mask) else value


def _number(value: Any) -> object:
    """A NumPy number as Python's own."""
    return value.item()


def _bytes(column: np.ndarray[Any, np.dtype[np.int64]]) -> bytes:
    return column.astype("<i8").tobytes()
