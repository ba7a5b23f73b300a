"""Recurrent networks, sets, graphs, physics and others."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from architectures.table import TOKENS, Lambda, architecture


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
