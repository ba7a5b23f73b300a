"""From other programs to graphs: PyTorch modules and ONNX files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.errors import Place, fail

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hatch_irpytorch.ir.graph import Model

__all__ = ["from_onnx", "from_torch"]


def from_torch(
    module: torch.nn.Module,
    example: torch.Tensor,
    *,
    tokens: int | None = None,
    parameter: str = "",
    bind: Mapping[str, np.ndarray[Any, Any]] | None = None,
    keep: Sequence[str] = (),
) -> Model:
    """The graph of a module, in eval mode, for inputs like `example`, with its parameters.

    With `tokens` the example holds whole numbers, and all inputs do, from 0 and below it. The
    example is for the one `parameter` of `forward` that is needed, or the first where none is;
    `bind` makes others into constants. `NAME.KEY` is an entry of a dict. `keep` names the outputs
    of the graph, by the keys, fields and positions where the module returns them; none means all.

    The model holds a copy of the parameters, which training changes no more. Its notes tell where
    one is held several times, or where something computed from parameters was stored. Raises
    `IRPyTorchError`: `capture-failed` when `torch.export` refuses the module, `inexpressible` for
    every op without a form, with the line of its source.
    """
    from hatch_irpytorch.capture.pytorch.convert import from_torch as convert

    model = convert(module, example, tokens=tokens, parameter=parameter, bind=bind, keep=keep)
    return replace(model, params={slot: array.copy() for slot, array in model.params.items()})


def from_onnx(
    path: str | Path,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    tokens: int | None = None,
    bind: Mapping[str, np.ndarray[Any, Any]] | None = None,
    keep: Sequence[str] = (),
) -> Model:
    """The graph of an ONNX file with one run-time input; needs the extra `hatch-irpytorch[onnx]`.

    `shapes` are those of inputs whose file leaves extents open, which are 1 unless told. The input
    holds reals or, with `tokens`, whole numbers from 0 and below it; `bind` makes others into
    constants. `keep` names the outputs of the graph; none means all.

    Raises `IRPyTorchError`: `capture-failed` for a file that is not fit, `inexpressible` for every
    node without a form, by name and op, `too-large` for the first node that would make more than
    `capture.budget.budget_of` gives its file.
    """
    try:
        from hatch_irpytorch.capture.onnx.convert import from_onnx as convert
    except ImportError as error:
        message = f"reading ONNX files needs the package onnx: {error}"
        hint = "pip install onnx"
        raise fail("missing-onnx", Place(Path(path).as_posix()), message, hint) from None

    return convert(Path(path), shapes or {}, bind or {}, tokens, keep)
