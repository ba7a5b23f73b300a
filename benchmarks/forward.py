"""Forward passes: beside modules written by hand, fused, their memory, and the reference."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.inputs import chain, skips
from benchmarks.measure import ROOT, Row, in_child, paired, repeated, row_of, turns
from hatch_irpytorch import EmitOptions, Model, emit_module, evaluate
from hatch_irpytorch.capture import from_torch
from hatch_irpytorch.ir.read import build_model


class Block(nn.Module):
    """A transformer block, pre-norm, as it is written by hand."""

    def __init__(self, width: int, heads: int, *, gelu: bool = False, plain: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.gelu = gelu
        self.plain = plain
        self.norm1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(x)
        q, k, v = (self._split(layer(y)) for layer in (self.query, self.key, self.value))
        if self.plain:
            scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
            mixed = torch.softmax(scores, dim=-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
        hidden = self.up(self.norm2(x))
        hidden = F.gelu(hidden, approximate="tanh") if self.gelu else torch.relu(hidden)
        result: torch.Tensor = x + self.down(hidden)
        return result

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        return x.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)


def _mlp() -> nn.Module:
    layers = (nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    return nn.Sequential(*layers)


class Convolutions(nn.Module):
    """Two convolutions with batch norm and pooling, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(32)
        self.pool = nn.MaxPool2d(2)
        self.out = nn.Linear(32 * 7 * 7, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.norm1(self.conv1(x))))
        x = self.pool(torch.relu(self.norm2(self.conv2(x))))
        logits: torch.Tensor = self.out(torch.flatten(x, 1))
        return logits


def _transformer() -> nn.Module:
    return nn.Sequential(Block(64, 4), Block(64, 4))


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "MLP": (_mlp, (784,)),
    "CNN": (Convolutions, (1, 28, 28)),
    "transformer": (_transformer, (32, 64)),
}


def generated(model: Model, **options: Any) -> nn.Module:
    """The module of a model, in eval mode."""
    scope: dict[str, Any] = {}
    emitted = emit_module(model, EmitOptions(inline_limit=10**9, **options))
    exec(compile(emitted.source, "generated.py", "exec"), scope)
    module: nn.Module = scope["ExportedIRModel"]()
    return module.eval()


def eager() -> list[Row]:
    """Generated modules beside those written by hand."""
    cases = [Case(*case) for case in product(NETS, (1, 64), (1, 2))]
    return _rows(cases, {}, "")


KEEPING = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(2**32))
"""What has glibc keep memory that is freed. As it comes it gives large buffers back to the kernel,
whose pages cost a pass up to a third of its time, more or less by where a buffer happens to end."""


def keeping_memory() -> list[Row]:
    """The passes with large buffers again, in processes that keep freed memory."""
    cases = [Case(*case) for case in product(NETS, (64,), (1, 2), (False, True))]
    return _rows(cases, KEEPING, ", freed memory kept")


class Case(NamedTuple):
    """A network, its batch, and how it is run."""

    name: str
    batch: int
    threads: int
    fuse: bool = False


_PROCESSES = 9
"""In one process a net may be slower than its twin in every pass, by where its buffers lie."""

_PAIRS = """
import json, sys
from benchmarks import forward
cases = [forward.Case(*case) for case in json.loads(sys.argv[2])]
pairs = [pair for case in cases for pair in getattr(forward, sys.argv[1])(case)]
print(*[figure for pair in pairs for figure in pair])
"""


def any_batch() -> list[Row]:
    """Modules of any batch size, captured with one sample, beside those declared at the size."""
    cases = [Case(*case) for case in product(NETS, (64,), (1, 2))]
    found = _pairs("pairs_beside_fixed", cases, KEEPING)
    return [
        row_of(f"any batch: {_step(case)}", "the module declared at 64", pairs, "≤ 1.05")
        for case, pairs in zip(cases, found, strict=True)
    ]


def _rows(cases: list[Case], variables: Mapping[str, str], how: str) -> list[Row]:
    """A row for each case beside the module written by hand."""
    found = _pairs("pairs_beside_by_hand", cases, variables)
    rows = []
    for case, pairs in zip(cases, found, strict=True):
        step = f"{_step(case)}{how}{', `fuse: true`' if case.fuse else ''}"
        reach = "" if case.fuse else "≤ 1.00"
        rows.append(row_of(step, "the module written by hand", pairs, reach))
    return rows


def _step(case: Case) -> str:
    count = "1 thread" if case.threads == 1 else f"{case.threads} threads"
    return f"{case.name}, batch {case.batch}, {count}"


def _pairs(
    function: str, cases: list[Case], variables: Mapping[str, str]
) -> list[list[tuple[float, float]]]:
    """What a function of this module gives for each case, from several processes."""
    chosen = json.dumps(cases)
    runs = [in_child(_PAIRS, function, chosen, variables=variables) for _ in range(_PROCESSES)]
    by_case = np.array(runs).reshape(_PROCESSES, len(cases), -1, 2).swapaxes(0, 1)
    return [[(a, b) for a, b in figures.reshape(-1, 2).tolist()] for figures in by_case]


def pairs_beside_by_hand(case: Case) -> list[tuple[float, float]]:
    """Seconds of a pass of a generated module and of the one written by hand, some times."""
    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    make, shape = NETS[case.name]
    net, x = make().eval(), torch.randn(case.batch, *shape)
    ours = generated(from_torch(net, x), fuse=case.fuse)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), net(x), rtol=1e-4, atol=1e-4)
        return turns(_on(ours, x), _on(net, x), 3)


def pairs_beside_fixed(case: Case) -> list[tuple[float, float]]:
    """Seconds of a pass of a module with a free batch and of one declared at its size."""
    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    make, shape = NETS[case.name]
    net, x = make().eval(), torch.randn(case.batch, *shape)
    free = generated(from_torch(net, x[:1]), batch="free")
    fixed = generated(from_torch(net, x), batch="fixed")
    with torch.no_grad():
        torch.testing.assert_close(free(x), fixed(x), rtol=1e-4, atol=1e-4)
        return turns(_on(free, x), _on(fixed, x), 3)


def fused() -> list[Row]:
    """`fuse: true` beside one node a line, on a block with 1,024 tokens; and plain by hand."""
    torch.set_num_threads(2)
    rows = [row for gelu in (False, True) for row in _block(gelu)]
    torch.manual_seed(0)
    x = torch.randn(64, 1, 28, 28)
    model = from_torch(Convolutions().eval(), x)
    plain, fast = generated(model), generated(model, fuse=True)
    with torch.no_grad():
        pair = _on(fast, x), _on(plain, x)
        rows.append(paired("`fuse: true`, CNN, batch 64", "one node a line", *pair, ""))
    return rows


def _block(gelu: bool) -> list[Row]:
    torch.manual_seed(0)
    x = torch.randn(1, 1_024, 256)
    net = Block(256, 8, gelu=gelu).eval()
    by_hand = Block(256, 8, gelu=gelu, plain=True).eval()
    by_hand.load_state_dict(net.state_dict())
    model = from_torch(net, x)
    plain, fast = generated(model), generated(model, fuse=True)
    name = f"transformer block of 1,024 tokens, {'GELU' if gelu else 'ReLU'}"
    with torch.no_grad():
        torch.testing.assert_close(fast(x), plain(x), rtol=1e-5, atol=1e-5)
        one, two, three, four = (_on(module, x) for module in (fast, plain, net, by_hand))
        hand = "by hand, with `F.scaled_dot_product_attention`"
        return [
            paired(f"`fuse: true`, {name}", "one node a line", one, two, "≤ 0.85"),
            paired(f"`fuse: true`, {name}", hand, one, three, ""),
            paired(f"one node a line, {name}", "by hand, by softmax", two, four, ""),
        ]


def _on(module: nn.Module, x: torch.Tensor) -> Callable[[], float]:
    return repeated(lambda: module(x), 0.1)


def memory() -> list[Row]:
    """The peak of a forward pass of 1,000 nodes of 1 MB beside `torch.fx` code."""
    sys.path.insert(0, str(ROOT / "tests"))
    from held_memory import peak_of

    x = torch.rand(2**18)

    def peak(module: nn.Module) -> Callable[[], float]:
        return lambda: float(peak_of(module, x))

    rows = []
    for name, make in (("chain", chain), ("skip connections", skips)):
        value = make(1_000, [2**18])
        ours = generated(build_model(json.dumps(value).encode(), "graph"), training_skeleton=False)
        pair = peak(ours), peak(torch.fx.symbolic_trace(ours))
        step = f"peak memory of a forward pass, 1,000 nodes of 1 MB, {name}"
        beside = "`torch.fx` code, which frees dead values"
        rows.append(paired(step, beside, *pair, "≤ 1.00", rounds=2, unit="MB"))
    return rows


def reference() -> list[Row]:
    """The NumPy reference in float64 beside PyTorch eager in float32."""
    torch.set_num_threads(2)
    rows = []
    for name, (make, shape) in NETS.items():
        torch.manual_seed(0)
        x = torch.randn(16, *shape)
        model = from_torch(make().eval(), x)
        with torch.no_grad():
            pair = _evaluation(model, x.numpy().astype(np.float64)), _on(generated(model), x)
            step = f"the reference, {name}, batch 16"
            rows.append(paired(step, "PyTorch eager, float32", *pair, "≤ 10"))
    return rows


def _evaluation(model: Model, x: Any) -> Callable[[], float]:
    return repeated(lambda: evaluate(model, x), 0.1)


def sample(folder: Path) -> tuple[nn.Module, torch.Tensor, Model]:
    """The network that is given to the peers."""
    torch.manual_seed(0)
    net, x = Convolutions().eval(), torch.randn(1, 1, 28, 28)
    return net, x, from_torch(net, x)
