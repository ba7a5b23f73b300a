"""The small networks of `architectures`, made and captured once."""

from __future__ import annotations

from functools import cache

import torch
from architectures import ARCHITECTURES
from torch import nn

from hatch_irpytorch import Model
from hatch_irpytorch.capture import from_torch


@cache
def captured(name: str) -> tuple[nn.Module, torch.Tensor, Model]:
    build, shape = ARCHITECTURES[name]
    torch.manual_seed(0)
    module = build().eval()
    for buffer, values in module.named_buffers():
        if buffer.endswith("running_mean"):
            values.normal_()
        if buffer.endswith("running_var"):
            values.uniform_(0.5, 2.0)
    x = torch.randn(shape)
    return module, x, from_torch(module, x)
