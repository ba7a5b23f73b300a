"""ONNX ops of images that are read between entries, or put together from windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hatch_irpytorch.capture.builder import InexpressibleError, Value
from hatch_irpytorch.capture.layers.columns import fold
from hatch_irpytorch.capture.layers.sampling import Mode, Padding, sample
from hatch_irpytorch.capture.layers.windows import Geometry
from hatch_irpytorch.capture.onnx.tensors import Call

_MODES: dict[str, Mode] = {
    "bicubic": "cubic",
    "bilinear": "linear",
    "cubic": "cubic",
    "linear": "linear",
    "nearest": "nearest",
}
"""By both spellings: opset 20 has others than 16."""

_PADDINGS: dict[str, Padding] = {
    "border": "border",
    "reflection": "reflection",
    "zeros": "zeros",
}


def _grid_sample(c: Call) -> Value:
    mode = _MODES[c.get("mode", "linear")]
    padding = _PADDINGS[c.get("padding_mode", "zeros")]
    grid = np.asarray(c.array(1, "a grid"))
    return sample(c.b, c.x, grid, mode, padding, bool(c.get("align_corners", 0)))


def _col2im(c: Call) -> Value:
    sizes, kernel = c.ints(1, "a shape"), c.ints(2, "a shape")
    rank = len(sizes)
    pads = c.get("pads", [0] * (2 * rank))
    if len(pads) != 2 * rank or min(pads, default=0) < 0:
        raise InexpressibleError(f"padding of {list(pads)} where {2 * rank} amounts are needed")
    geometry = Geometry(
        tuple(c.get("strides", [1] * rank)),
        tuple(zip(pads[:rank], pads[rank:], strict=True)),
        tuple(c.get("dilations", [1] * rank)),
    )
    return fold(c.b, c.x, sizes, kernel, geometry)


OPS: dict[str, Callable[[Call], Any]] = {"Col2Im": _col2im, "GridSample": _grid_sample}
"""By op type."""
