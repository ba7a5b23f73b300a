"""Networks of the digits that are written in PyTorch and captured, with their batch of one."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Two convolutions around which the input is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(x + self.norm2(self.conv2(y)))


class DigitsResidual(nn.Module):
    """A residual network over (1, 1, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.block1 = Block(8)
        self.pool = nn.MaxPool2d(2)
        self.block2 = Block(8)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.block2(self.pool(self.block1(torch.relu(self.stem(x)))))
        logits: Tensor = self.head(y.mean(dim=(2, 3)))
        return logits


class DigitsGated(nn.Module):
    """Patches, a gated layer and a skip over (1, 1, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 16, 4, stride=2)
        self.gate = nn.Linear(144, 64)
        self.hidden = nn.Linear(32, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.silu(self.patches(x)).flatten(1)
        values, gates = self.gate(y).split(32, dim=1)
        y = values * torch.sigmoid(gates)
        y = y + torch.tanh(self.hidden(y))
        logits: Tensor = self.head(y)
        return logits
