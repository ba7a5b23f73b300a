"""What files of ours say of themselves. Reading a mark needs no NumPy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256

WEIGHTS_KEY = "hatch-irpytorch"
"""The one key in the metadata of a weight file; several would be written in random order."""

GENERATED, CAPTURED, EXPORTED, TRAINED = "generated", "captured", "exported", "trained"
"""How its value starts: only what was generated may be made again over it."""


def weights_mark(maker: str, graph_digest: str, tensors_digest: str = "") -> str:
    """The value of the key: who made the file, and the graph that its tensors belong to.

    With the digest of the tensors the file says itself whether they were changed since.
    """
    tensors = f"; tensors {tensors_digest}" if tensors_digest else ""
    return f"{maker}; graph {graph_digest}{tensors}"


def marked_graph(mark: str) -> str:
    """The digest of the graph that a mark names, or an empty string."""
    return mark.partition("; graph ")[2].partition(";")[0]


def marked_tensors(mark: str) -> str:
    """The digest of the tensors that a mark names, or an empty string."""
    return mark.partition("; tensors ")[2]


def tensors_digest(entries: Mapping[str, object], pieces: Iterable[bytes]) -> str:
    """The digest of a weight file's tensors: of what its header says of them and of their bytes."""
    found = sha256(json.dumps(dict(entries), sort_keys=True).encode("ascii"))
    for piece in pieces:
        found.update(piece)
    return f"sha256:{found.hexdigest()}"
