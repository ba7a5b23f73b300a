"""Small networks of many kinds, to be captured: name to module and input shape.

Each is what its name says in miniature. Where the published network has the exact GELU, it has
the tanh form here, since the format has no error function.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

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


class VisionTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.position = nn.Parameter(torch.randn(1, 17, 16) * 0.02)
        # torch's fast path takes any `nn.GELU` for the exact one, so it gets a function.
        layer = nn.TransformerEncoderLayer(
            *(16, 4, 32), activation=lambda x: GELU(x), batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), tokens], dim=1) + self.position
        out: Tensor = self.head(self.encoder(tokens)[:, 0])
        return out


@architecture(*IMAGE)
def vision_transformer() -> nn.Module:
    return VisionTransformer()


class WindowAttention(nn.Module):
    """Attention in shifted windows of four, with a bias for relative positions."""

    index: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.bias = nn.Parameter(torch.randn(7, 2))
        grid = torch.arange(4)
        self.register_buffer("index", (grid[:, None] - grid[None, :] + 3).reshape(-1))

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        windows = torch.roll(x, -2, 1).reshape(batch * tokens // 4, 4, width)
        qkv = self.qkv(windows).reshape(-1, 4, 3, 2, 8).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        bias = self.bias[self.index].reshape(4, 4, 2).permute(2, 0, 1)
        weights = torch.softmax(q @ k.transpose(-2, -1) * 8**-0.5 + bias, dim=-1)
        y = self.out((weights @ v).transpose(1, 2).reshape(-1, 4, width))
        return x + torch.roll(y.reshape(batch, tokens, width), 2, 1)


@architecture(1, 8, 16)
def swin() -> nn.Module:
    return nn.Sequential(WindowAttention(), nn.LayerNorm(16), nn.Linear(16, 4))


class MixerBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(16), nn.LayerNorm(16)
        self.tokens = nn.Sequential(nn.Linear(6, 12), GELU, nn.Linear(12, 6))
        self.channels = nn.Sequential(nn.Linear(16, 32), GELU, nn.Linear(32, 16))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.first(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.second(x))


@architecture(*TOKENS)
def mlp_mixer() -> nn.Module:
    return nn.Sequential(
        MixerBlock(), MixerBlock(), Lambda(lambda x: x.mean(dim=1)), nn.Linear(16, 5)
    )


class GatedUnit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(8), nn.Conv1d(6, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        u, v = x.split(8, dim=-1)
        return u * self.mix(self.norm(v))


@architecture(*TOKENS)
def gated_mlp() -> nn.Module:
    return nn.Sequential(
        Plus(nn.LayerNorm(16), nn.Linear(16, 16), GELU, GatedUnit(), nn.Linear(8, 16))
    )


@architecture(*TOKENS)
def transformer_encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    return nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(16), enable_nested_tensor=False)


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out, weights = self.attention(x, x, x)
        return out, weights


@architecture(*TOKENS)
def multihead_attention() -> nn.Module:
    return SelfAttention()


class CausalBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(16), nn.LayerNorm(16, bias=False)
        self.qkv, self.out = nn.Linear(16, 48, bias=False), nn.Linear(16, 16)
        self.mlp = nn.Sequential(nn.Linear(16, 64), GELU, nn.Linear(64, 16))

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = (
            part.view(batch, tokens, 4, width // 4).transpose(1, 2)
            for part in self.qkv(self.first(x)).split(width, dim=2)
        )
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.mlp(self.second(x))


class LanguageModel(nn.Module):
    """A GPT over soft tokens whose output matrix is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(11, 16) * 0.1)
        self.position = nn.Embedding(6, 16)
        self.blocks = nn.Sequential(CausalBlock(), CausalBlock())

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.embedding + self.position(torch.arange(x.shape[1]))
        return functional.linear(self.blocks(y), self.embedding)


@architecture(1, 6, 11)
def gpt() -> nn.Module:
    return LanguageModel()


class Llama(nn.Module):
    """RMS norm, rotary embedding, grouped queries and a gated MLP."""

    cos: Tensor
    sin: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.last = nn.RMSNorm(16, eps=1e-6), nn.RMSNorm(16, eps=1e-6)
        self.q, self.kv = nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False)
        self.gate, self.up, self.down = nn.Linear(16, 24), nn.Linear(16, 24), nn.Linear(24, 16)
        angle = torch.arange(6)[:, None] * 10000 ** (-torch.arange(0, 4, 2) / 4)
        self.register_buffer("cos", angle.cos().repeat(1, 2))
        self.register_buffer("sin", angle.sin().repeat(1, 2))

    def rotated(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat([-second, first], dim=-1) * self.sin

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        y = self.norm(x)
        q = self.q(y).view(batch, tokens, 4, 4).transpose(1, 2)
        k, v = self.kv(y).view(batch, tokens, 4, 4).transpose(1, 2).split(2, dim=1)
        k, v = self.rotated(k).repeat_interleave(2, 1), v.repeat_interleave(2, 1)
        mask = torch.full((tokens, tokens), float("-inf")).triu(1)
        weights = torch.softmax(self.rotated(q) @ k.mT / 2.0 + mask, dim=-1)
        x = x + (weights @ v).transpose(1, 2).reshape(batch, tokens, width)
        y = self.last(x)
        out: Tensor = x + self.down(functional.silu(self.gate(y)) * self.up(y))
        return out


@architecture(*TOKENS)
def llama() -> nn.Module:
    return Llama()


class LinearAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        q, k = functional.elu(self.q(x)) + 1, functional.elu(self.k(x)) + 1
        state = torch.einsum("bnd,bne->bde", k, self.v(x))
        norm = torch.einsum("bnd,bd->bn", q, k.sum(dim=1)).unsqueeze(-1)
        return torch.einsum("bnd,bde->bne", q, state) / norm


@architecture(*TOKENS)
def linear_attention() -> nn.Module:
    return LinearAttention()


class First(nn.Module):
    """The outputs of a recurrent layer, without its last state."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)[0]
        return out


@architecture(*TOKENS)
def recurrent() -> nn.Module:
    return nn.Sequential(First(nn.RNN(16, 8, batch_first=True)), nn.Linear(8, 3))


@architecture(*TOKENS)
def lstm() -> nn.Module:
    return First(nn.LSTM(16, 8, num_layers=2, batch_first=True))


@architecture(*TOKENS)
def lstm_bidirectional() -> nn.Module:
    return nn.Sequential(
        First(nn.LSTM(16, 5, batch_first=True, bidirectional=True)), nn.Linear(10, 2)
    )


@architecture(*TOKENS)
def gru() -> nn.Module:
    return First(nn.GRU(16, 8, batch_first=True))


class UnrolledLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Linear(16 + 4, 16)

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(x.shape[0], 4)
        for t in range(x.shape[1]):
            i, f, g, o = self.gates(torch.cat([x[:, t], h], dim=1)).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return h


@architecture(*TOKENS)
def lstm_unrolled() -> nn.Module:
    return UnrolledLSTM()


class WaveNetLayer(nn.Module):
    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.filter, self.gate = (nn.Conv1d(4, 4, 2, dilation=dilation) for _ in range(2))
        self.out = nn.Conv1d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.pad(x, (self.dilation, 0))
        out: Tensor = x + self.out(torch.tanh(self.filter(y)) * torch.sigmoid(self.gate(y)))
        return out


@architecture(1, 1, 20)
def wavenet() -> nn.Module:
    layers = [WaveNetLayer(2**i) for i in range(4)]
    return nn.Sequential(nn.Conv1d(1, 4, 1), *layers, nn.ReLU(), nn.Conv1d(4, 8, 1))


@architecture(1, 4, 12)
def temporal_convolution() -> nn.Module:
    weighted = nn.utils.parametrizations.weight_norm
    return nn.Sequential(
        *(nn.ConstantPad1d((2, 0), 0.0), weighted(nn.Conv1d(4, 8, 3)), nn.ReLU()),
        *(nn.ConstantPad1d((4, 0), 0.0), weighted(nn.Conv1d(8, 4, 3, dilation=2)), nn.ReLU()),
    )


class Physics(nn.Module):
    """A field u(x, t) and the mean square of a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)
        )

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        x, t = points[:, :1], points[:, 1:]
        u = self.net(torch.cat([x, t], dim=1))
        source = torch.sin(math.pi * x) * torch.exp(-t)
        return u, ((u - source) ** 2).mean()


@architecture(5, 2)
def physics_informed() -> nn.Module:
    return Physics()


@architecture(5, 2)
def siren() -> nn.Module:
    wave = Lambda(lambda x: torch.sin(30.0 * x))
    inner = nn.Linear(8, 8)
    nn.init.uniform_(inner.weight, -((6 / 8) ** 0.5) / 30, (6 / 8) ** 0.5 / 30)
    return nn.Sequential(nn.Linear(2, 8), wave, inner, wave, nn.Linear(8, 3))


class FourierFeatures(nn.Module):
    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(2, 8))

    def forward(self, x: Tensor) -> Tensor:
        y = 2 * math.pi * x @ self.frequencies
        return torch.cat([y.sin(), y.cos()], dim=-1)


@architecture(5, 2)
def fourier_features() -> nn.Module:
    return nn.Sequential(FourierFeatures(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))


@architecture(2, 7, 3)
def deep_sets() -> nn.Module:
    inner = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8))
    return nn.Sequential(inner, Lambda(lambda x: x.sum(dim=1)), nn.Linear(8, 4))


@architecture(2, 3, 9)
def point_net() -> nn.Module:
    inner = nn.Sequential(nn.Conv1d(3, 8, 1), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 16, 1))
    return nn.Sequential(inner, Lambda(lambda x: x.amax(dim=-1)), nn.Linear(16, 4))


class GraphConvolution(nn.Module):
    adjacency: Tensor

    def __init__(self) -> None:
        super().__init__()
        near = (torch.rand(6, 6) < 0.4).float() + torch.eye(6)
        degree = near.sum(dim=1).rsqrt()
        self.register_buffer("adjacency", degree[:, None] * near * degree[None, :])
        self.first, self.second = nn.Linear(16, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.adjacency @ self.first(x))
        return functional.log_softmax(self.adjacency @ self.second(hidden), dim=-1)


@architecture(*TOKENS)
def graph_convolution() -> nn.Module:
    return GraphConvolution()


class SelectiveScan(nn.Module):
    """h[t] = a[t] h[t-1] + b[t] by cumulative sums of log a."""

    def __init__(self) -> None:
        super().__init__()
        self.decay, self.gate, self.out = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.near = nn.Conv1d(16, 16, 3, padding=2, groups=16)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.silu(self.near(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        total = torch.cumsum(-functional.softplus(self.decay(y)), dim=1)
        state = torch.exp(total) * torch.cumsum(y * torch.exp(-total), dim=1)
        out: Tensor = self.out(state * functional.silu(self.gate(x)))
        return out


@architecture(*TOKENS)
def selective_scan() -> nn.Module:
    return SelectiveScan()


class Highway(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.gate = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        return torch.lerp(x, functional.relu(self.inner(x)), torch.sigmoid(self.gate(x)))


@architecture(3, 16)
def highway() -> nn.Module:
    return nn.Sequential(Highway(), Highway(), nn.Linear(16, 3))


class NeuralOde(nn.Module):
    """Four steps of Runge and Kutta through one network."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            k1 = self.slope(x)
            k2 = self.slope(x + 0.05 * k1)
            x = x + 0.1 * k2
        return x


@architecture(3, 4)
def neural_ode() -> nn.Module:
    return NeuralOde()


class Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.tower(x[:, 0]), self.tower(x[:, 1])
        return functional.pairwise_distance(
            functional.normalize(left, dim=-1), functional.normalize(right, dim=-1)
        )


@architecture(3, 2, 8)
def siamese() -> nn.Module:
    return Siamese()


class Capsules(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 3, 16, 4) * 0.2)

    def forward(self, x: Tensor) -> Tensor:
        votes = torch.einsum("bni,ncio->bnco", x, self.weight)
        logits = votes.new_zeros(votes.shape[:3])
        for _ in range(2):
            s = (torch.softmax(logits, dim=2).unsqueeze(-1) * votes).sum(dim=1)
            squared = s.square().sum(dim=-1, keepdim=True)
            out = squared / (1 + squared) * s * torch.rsqrt(squared + 1e-8)
            logits = logits + (votes * out.unsqueeze(1)).sum(dim=-1)
        return torch.linalg.vector_norm(out, dim=-1)


@architecture(*TOKENS)
def capsules() -> nn.Module:
    return Capsules()


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(16, 3)
        self.experts = nn.ModuleList([nn.Linear(16, 8) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.gate(x), dim=-1)
        outs = torch.stack([expert(x) for expert in self.experts], dim=-2)
        return (weights.unsqueeze(-1) * outs).sum(dim=-2)


@architecture(4, 16)
def mixture_of_experts() -> nn.Module:
    return Experts()


class RadialBasis(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(7, 4))
        self.out = nn.Linear(7, 2)

    def forward(self, x: Tensor) -> Tensor:
        gaps = (x.unsqueeze(1) - self.centres).square().sum(dim=-1)
        out: Tensor = self.out(torch.exp(-gaps))
        return out


@architecture(3, 4)
def radial_basis() -> nn.Module:
    return RadialBasis()


class TextClassifier(nn.Module):
    """Fixed words beside a vector of features."""

    ids: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.register_buffer("ids", torch.tensor([3, 1, 4, 1, 5]))
        self.out = nn.Bilinear(8, 6, 4)

    def forward(self, x: Tensor) -> Tensor:
        words: Tensor = self.words(self.ids).mean(dim=0)
        out: Tensor = self.out(words.expand(x.shape[0], -1), x)
        return out


@architecture(2, 6)
def text_classifier() -> nn.Module:
    return TextClassifier()


@architecture(1, 2, 6, 8, 8)
def volumes() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv3d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool3d(2)),
        *(
            nn.Conv3d(4, 4, 3, padding="same"),
            nn.BatchNorm3d(4),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
        ),
    )


class Standardize(nn.Module):
    """Features by their own mean and deviation, clamped, with a learned power."""

    def forward(self, x: Tensor) -> Tensor:
        spread, mean = torch.std_mean(x, dim=(1, 2), keepdim=True)
        y = ((x - mean) / (spread + 1e-3)).clamp(-2.0, 2.0)
        return torch.flip(y.narrow(2, 1, 8), dims=(1,)).pow(3).neg().tril()


@architecture(*TOKENS)
def standardize() -> nn.Module:
    return Standardize()
