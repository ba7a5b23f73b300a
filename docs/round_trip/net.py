"""The network as somebody wrote it in PyTorch."""

import torch
from torch import nn


class Digits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.head = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.stem(x) * self.scale)
        y = nn.functional.max_pool2d(y, 2)
        logits: torch.Tensor = self.head(y.flatten(1))
        return logits
