"""ATen ops that read between entries, at places that are constant."""

from __future__ import annotations

from hatch_irpytorch.capture.builder import Value
from hatch_irpytorch.capture.layers.sampling import Mode, Padding, sample
from hatch_irpytorch.capture.pytorch.arguments import Handler
from hatch_irpytorch.capture.pytorch.tensors import Context, Tensor

_MODES: tuple[Mode, ...] = ("linear", "nearest", "cubic")
_PADDINGS: tuple[Padding, ...] = ("zeros", "border", "reflection")


def _grid_sample(
    c: Context,
    x: Tensor,
    grid: Tensor,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
) -> Value:
    mode, padding = _MODES[interpolation_mode], _PADDINGS[padding_mode]
    places = c.constant(grid, "a grid").numpy()
    return sample(c.builder, c.value(x), places, mode, padding, align_corners)


OPS: dict[str, Handler] = {"grid_sampler_2d": _grid_sample, "grid_sampler_3d": _grid_sample}
"""By the name of the ATen op, for all of its overloads."""
