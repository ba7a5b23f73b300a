"""The layers of torch.nn that hold other layers, recurrences or attention."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from peers.zoo.network import Network

Made = tuple[nn.Module, torch.Tensor]


class _Alike(nn.Module):
    """A layer of several sequences, given the same one for each."""

    def __init__(self, layer: nn.Module, times: int, **fixed: Any) -> None:
        super().__init__()
        self.layer, self.times, self.fixed = layer, times, fixed

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(*[x] * self.times, **self.fixed)


class _Causal(nn.Module):
    """A layer whose positions see those before them."""

    def __init__(self, layer: nn.Module, times: int, mask: str, flag: str) -> None:
        super().__init__()
        self.layer, self.times, self.mask, self.flag = layer, times, mask, flag

    def forward(self, x: torch.Tensor) -> Any:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.layer(*[x] * self.times, **{self.mask: mask, self.flag: True})


def _sequence(layer: Callable[[], nn.Module]) -> Made:
    return layer(), torch.randn(2, 7, 32)


def _image(layer: Callable[[], nn.Module]) -> Made:
    return layer(), torch.randn(1, 3, 32, 32)


def _encoder(activation: str = "relu", **more: Any) -> nn.Module:
    layer = nn.TransformerEncoderLayer(32, 4, 64, 0.1, activation, batch_first=True, **more)
    return nn.TransformerEncoder(layer, 2)


def _decoder(activation: str = "relu", **more: Any) -> nn.Module:
    layer = nn.TransformerDecoderLayer(32, 4, 64, 0.1, activation, batch_first=True, **more)
    return nn.TransformerDecoder(layer, 2)


def _attention() -> nn.Module:
    return nn.MultiheadAttention(32, 4, batch_first=True)


_SEQUENCES: dict[str, Callable[[], nn.Module]] = {
    "LSTM": lambda: nn.LSTM(32, 24, 2, batch_first=True),
    "LSTM, both ways": lambda: nn.LSTM(32, 24, bidirectional=True),
    "LSTM, projected": lambda: nn.LSTM(32, 24, proj_size=8),
    "GRU": lambda: nn.GRU(32, 24, 2, batch_first=True),
    "GRU, both ways": lambda: nn.GRU(32, 24, bidirectional=True),
    "RNN": lambda: nn.RNN(32, 24),
    "RNN, relu": lambda: nn.RNN(32, 24, nonlinearity="relu"),
    "TransformerEncoder": _encoder,
    "TransformerEncoder, gelu": lambda: _encoder("gelu", norm_first=True),
    "TransformerEncoder, causal": lambda: _Causal(_encoder("gelu"), 1, "mask", "is_causal"),
    "TransformerDecoder": lambda: _Alike(_decoder(), 2),
    "TransformerDecoder, gelu": lambda: _Alike(_decoder("gelu", norm_first=True), 2),
    "TransformerDecoder, causal": lambda: _Causal(_decoder(), 2, "tgt_mask", "tgt_is_causal"),
    "Transformer": lambda: _Alike(nn.Transformer(32, 4, 1, 1, 64, batch_first=True), 2),
    "MultiheadAttention": lambda: _Alike(_attention(), 3),
    "MultiheadAttention, causal": lambda: _Causal(_attention(), 3, "attn_mask", "is_causal"),
    "GELU": lambda: nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)),
    "RMSNorm": lambda: nn.Sequential(nn.Linear(32, 64), nn.RMSNorm(64), nn.Hardswish()),
}

_IMAGES: dict[str, Callable[[], nn.Module]] = {
    "GroupNorm": lambda: nn.Sequential(nn.Conv2d(3, 32, 3), nn.GroupNorm(8, 32), nn.SiLU()),
    "InstanceNorm2d": lambda: nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.InstanceNorm2d(32, affine=True), nn.Mish()
    ),
    "ConvTranspose2d": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ELU(), nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.PixelShuffle(2)
    ),
    "Upsample, bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "Upsample, bicubic": lambda: nn.Upsample(scale_factor=2, mode="bicubic"),
    "Fold": lambda: nn.Sequential(nn.Unfold(4, 1, 1, 2), nn.Fold((32, 32), 4, 1, 1, 2)),
}


def networks() -> list[Network]:
    return [
        *(Network(f"torch.nn {n}", partial(_sequence, make)) for n, make in _SEQUENCES.items()),
        *(Network(f"torch.nn {n}", partial(_image, make)) for n, make in _IMAGES.items()),
    ]
