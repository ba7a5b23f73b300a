"""From other programs to graphs: PyTorch modules and ONNX files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.errors import Place, fail

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hatch_irpytorch.ir.graph import Model

__all__ = ["from_onnx", "from_torch"]


def from_torch(module: torch.nn.Module, example: torch.Tensor) -> Model:
    """The graph of a module, in eval mode, for inputs like `example`, with its parameters.

    Notes of the model tell where a parameter was copied, or where something computed from
    parameters was stored. Raises `IRPyTorchError`: `capture-failed` when `torch.export` refuses
    the module, `inexpressible` for every op without a form, with the line of its source.
    """
    from hatch_irpytorch.capture.pytorch.convert import from_torch as convert

    return convert(module, example)


def from_onnx(
    path: str | Path,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    bind: Mapping[str, np.ndarray[Any, Any]] | None = None,
) -> Model:
    """The graph of an ONNX file with one real input; needs the extra `hatch-irpytorch[onnx]`.

    `shapes` are those of inputs whose file leaves extents open, which are 1 unless told;
    `bind` makes inputs into constants. Raises `IRPyTorchError`: `capture-failed` for a file that
    is not fit, `inexpressible` for every node without a form, by name and op, `too-large` for the
    first node that would make more than `capture.budget.budget_of` gives its file.
    """
    try:
        from hatch_irpytorch.capture.onnx.convert import from_onnx as convert
    except ImportError as error:
        message = f"reading ONNX files needs the package onnx: {error}"
        hint = "pip install onnx"
        raise fail("missing-onnx", Place(Path(path).as_posix()), message, hint) from None

    return convert(Path(path), shapes or {}, bind or {})
