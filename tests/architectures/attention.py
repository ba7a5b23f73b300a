"""Networks of tokens, and of images as tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from architectures.table import GELU, IMAGE, TOKENS, Lambda, Plus, architecture


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
