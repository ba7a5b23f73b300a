"""The table of small networks, and the layers that many of them share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Architecture = tuple[Callable[[], nn.Module], tuple[int, ...]]
ARCHITECTURES: dict[str, Architecture] = {}

IMAGE = (1, 3, 16, 16)
TOKENS = (2, 6, 16)


def architecture(
    *shape: int,
) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    """Enter a function that builds a network into the table, with the shape of its input."""

    def enter(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        ARCHITECTURES[getattr(build, "__name__", "")] = build, shape
        return build

    return enter


def conv(
    incoming: int, outgoing: int, size: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution that keeps the extent, batch norm, relu."""
    padding = size // 2
    layer = nn.Conv2d(incoming, outgoing, size, stride, padding, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outgoing), nn.ReLU())


def head(channels: int, classes: int = 10) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class Plus(nn.Module):
    """x + inner(x)."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Lambda(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


GELU = nn.GELU(approximate="tanh")
