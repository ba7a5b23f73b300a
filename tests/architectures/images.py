"""Networks of images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from architectures.table import GELU, IMAGE, Plus, architecture, conv, head


@architecture(2, 10)
def perceptron() -> nn.Module:
    return nn.Sequential(
        nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 4)
    )


@architecture(3, 8)
def activations() -> nn.Module:
    kinds = [
        nn.ELU(),
        nn.SELU(),
        nn.CELU(0.7),
        nn.Mish(),
        nn.Softsign(),
        nn.Hardtanh(),
        nn.LogSigmoid(),
    ]
    layers = [layer for kind in kinds for layer in (nn.Linear(8, 8), kind)]
    return nn.Sequential(*layers, nn.PReLU(8), nn.LogSoftmax(dim=-1))


@architecture(1, 1, 28, 28)
def lenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )


@architecture(1, 3, 32, 32)
def alexnet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.LocalResponseNorm(3)),
        *(nn.MaxPool2d(3, 2), nn.Conv2d(8, 16, 5, padding=2, groups=2), nn.ReLU()),
        *(nn.MaxPool2d(3, 2), nn.Flatten(), nn.Dropout(), nn.Linear(144, 10)),
    )


@architecture(*IMAGE)
def vgg() -> nn.Module:
    return nn.Sequential(
        *(conv(3, 8), conv(8, 8), nn.MaxPool2d(2), conv(8, 16), conv(16, 16), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10)),
    )


class BasicBlock(nn.Module):
    def __init__(self, incoming: int, outgoing: int, stride: int) -> None:
        super().__init__()
        self.first = conv(incoming, outgoing, stride=stride)
        self.second = nn.Sequential(
            nn.Conv2d(outgoing, outgoing, 3, padding=1, bias=False), nn.BatchNorm2d(outgoing)
        )
        plain = stride == 1 and incoming == outgoing
        self.skip = nn.Identity() if plain else nn.Conv2d(incoming, outgoing, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + self.skip(x))


@architecture(*IMAGE)
def resnet() -> nn.Module:
    blocks = [BasicBlock(8, 8, 1), BasicBlock(8, 16, 2), BasicBlock(16, 16, 1)]
    return nn.Sequential(conv(3, 8), nn.MaxPool2d(3, 2, 1), *blocks, head(16))


@architecture(*IMAGE)
def resnet_bottleneck() -> nn.Module:
    def block() -> nn.Module:
        last = (nn.Conv2d(4, 16, 1), nn.BatchNorm2d(16))
        return nn.Sequential(Plus(conv(16, 4, 1), conv(4, 4), *last), nn.ReLU())

    return nn.Sequential(conv(3, 16), block(), block(), head(16))


@architecture(*IMAGE)
def resnet_preactivation() -> nn.Module:
    def block() -> nn.Module:
        return Plus(
            *(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)),
            *(nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(), nn.Conv2d(8, 8, 3, padding=1)),
        )

    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), block(), block(), nn.ReLU(), head(8))


@architecture(*IMAGE)
def resnext() -> nn.Module:
    block = Plus(conv(16, 16, 1), conv(16, 16, groups=4), nn.Conv2d(16, 16, 1))
    return nn.Sequential(conv(3, 16), block, nn.ReLU(), head(16))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, gate: nn.Module) -> None:
        super().__init__()
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, 4, 1),
            nn.ReLU(),
            nn.Conv2d(4, channels, 1),
            gate,
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale(x)


@architecture(*IMAGE)
def squeeze_excite() -> nn.Module:
    return nn.Sequential(conv(3, 8), Plus(conv(8, 8), SqueezeExcite(8, nn.Sigmoid())), head(8))


class DenseLayer(nn.Module):
    def __init__(self, incoming: int) -> None:
        super().__init__()
        self.grow = nn.Sequential(
            nn.BatchNorm2d(incoming), nn.ReLU(), nn.Conv2d(incoming, 4, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.grow(x)], dim=1)


@architecture(*IMAGE)
def densenet() -> nn.Module:
    dense = [DenseLayer(8), DenseLayer(12), DenseLayer(16)]
    return nn.Sequential(
        conv(3, 8), *dense, conv(20, 10, 1), nn.AvgPool2d(2), DenseLayer(10), head(14)
    )


@architecture(*IMAGE)
def mobilenet_v2() -> nn.Module:
    def inverted() -> nn.Module:
        return Plus(
            *(nn.Conv2d(8, 24, 1), nn.BatchNorm2d(24), nn.ReLU6()),
            *(nn.Conv2d(24, 24, 3, padding=1, groups=24), nn.BatchNorm2d(24), nn.ReLU6()),
            *(nn.Conv2d(24, 8, 1), nn.BatchNorm2d(8)),
        )

    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6(), inverted(), inverted(), head(8))


@architecture(*IMAGE)
def mobilenet_v3() -> nn.Module:
    block = Plus(
        *(nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16), nn.Hardswish()),
        *(nn.Conv2d(16, 16, 5, padding=2, groups=16), nn.BatchNorm2d(16), nn.Hardswish()),
        *(SqueezeExcite(16, nn.Hardsigmoid()), nn.Conv2d(16, 8, 1)),
    )
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish(), block, head(8))


@architecture(*IMAGE)
def efficientnet() -> nn.Module:
    block = Plus(
        *(nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16, eps=1e-3), nn.SiLU()),
        *(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.SiLU(), SqueezeExcite(16, nn.Sigmoid())),
        nn.Conv2d(16, 8, 1),
    )
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.SiLU(), block, head(8))


class ShuffleUnit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1, groups=4), conv(4, 4, 1)
        )
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        out: Tensor = self.shuffle(torch.cat([left, self.branch(right)], dim=1))
        return out


@architecture(*IMAGE)
def shufflenet() -> nn.Module:
    return nn.Sequential(conv(3, 8), ShuffleUnit(), ShuffleUnit(), head(8))


class Fire(nn.Module):
    def __init__(self, incoming: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(incoming, 4, 1)
        self.narrow = nn.Conv2d(4, 8, 1)
        self.wide = nn.Conv2d(4, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu()
        return torch.cat([self.narrow(x).relu(), self.wide(x).relu()], 1)


@architecture(*IMAGE)
def squeezenet() -> nn.Module:
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), pool, Fire(8), Fire(16), head(16))


class Inception(nn.Module):
    def __init__(self, incoming: int) -> None:
        super().__init__()
        pooled = nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), conv(incoming, 4, 1))
        tall = nn.Conv2d(incoming, 4, (3, 1), padding=(1, 0))
        self.branches = nn.ModuleList(
            [
                conv(incoming, 4, 1),
                conv(incoming, 4, 3),
                nn.Sequential(tall, nn.Conv2d(4, 4, (1, 3), padding=(0, 1))),
                pooled,
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


@architecture(*IMAGE)
def inception() -> nn.Module:
    return nn.Sequential(Inception(3), nn.MaxPool2d(2), Inception(16), head(16))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.bottom = conv(3, 8), conv(8, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.out = nn.Sequential(conv(16, 8), nn.Conv2d(8, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        y = self.up(self.bottom(functional.max_pool2d(skip, 2)))
        out: Tensor = self.out(torch.cat([skip, y], dim=1))
        return out


@architecture(*IMAGE)
def unet() -> nn.Module:
    return UNet()


class PyramidPooling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8)
        self.dilated = nn.ModuleList([nn.Conv2d(8, 4, 3, padding=d, dilation=d) for d in (1, 2, 3)])
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Conv2d(8, 4, 1))
        self.out = nn.Conv2d(16, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        whole = functional.interpolate(
            self.pooled(y), size=y.shape[-2:], mode="bilinear", align_corners=False
        )
        parts = [layer(y) for layer in self.dilated]
        return functional.interpolate(self.out(torch.cat([*parts, whole], 1)), scale_factor=2.0)


@architecture(*IMAGE)
def pyramid_pooling() -> nn.Module:
    return PyramidPooling()


@architecture(1, 3, 8, 8)
def super_resolution() -> nn.Module:
    return nn.Sequential(
        conv(3, 8), Plus(conv(8, 8)), nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2)
    )


@architecture(1, 3, 12, 12)
def style_transfer() -> nn.Module:
    return nn.Sequential(
        *(nn.ReflectionPad2d(3), nn.Conv2d(3, 8, 7), nn.InstanceNorm2d(8, affine=True), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, 2, 1), nn.InstanceNorm2d(8), nn.ReLU(), nn.Upsample(scale_factor=2)),
        *(nn.ReplicationPad2d(1), nn.Conv2d(8, 3, 3), nn.Tanh()),
    )


@architecture(2, 12)
def generator() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(12, 128), nn.Unflatten(1, (8, 4, 4)), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.ConvTranspose2d(4, 3, 3, 2, 1, output_padding=1), nn.Tanh()),
    )


@architecture(*IMAGE)
def discriminator() -> nn.Module:
    first = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 8, 4, 2, 1))
    last = nn.utils.parametrizations.spectral_norm(nn.Linear(512, 1))
    return nn.Sequential(first, nn.LeakyReLU(0.2), nn.Flatten(), last)


@architecture(2, 16)
def autoencoder() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 4), nn.Softplus(), nn.Linear(4, 16), nn.Sigmoid())


@architecture(*IMAGE)
def convolutional_autoencoder() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1), nn.ELU(), nn.Conv2d(8, 4, 3, 2, 1), nn.ELU()),
        *(nn.ConvTranspose2d(4, 8, 4, 2, 1), nn.ELU(), nn.ConvTranspose2d(8, 3, 2, 2)),
    )


class Variational(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(16, 8), nn.Linear(4, 16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encode(x).chunk(2, dim=-1)
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=-1)
        return torch.sigmoid(self.decode(mean)), mean, divergence


@architecture(3, 16)
def variational_autoencoder() -> nn.Module:
    return Variational()


class ConvNeXtBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm = nn.LayerNorm(8, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(8, 32), GELU, nn.Linear(32, 8))
        self.scale = nn.Parameter(torch.full((8,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.mlp(y)).permute(0, 3, 1, 2)


@architecture(*IMAGE)
def convnext() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 4, 4), ConvNeXtBlock(), ConvNeXtBlock(), head(8))
