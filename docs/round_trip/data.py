"""The 8x8 digits of scikit-learn, and how well a module tells the held-out quarter."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


def split() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training images (n, 1, 1, 8, 8) and labels (n,), held-out images and labels."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16.0, labels, test_size=0.25, random_state=0)
    x, x_test, y, y_test = (torch.tensor(part) for part in parts)
    shape = (-1, 1, 1, 8, 8)
    return x.float().reshape(shape), y, x_test.float().reshape(shape), y_test


def logits(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The module sees one image (1, 1, 8, 8) at a time; vmap gives it many."""
    return torch.func.vmap(model)(x).squeeze(1)


def accuracy(model: nn.Module) -> float:
    _, _, x, y = split()
    with torch.no_grad():
        return float((logits(model, x).argmax(1) == y).float().mean())
