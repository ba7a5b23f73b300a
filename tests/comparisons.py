"""A small GPT, and modules compared with cases as `verify` compares them."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from documents import module
from torch import Tensor, nn
from torch.nn import functional

from hatch_irpytorch import EmitOptions, Model, emit_module
from hatch_irpytorch.build.golden import GoldenCase
from hatch_irpytorch.capture import from_torch
from hatch_irpytorch.manifest import Manifest, read_manifest
from hatch_irpytorch.verify.numbers import Limits, Output, Outputs, differences


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        parts = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        q, k, v = (y.reshape(n, t, self.heads, -1).transpose(1, 2) for y in parts)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(n, t, c))
        up = functional.gelu(self.up(self.norm2(x)), approximate="tanh")
        found: Tensor = x + self.down(up)
        return found


class GPT(nn.Module):
    """Two layers, with weights as large as training makes them."""

    def __init__(self, width: int, words: int, length: int, scale: float) -> None:
        super().__init__()
        self.embed = nn.Linear(words, width, bias=False)
        self.position = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.Sequential(Block(width, 4), Block(width, 4))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words, bias=False)
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.dim() == 2:
                    parameter.mul_(scale)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.norm(self.blocks(self.embed(x) + self.position)))
        return found


@cache
def gpt() -> tuple[nn.Module, Model]:
    torch.manual_seed(0)
    net = GPT(width=32, words=32, length=16, scale=3.0).eval()
    return net, from_torch(net, torch.zeros(1, 16, 32))


def outputs(net: nn.Module, x: np.ndarray, dtype: str) -> Outputs:
    with torch.no_grad():
        found = net(torch.tensor(x, dtype=getattr(torch, dtype)))
    tensors = found if isinstance(found, tuple) else (found,)
    return tuple(Output(str(y.dtype).removeprefix("torch."), y.double().numpy()) for y in tensors)


def compared(net: nn.Module, cases: tuple[GoldenCase, ...], limits: Limits) -> list[str]:
    found = [outputs(net, case.input, limits.dtype) for case in cases]
    return differences(found, cases, limits)


def manifest(text: str = "") -> Manifest:
    return read_manifest(f"ir: net.ir.json\n{text}".encode(), "models/net.yaml")


def generated(model: Model, **options: object) -> nn.Module:
    return module(emit_module(model, EmitOptions(**options)).source)  # type: ignore[arg-type]
