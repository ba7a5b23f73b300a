"""A file of another kind than a command takes: what it is, and which command takes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hatch_irpytorch.errors import IRPyTorchError, Place, fail


class Kind(NamedTuple):
    """What files with some endings are, the command that takes them, and how it is called."""

    endings: tuple[str, ...]
    name: str
    command: str
    remedy: str


KINDS = (
    Kind((".json",), "JSON", "emit", "`irpytorch emit` takes a graph in JSON"),
    Kind((".yaml", ".yml"), "a manifest", "regen", "`irpytorch regen` makes what manifests name"),
    Kind((".onnx",), "an ONNX file", "import-onnx", "`irpytorch import-onnx` takes it"),
    Kind((".py",), "Python source", "capture", "`irpytorch capture MODULE:FACTORY` takes a module"),
    Kind(
        (".safetensors", ".npz", ".npy"),
        "a file of numbers",
        "",
        "give the graph, and this with `--params`",
    ),
    Kind(
        (".pt", ".pth", ".pt2", ".ckpt", ".bin", ".pkl"),
        "a file of PyTorch, which is not read",
        "",
        "load it in Python, and give the module to `irpytorch capture`",
    ),
)


def kind_of(path: Path) -> Kind | None:
    """The kind that a file's ending stands for."""
    ending = path.suffix.lower()
    return next((kind for kind in KINDS if ending in kind.endings), None)


@contextmanager
def told_by_kind(path: Path, command: str) -> Iterator[None]:
    """Where a file that is there cannot be read, and its name says why, say that instead."""
    try:
        yield
    except IRPyTorchError as error:
        kind = kind_of(path)
        first = error.problems[0]
        unread = first.code in ("bad-json", "bad-encoding", "bad-format", "capture-failed")
        if kind is None or kind.command == command or not unread:
            raise
        message = f"this is {kind.name}"
        raise fail("bad-format", Place(path.as_posix()), message, kind.remedy) from error
