"""Ops of PyTorch with arguments that are not their usual ones: one capture holds many."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from applied_functions import Applied, Function
from torch import Tensor
from torch.nn import functional

from hatch_irpytorch import evaluate
from hatch_irpytorch.capture import from_torch

SHAPE = (2, 4, 6, 5)


@cache
def numbers(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=generator) * 4.0).round() / 4.0


VECTOR, TABLE, CUBE = numbers(5), numbers(6, 5), numbers(4, 6, 5)
SQUARES = numbers(2, 4, 5, 3)
WEIGHT = numbers(3, 5)

ENTRIES: dict[str, Function] = {
    "addcdiv": lambda x: torch.addcdiv(x, TABLE, VECTOR.abs() + 1.0, value=0.5),
    "addcmul": lambda x: torch.addcmul(x, TABLE, VECTOR, value=-2.0),
    "add alpha": lambda x: torch.add(TABLE, x, alpha=3.0),
    "sub alpha": lambda x: torch.sub(TABLE, x, alpha=0.5),
    "rsub": lambda x: torch.rsub(x, 2.0, alpha=0.5),
    "celu": lambda x: functional.celu(x, 0.6),
    "clamp by tensors": lambda x: x.clamp(VECTOR - 1.0, VECTOR + 0.5),
    "clamp_max": lambda x: x.clamp_max(0.25),
    "clamp_min": lambda x: x.clamp_min(VECTOR),
    "elu": lambda x: functional.elu(x, 1.5),
    "exp2": torch.exp2,
    "expm1": torch.expm1,
    "glu": lambda x: functional.glu(x, -2),
    "glu of the channels": lambda x: functional.glu(x, 1),
    "hardsigmoid": functional.hardsigmoid,
    "hardtanh": lambda x: functional.hardtanh(x, -0.5, 0.75),
    "heaviside": lambda x: torch.heaviside(x, torch.tensor(0.25)),
    "lerp": lambda x: torch.lerp(x, TABLE, 0.3),
    "lerp by a tensor": lambda x: torch.lerp(TABLE, x, VECTOR),
    "log10": lambda x: torch.log10(x.abs() + 1.0),
    "log1p": lambda x: torch.log1p(x.abs()),
    "log2": lambda x: torch.log2(x.abs() + 0.5),
    "logaddexp": lambda x: torch.logaddexp(x, TABLE),
    "logit": lambda x: torch.logit(x.sigmoid(), 0.3),
    "logit without ends": lambda x: torch.logit(x.sigmoid() * 0.5 + 0.25),
    "masked_fill": lambda x: x.masked_fill(VECTOR > 0.0, -3.0),
    "masked_fill by numbers": lambda x: x.masked_fill(x > 0.5, torch.tensor(-3.0)),
    "mse": lambda x: functional.mse_loss(x, CUBE.expand(SHAPE)),
    "mse, a sum": lambda x: functional.mse_loss(x, CUBE.expand(SHAPE), reduction="sum"),
    "mse, each": lambda x: functional.mse_loss(x, CUBE.expand(SHAPE), reduction="none"),
    "prelu": lambda x: functional.prelu(x, numbers(4)),
    "prelu of three axes": lambda x: functional.prelu(x[:, 0, :4], numbers(6)[2:]),
    "relu6": lambda x: functional.relu6(x * 8.0),
    "selu": functional.selu,
    "softplus": lambda x: functional.softplus(x, 0.5, 30.0),
    "softshrink": lambda x: functional.softshrink(x, 0.3),
    "tan": lambda x: torch.tan(x.clamp(-1.0, 1.0)),
    "threshold": lambda x: functional.threshold(x, 0.25, -7.0),
    "tanhshrink": functional.tanhshrink,
    "where": lambda x: torch.where(TABLE > 0.0, x, VECTOR),
    "where of numbers": lambda x: torch.where(x > 0.25, TABLE, x),
    "any": lambda x: (x > 2.0).any(-1, keepdim=True).float(),
    "all": lambda x: (x > -2.0).all(2).float(),
    "xor": lambda x: torch.logical_xor(x, x > 0.5).float(),
    "hardshrink": lambda x: functional.hardshrink(x, 0.5),
}

MOVES: dict[str, Function] = {
    "as_strided": lambda x: x.as_strided((3, 4), (7, 2), 5),
    "channel_shuffle": lambda x: functional.channel_shuffle(x, 2),
    "chunk": lambda x: x.chunk(4, 2)[2],
    "diagonal": lambda x: x.diagonal(1, -2, -1),
    "diagonal below": lambda x: x.diagonal(-2, 3, 1),
    "expand": lambda x: x[:, :1].expand(3, 2, -1, 6, 5),
    "flip": lambda x: x.flip(-1, 1),
    "gather": lambda x: x.gather(2, torch.tensor([[[[0, 5], [3, 3]]] * 4] * 2)),
    "index": lambda x: x[:, torch.tensor([3, 0]), :, torch.tensor([-1, 2])],
    "index by a table": lambda x: x[:, :, torch.tensor([[0, 5], [-2, 1]])],
    "index by flags": lambda x: x[:, :, TABLE > 0.0],
    "index_select": lambda x: x.index_select(-2, torch.tensor([5, 0, 0])),
    "masked_select": lambda x: torch.masked_select(x, VECTOR > 0.0),
    "narrow": lambda x: x.narrow(2, -4, 3),
    "pixel_shuffle": lambda x: functional.pixel_shuffle(x, 2),
    "pixel_unshuffle": lambda x: functional.pixel_unshuffle(x[..., :4], 2),
    "repeat": lambda x: x[0, :2, 0].repeat(2, 1, 3),
    "repeat_interleave": lambda x: x.repeat_interleave(3, 1),
    "roll": lambda x: x.roll((1, -2), (3, 1)),
    "roll of all": lambda x: x.roll(7),
    "select": lambda x: x.select(-2, -2),
    "slice": lambda x: x[:, 1:, -5:-1:2],
    "split by sizes": lambda x: torch.split_with_sizes(x, [1, 3, 2], 2)[1],
    "squeeze": lambda x: x[:, :1, :, :1].squeeze((1, -1)),
    "stack": lambda x: torch.stack([x, CUBE.expand(SHAPE)], -2),
    "tril": lambda x: x.tril(-1),
    "triu": lambda x: x.triu(2),
    "unbind": lambda x: x.unbind(1)[2],
    "unflatten": lambda x: torch.unflatten(x, 2, (3, -1)),
    "unfold": lambda x: x.unfold(2, 3, 2),
    "constant pad": lambda x: functional.pad(x, (1, -2, 0, 3), value=0.5),
    "reflected": lambda x: functional.pad(x, (1, 2, 3, 0), "reflect"),
    "replicated": lambda x: functional.pad(x, (0, 2, 1, 0), "replicate"),
    "circular": lambda x: functional.pad(x, (1, 2, 0, 3), "circular"),
    "index_add": lambda x: x.index_add(2, torch.tensor([4, 0, 4]), SQUARES.transpose(2, 3)),
    "index_put": lambda x: x.index_put((torch.tensor([1, 0]), torch.tensor([3, 3])), TABLE),
    "index_put, added": lambda x: x.index_put(
        (torch.tensor([1, 1]), torch.tensor([3, 3])), TABLE, accumulate=True
    ),
    "scatter": lambda x: x.scatter(3, torch.tensor([[[[4], [0]]] * 4] * 2), 9.0),
    "select_scatter": lambda x: x.select_scatter(CUBE[:, 0].expand(2, 4, 5), 2, -1),
    "slice_scatter": lambda x: x.slice_scatter(CUBE[:, :2].expand(2, 4, 2, 5), 2, 1, 6, 3),
}

SUMS: dict[str, Function] = {
    "addmm": lambda x: torch.addmm(numbers(3), x[0, 0], WEIGHT.T, beta=0.5, alpha=2.0),
    "addmv": lambda x: torch.addmv(numbers(6), x[0, 0], VECTOR, beta=-1.0, alpha=0.5),
    "baddbmm": lambda x: torch.baddbmm(TABLE[:, :3], x[0], SQUARES[1], beta=2.0, alpha=-0.5),
    "amax": lambda x: x.amax((1, -1), keepdim=True),
    "amin": lambda x: x.amin((0, 2)),
    "argmax": lambda x: x.argmax(2, keepdim=True).float(),
    "argmax of all": lambda x: x.argmax().float(),
    "argmin": lambda x: x.argmin(-1).float(),
    "max": lambda x: x.max(2).values,
    "max, kept": lambda x: x.max(-1, keepdim=True)[0],
    "max of all": lambda x: x.max(),
    "max, where": lambda x: x.max(1).indices.float(),
    "min": lambda x: x.min(2, keepdim=True).values,
    "min, where": lambda x: x.min(1, keepdim=True).indices.float(),
    "min of two": lambda x: torch.min(x, TABLE),
    "cumprod": lambda x: x.cumprod(2),
    "cumsum": lambda x: x.cumsum(-2),
    "dot": lambda x: torch.dot(x[0, 1, 2], VECTOR),
    "logcumsumexp": lambda x: x.logcumsumexp(2),
    "logsumexp": lambda x: x.logsumexp((1, 3), keepdim=True),
    "log_softmax": lambda x: x.log_softmax(1),
    "mean": lambda x: x.mean((1, -1)),
    "mean of all": lambda x: x.mean(),
    "mv": lambda x: torch.mv(x[1, 1], VECTOR),
    "norm": lambda x: x.norm(3, dim=(1, 2)),
    "norm, kept": lambda x: x.norm(1, dim=2, keepdim=True),
    "outer": lambda x: torch.outer(x[0, 0, 0], numbers(3)),
    "prod": lambda x: x.prod(1, keepdim=True),
    "prod of all": lambda x: x[0, 0, 0].prod(),
    "softmin": lambda x: functional.softmin(x, 2),
    "std": lambda x: x.std(2, keepdim=True),
    "std of all": lambda x: x.std(),
    "sum of all": lambda x: x.sum(),
    "var": lambda x: x.var((0, 2), correction=2),
    "var of all": lambda x: x.var(False),
    "var_mean": lambda x: torch.var_mean(x, (1, 2), keepdim=True)[0],
    "var_mean, the mean": lambda x: torch.var_mean(x, 3)[1],
    "bilinear": lambda x: functional.bilinear(x[0, 0], TABLE, numbers(2, 5, 5), numbers(2)),
    "group_norm": lambda x: functional.group_norm(x, 2, numbers(4), numbers(4, seed=2), 0.1),
    "instance_norm": lambda x: functional.instance_norm(x, None, None, numbers(4), None, eps=0.2),
    "layer_norm": lambda x: functional.layer_norm(x, (6, 5), TABLE, None, 0.1),
    "rms_norm": lambda x: functional.rms_norm(x, (5,), VECTOR, 0.1),
    "batch_norm": lambda x: functional.batch_norm(
        x, numbers(4), numbers(4).abs(), numbers(4, seed=2), numbers(4, seed=3), eps=0.1
    ),
}


def kernel(*shape: int) -> Tensor:
    return numbers(*shape, seed=4)


WINDOWS: dict[str, Function] = {
    "conv1d": lambda x: functional.conv1d(x[:, :, 0], kernel(2, 4, 2), numbers(2), 2, 1, 2),
    "conv1d, same": lambda x: functional.conv1d(x[:, 0], kernel(6, 2, 3), None, 1, "same", 2, 3),
    "conv2d": lambda x: functional.conv2d(
        x, kernel(6, 2, 2, 3), numbers(6), (2, 1), (1, 2), (1, 2), 2
    ),
    "conv3d": lambda x: functional.conv3d(x[:, None], kernel(2, 1, 2, 3, 2), None, (1, 2, 1), 1),
    "conv_transpose1d": lambda x: functional.conv_transpose1d(
        x[:, :, 0], kernel(4, 2, 3), numbers(2), 2, 1, 1
    ),
    "conv_transpose2d": lambda x: functional.conv_transpose2d(
        x, kernel(4, 3, 2, 3), numbers(6), (2, 3), (1, 0), (1, 2), 2, (1, 2)
    ),
    "max_pool1d": lambda x: functional.max_pool1d(x[:, 0], 2, 2, 1, ceil_mode=True),
    "max_pool2d": lambda x: functional.max_pool2d(x, (3, 2), (2, 1), (1, 0), (1, 2)),
    "max_pool3d": lambda x: functional.max_pool3d(x, 2, 2, 1, 1, ceil_mode=True),
    "avg_pool1d": lambda x: functional.avg_pool1d(x[:, 0], 3, 2, 1, True, False),
    "avg_pool2d": lambda x: functional.avg_pool2d(x, (3, 2), (2, 1), 1, False, False),
    "avg_pool2d, divided": lambda x: functional.avg_pool2d(x, 2, None, 0, True, True, 3),
    "avg_pool3d": lambda x: functional.avg_pool3d(x, 2, 3, 1, True, True),
    "lp_pool": lambda x: functional.lp_pool2d(x.abs(), 3.0, (2, 3), 2),
    "adaptive_avg_pool1d": lambda x: functional.adaptive_avg_pool1d(x[:, 0], 3),
    "adaptive_avg_pool2d": lambda x: functional.adaptive_avg_pool2d(x, (None, 2)),
    "adaptive_avg_pool3d": lambda x: functional.adaptive_avg_pool3d(x, (2, 3, 5)),
    "adaptive_max_pool1d": lambda x: functional.adaptive_max_pool1d(x[:, 0], 3),
    "adaptive_max_pool2d": lambda x: functional.adaptive_max_pool2d(x, (4, 1)),
    "unfold": lambda x: functional.unfold(x, (2, 3), (2, 1), (1, 0), (2, 1)),
    "fold": lambda x: functional.fold(x[0, :, :, :4].transpose(0, 1), (3, 2), (2, 1), 1, 0, 1),
    "bicubic": lambda x: functional.interpolate(x, (4, 7), mode="bicubic", align_corners=True),
    "bilinear": lambda x: functional.interpolate(x, (9, 3), mode="bilinear", align_corners=False),
    "bilinear, antialiased": lambda x: functional.interpolate(
        x, (3, 4), mode="bilinear", antialias=True
    ),
    "bicubic, antialiased": lambda x: functional.interpolate(
        x, (4, 3), mode="bicubic", antialias=True
    ),
    "bilinear by factors": lambda x: functional.interpolate(
        x, scale_factor=(1.4, 0.7), mode="bilinear"
    ),
    "linear": lambda x: functional.interpolate(x[:, 0], 8, mode="linear", align_corners=True),
    "trilinear": lambda x: functional.interpolate(x[:, None], (3, 9, 5), mode="trilinear"),
    "nearest": lambda x: functional.interpolate(x, (4, 8)),
    "nearest by factors": lambda x: functional.interpolate(x, scale_factor=(1.7, 0.6)),
    "nearest exact": lambda x: functional.interpolate(x, (4, 8), mode="nearest-exact"),
}
GROUPS = {"entries": ENTRIES, "moves": MOVES, "sums": SUMS, "windows": WINDOWS}


@cache
def results(group: str) -> dict[str, tuple[Any, Any]]:
    """What the captured functions of a group give, and what torch gives."""
    functions = GROUPS[group]
    module = Applied(lambda x: [function(x) for function in functions.values()])
    x = numbers(*SHAPE, seed=0)
    wanted = module(x)
    found = evaluate(from_torch(module, x), x.double().numpy())
    return dict(zip(functions, zip(found, wanted, strict=True), strict=True))


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group, names in GROUPS.items() for name in names]
)
def test_an_op_gives_the_numbers_of_torch(group: str, name: str) -> None:
    found, wanted = results(group)[name]
    assert found.shape == tuple(wanted.shape)
    np.testing.assert_allclose(found, wanted.double().numpy(), rtol=2e-5, atol=2e-5)
