"""Networks of torchvision with random weights: images, segmentation, videos, optical flow."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from peers.zoo import lists
from peers.zoo.network import Network

_SIZES = {"inception_v3": 128, "maxvit_t": 224, "vit_b_32": 224}
"""How large an image is, where 96 is not enough."""


class _Flow(nn.Module):
    """An estimator of flow, given two images as the channels of one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> Any:
        return self.inner(x[:, :3], x[:, 3:], num_flow_updates=2)


def _made(name: str, shape: tuple[int, ...], **options: Any) -> tuple[nn.Module, torch.Tensor]:
    from torchvision.models import get_model

    return get_model(name, weights=None, **options), torch.randn(shape)


def _flow(name: str) -> tuple[nn.Module, torch.Tensor]:
    module, x = _made(name, (1, 6, 128, 128))
    return _Flow(module), x


def networks() -> list[Network]:
    names = lists.networks()["torchvision"]
    found = []
    for name in names["images"]:
        size = _SIZES.get(name, 96)
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        found.append((name, partial(_made, name, (1, 3, size, size), **options)))
    for name in names["segmentation"]:
        found.append((name, partial(_made, name, (1, 3, 96, 96), weights_backbone=None)))
    for name, (frames, size) in names["videos"].items():
        found.append((name, partial(_made, name, (1, 3, frames, size, size))))
    for name in names["flow"]:
        found.append((name, partial(_flow, name)))
    return [Network(f"torchvision {name}", make) for name, make in found]
