"""Whether the module that a graph came from treats the rows of a larger batch alike.

A graph of one sample does not show what the module does to several: of one row, a flip of the batch
or its first row is the row itself. So the module is run on a batch twice as large.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hatch_irpytorch.axes.free import free_model
from hatch_irpytorch.axes.rows import from_rows, rows
from hatch_irpytorch.capture.pytorch.again import agree, outputs_of
from hatch_irpytorch.capture.pytorch.program import in_eval_mode
from hatch_irpytorch.ir.graph import Model

_CLOSE = 1e-3


def mixes_rows(module: nn.Module, example: torch.Tensor, model: Model) -> bool | None:
    """Whether samples meet in a captured module, although its graph would leave the batch free.

    None where nothing was compared: the batch is fixed, or the module takes no larger one.
    """
    free = free_model(model, "auto")
    if free.shapes is None:
        return None
    other = _another(example, model.graph.integers)
    try:
        with in_eval_mode(module), torch.no_grad():
            single = [outputs_of(module(x.clone())) for x in (example, other)]
            both = outputs_of(module(torch.cat([example, other])))
    except Exception:
        return None
    shapes = free.output_shapes
    if not len(both) == len(single[0]) == len(single[1]) == len(shapes):
        return None
    for found, first, second, shape in zip(both, *single, shapes, strict=True):
        wanted = from_rows(np.concatenate([rows(first, shape), rows(second, shape)]), shape)
        if not agree(found, wanted, _CLOSE):
            return True
    return False


def _another(example: torch.Tensor, integers: int | None) -> torch.Tensor:
    """An input whose numbers differ from those of an example."""
    places = torch.arange(example.numel()).reshape(example.shape)
    if integers is not None:
        return ((example + 1 + places) % integers).to(example.dtype)
    return (0.5 * example + torch.sin(places) ** 2).to(example.dtype)
