"""Dropout in a module: a graph of evaluation keeps no trace of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import unwrap
from typing import Any

from torch import fx, nn


@contextmanager
def called_droppers(module: nn.Module) -> Iterator[set[nn.Module]]:
    """The parts that drop in training by a number of their own, as they are called meanwhile."""
    called: set[nn.Module] = set()

    def see(part: nn.Module, _: object) -> None:
        called.add(part)

    hooks = [part.register_forward_pre_hook(see) for part in module.modules() if _drops(part)]
    try:
        yield called
    finally:
        for hook in hooks:
            hook.remove()


def _drops(part: nn.Module) -> bool:
    """Whether `forward` reads `training` and a likelihood: libraries have `p`, `drop_prob`, …

    Layers of recurrent parts are known by their ops, for a single one drops nothing.
    """
    code = getattr(unwrap(part.forward), "__code__", None)
    if code is None or "training" not in code.co_names or isinstance(part, nn.RNNBase):
        return False
    read = (name for name in code.co_names if name == "p" or "drop" in name)
    return any(_is_likelihood(getattr(part, name, None)) for name in read)


def drops_by_op(exported: Any) -> bool:
    """Whether an op of a program that is not yet decomposed would drop in training."""
    graphs = (part.graph for part in exported.graph_module.modules() if hasattr(part, "graph"))
    return any(_would_drop(node) for graph in graphs for node in graph.nodes)


def _would_drop(node: fx.Node) -> bool:
    schema: Any = getattr(node.target, "_schema", None)
    names = [] if schema is None else [argument.name for argument in schema.arguments]
    if "train" not in names:
        return False
    given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    single = given.get("num_layers") == 1
    return not single and _is_likelihood(given.get("p", given.get("dropout")))


def _is_likelihood(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and 0 < number <= 1
