"""Networks of timm with random weights: from each of its families one, the smallest or nearly."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from peers.zoo import lists
from peers.zoo.network import Network

_SHALLOW = {"depth": 2, "embed_dim": 96, "num_heads": 4}
"""Transformers of equal layers are made of two."""

_EQUAL_LAYERS = (
    *("beit", "cait", "deepseek_vit", "deit", "eva02", "flexivit", "gemma4_vit", "naflexvit"),
    *("qwen3_vit", "samvit", "vit_"),
)
_OTHERS_WITHIN = ("_r_", "_r26", "mci", "resnet")
"""Names of transformers that stand on a network of another kind."""


def _made(name: str) -> tuple[nn.Module, torch.Tensor]:
    import timm

    config = timm.get_pretrained_cfg(name)
    channels, height, width = config.input_size if config else (3, 224, 224)
    if not (config and config.fixed_input_size):
        smallest = config.min_input_size[1] if config and config.min_input_size else 0
        height = width = min(height, max(96, smallest))
    shallow = name.startswith(_EQUAL_LAYERS) and not any(part in name for part in _OTHERS_WITHIN)
    try:
        module = timm.create_model(name, pretrained=False, **(_SHALLOW if shallow else {}))
    except (TypeError, RuntimeError, AssertionError):
        module = timm.create_model(name, pretrained=False)
    return module, torch.randn(1, channels, height, width)


def networks() -> list[Network]:
    return [Network(f"timm {name}", partial(_made, name)) for name in lists.networks()["timm"]]
