"""Buffers that `forward` changes: whether a later call can see it, for a graph keeps nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import fx
from torch.utils._pytree import tree_leaves

from hatch_irpytorch.capture.pytorch.program import Program, op_name

SHAPE_ONLY = frozenset({"full_like"})
"""Ops that take no more than its shape from their first argument."""
UNWRITTEN = frozenset({"empty", "empty_permuted", "empty_strided"})
"""Ops that leave memory as it is: whatever is there is never right, and here it is zeros."""

_OVERWRITES = frozenset({"copy", "select_scatter", "slice_scatter"})
"""Ops that give their second argument where it has as many entries as the first."""


def needed(program: Program) -> set[fx.Node]:
    """The nodes that a graph is made of: for the results, and to see what a call leaves behind."""
    results = _results(program)
    wanted = [results[position] for position in (*_own(program), *later_reads(program))]
    found: set[fx.Node] = set()
    waiting = [node for node in wanted if isinstance(node, fx.Node)]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(node.all_input_nodes)
    return found


def later_reads(program: Program) -> set[int]:
    """The positions of new values, among all results, whose old values the results are made of."""
    results = _results(program)
    own = [results[position] for position in _own(program)]
    read = {node.name for node in _read_by(node for node in own if isinstance(node, fx.Node))}
    return {
        position
        for position, (placeholder, _) in program.replaced.items()
        if placeholder in program.inputs and placeholder in read
    }


def _results(program: Program) -> list[Any]:
    return list(tree_leaves(program.nodes[-1].args))


def _own(program: Program) -> Iterator[int]:
    return (position for position, own in enumerate(program.returned) if own)


def _read_by(returned: Iterable[fx.Node]) -> set[fx.Node]:
    """The nodes whose numbers the returned ones are computed from."""
    read: set[fx.Node] = set()
    waiting = list(returned)
    while waiting:
        node = waiting.pop()
        if node not in read:
            read.add(node)
            waiting.extend(_sources(node))
    return read


def _sources(node: fx.Node) -> Iterator[fx.Node]:
    name = op_name(node) if node.op == "call_function" else ""
    without_first = name in SHAPE_ONLY or (name in _OVERWRITES and _overwrites_all(node))
    arguments = node.args[1:] if without_first else node.args
    leaves = tree_leaves((arguments, node.kwargs))
    return (leaf for leaf in leaves if isinstance(leaf, fx.Node))


def _overwrites_all(node: fx.Node) -> bool:
    old, new = node.args[:2]
    if op_name(node) == "copy":
        return True
    return _entries(old) == _entries(new) is not None


def _entries(argument: object) -> int | None:
    value = argument.meta.get("val") if isinstance(argument, fx.Node) else None
    return value.numel() if isinstance(value, torch.Tensor) else None
