"""ATen ops that read between entries, at places that are constant."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from hatch_irpytorch.capture.builder import Value
from hatch_irpytorch.capture.layers.products import matmul
from hatch_irpytorch.capture.pytorch.arguments import Handler
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor
from hatch_irpytorch.ir.shapes import numel

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def _grid_sample(
    c: Context,
    x: Tensor,
    grid: Tensor,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
) -> Value:
    """A product with the weights of all entries: what torch reads from images of one entry each.

    The nearest entry is looked for in the dtype of the grid: a place in the middle has one there.
    """
    b, y, mode = c.builder, c.value(x), _MODES[interpolation_mode]
    places = c.constant(grid, "a grid")
    places = places if mode == "nearest" else places.double()
    batch, channels, *spatial = y.shape
    cells, out = numel(tuple(spatial)), places.shape[1:-1]
    if bool((places == places[:1]).all()):
        places = places[:1]
    b.budget.spend_for_a_while(len(places) * cells * numel(tuple(out)))
    units = torch.eye(cells, dtype=places.dtype).reshape(1, cells, *spatial)
    weights = functional.grid_sample(
        units.expand(len(places), *units.shape[1:]),
        places,
        mode,
        _PADDINGS[padding_mode],
        align_corners,
    )
    matrix = weights.reshape(len(places), cells, numel(tuple(out))).double().numpy()
    factor = b.const(np.squeeze(matrix, 0) if len(matrix) == 1 else matrix)
    read = matmul(b, b.reshape(y, (batch, channels, cells)), factor)
    return b.reshape(read, (batch, channels, *out))


OPS: dict[str, Handler] = {"grid_sampler_2d": _grid_sample, "grid_sampler_3d": _grid_sample}
"""By the name of the ATen op, for all of its overloads."""
