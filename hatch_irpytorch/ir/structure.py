"""How the nodes of a graph hang together, noted while they are read or afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hatch_irpytorch.ir.graph import Node, Shape

    Ids = NDArray[np.int64]


class Structure:
    """The signatures and the uses of nodes, which may come a part at a time."""

    def __init__(self) -> None:
        self._found: list[int] = []
        self._first: list[Node] = []
        self._shapes: dict[Shape, int] = {}
        self._shape_of: list[int] = []
        self._known: dict[tuple[int, ...], int] = {}
        self._users: list[Ids] = []
        self._used: list[Ids] = []

    def add(self, nodes: Sequence[Node]) -> None:
        """Note the nodes that follow those so far."""
        self._add_signatures(nodes)
        self._add_uses(nodes)

    def _add_signatures(self, nodes: Sequence[Node]) -> None:
        shapes, of, known, first = self._shapes, self._shape_of, self._known, self._first
        of += [shapes.setdefault(node.shape, len(shapes)) for node in nodes]
        found = []
        for node, shape in zip(nodes, of[len(of) - len(nodes) :], strict=True):
            # Ops of the same attributes are one object, which its first node keeps alive.
            op, parents = id(node.op), node.parents
            if len(parents) == 1:
                form: tuple[int, ...] = (op, shape, of[parents[0]])
            else:
                form = (op, shape, *[of[parent] for parent in parents])
            signature = known.setdefault(form, len(known))
            if signature == len(first):
                first.append(node)
            found.append(signature)
        self._found += found

    def _add_uses(self, nodes: Sequence[Node]) -> None:
        import numpy as np

        parents = [node.parents for node in nodes]
        lengths = np.fromiter(map(len, parents), np.int64, len(parents))
        first = len(self._found) - len(nodes)
        self._users.append(np.repeat(np.arange(first, len(self._found)), lengths))
        used = chain.from_iterable(parents)
        self._used.append(np.fromiter(used, np.int64, len(self._users[-1])))

    @cached_property
    def signatures(self) -> tuple[int, ...]:
        """By node, the number of its signature: its op, the shapes of its parents and its own.

        Numbers are given in order of first use.
        """
        return tuple(self._found)

    @property
    def signature_nodes(self) -> tuple[Node, ...]:
        """The first node of each signature."""
        return tuple(self._first)

    @cached_property
    def signature_ids(self) -> Ids:
        """`signatures` as an array."""
        import numpy as np

        return np.array(self._found, dtype=np.int64)

    @cached_property
    def uses(self) -> tuple[Ids, Ids]:
        """Every use of a value as a parent: the users in order, and what they use."""
        import numpy as np

        return np.concatenate(self._users), np.concatenate(self._used)
