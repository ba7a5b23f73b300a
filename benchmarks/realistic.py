"""Networks of real sizes, from their graph to the written file, beside what PyTorch writes of them.

Weights are random: the time of text and of files does not depend on what they are.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import Row, in_child, row_of

_OURS = """
import sys, time
from pathlib import Path
from hatch_irpytorch import EmitOptions, emit_module
from hatch_irpytorch.garbage import collection_paused
from hatch_irpytorch.ir.read import read_model
graph, params, out = sys.argv[1:]
start = time.perf_counter()
with collection_paused():
    model = read_model(graph, params or None)
    made = emit_module(model, EmitOptions(weights="safetensors"), weights_file="made.safetensors")
    Path(out, "made.py").write_text(made.source)
    with open(Path(out, "made.safetensors"), "wb") as file:
        for piece in made.weights.pieces():
            file.write(piece)
print(time.perf_counter() - start)
"""
_THEIRS = """
import sys, time, torch
name, out = sys.argv[1:]
from benchmarks.realistic import NETWORKS
build, shape = NETWORKS[name]
program = torch.export.export(build().eval(), (torch.rand(shape),)).run_decompositions()
module = program.module(check_guards=False)
start = time.perf_counter()
torch.export.save(program, f"{out}/net.pt2")
saved = time.perf_counter()
module.to_folder(f"{out}/net")
print(saved - start, time.perf_counter() - saved)
"""
_ROUNDS = 3
_IN_JSON = ("ResNet-50",)
"""The text of the others has 1.8 GB: they are read from safetensors alone."""


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 beside a shortcut."""

    def __init__(self, incoming: int, width: int, stride: int) -> None:
        super().__init__()
        outgoing = 4 * width
        layers: list[nn.Module] = []
        for before, after, size, step in (
            (incoming, width, 1, 1),
            (width, width, 3, stride),
            (width, outgoing, 1, 1),
        ):
            layers += [nn.Conv2d(before, after, size, step, size // 2, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers[:-1])
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or incoming != outgoing:
            conv = nn.Conv2d(incoming, outgoing, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outgoing))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet50() -> nn.Module:
    """The network of 50 layers, 25.6 million weights."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, 1))
    incoming = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Bottleneck(incoming, width, stride if i == 0 else 1))
            incoming = 4 * width
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000)]
    return nn.Sequential(*layers, *pooled)


class Block(nn.Module):
    """Attention and a feed-forward net, each after a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        gelu = nn.GELU(approximate="tanh")
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), gelu, nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        split = (batch, tokens, self.heads, width // self.heads)
        parts = self.qkv(self.norm1(x)).chunk(3, -1)
        q, k, v = (part.reshape(split).transpose(1, 2) for part in parts)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(y.transpose(1, 2).reshape(x.shape))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class VisionTransformer(nn.Module):
    """ViT-B/16: patches of 16, 12 blocks of 768, 86 million weights."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 768, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, 768))
        self.places = nn.Parameter(torch.randn(1, 197, 768))
        self.blocks = nn.Sequential(*(Block(768, 12, causal=False) for _ in range(12)))
        self.norm, self.head = nn.LayerNorm(768), nn.Linear(768, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token, x], dim=1) + self.places
        out: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return out


def gpt() -> nn.Module:
    """12 blocks of 768 with a causal mask over 128 vectors, 85 million weights."""
    blocks = (Block(768, 12, causal=True) for _ in range(12))
    return nn.Sequential(*blocks, nn.LayerNorm(768))


NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "ResNet-50": (resnet50, (1, 3, 224, 224)),
    "ViT-B/16": (VisionTransformer, (1, 3, 224, 224)),
    "GPT, 12 layers": (gpt, (1, 128, 768)),
}


def real_sizes(folder: Path) -> list[Row]:
    """From the captured files, or JSON with all inside, to a module with its weight file."""
    from hatch_irpytorch.capture import from_torch
    from hatch_irpytorch.capture.files import write_captured
    from hatch_irpytorch.ir.write import document_text

    rows = []
    for name, (build, shape) in NETWORKS.items():
        torch.manual_seed(0)
        home = folder / name.split(",")[0].replace("/", "-").lower()
        home.mkdir()
        model = from_torch(build().eval(), torch.rand(shape))
        graph, params, _ = write_captured(model, home / "net", "Net", "float32")
        inputs = {"safetensors": (graph, str(params))}
        if name in _IN_JSON:
            whole = home / "whole.ir.json"
            whole.write_text(document_text(model.graph, model.params))
            inputs["JSON"] = (whole, "")
        del model
        found: list[list[float]] = []
        for _ in range(_ROUNDS):
            ours = [in_child(_OURS, str(path), by, str(home))[0] for path, by in inputs.values()]
            found.append([*ours, *in_child(_THEIRS, name, str(home))])
        for column, form in enumerate(inputs):
            step = f"{name}: from {form} to the module and its weight file"
            saved = [(times[column], times[-2]) for times in found]
            rows.append(row_of(step, "`torch.export.save`", saved, ""))
            written = [(times[column], times[-1]) for times in found]
            rows.append(row_of(step, "`to_folder` of the decomposed module", written, ""))
        shutil.rmtree(home)
    return rows
