"""The nodes of a file that its outputs are computed with: no other is converted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx

from hatch_irpytorch.capture.onnx.scope import count_reads


def needed(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> dict[int, onnx.NodeProto]:
    """Those that an output depends on, by their position, in order."""
    wanted = set(outputs)
    found = {}
    for position in range(len(nodes) - 1, -1, -1):
        node = nodes[position]
        if not wanted.isdisjoint(node.output):
            wanted.update(count_reads([node], ()))
            found[position] = node
    return dict(sorted(found.items()))
