"""PyTorch's own tables of modules and of ops, with their sample inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from hatch_irpytorch import IRPyTorchError, evaluate
from hatch_irpytorch.capture import from_torch
from peers.tally import INFINITE, NUMBERS, RANDOM, SIGNATURE, Tally

SAMPLES = 8
"""How many samples of an op are tried."""


class Applied(nn.Module):
    """An op with all of its arguments but the first."""

    def __init__(self, op: Callable[..., Any], args: Any, kwargs: Any) -> None:
        super().__init__()
        self.op, self.args, self.kwargs = op, args, kwargs

    def forward(self, x: torch.Tensor) -> Any:
        return self.op(x, *self.args, **self.kwargs)


def modules() -> Tally:
    """`module_db` in eval mode, float32."""
    from torch.testing._internal.common_modules import module_db

    tally = Tally()
    torch.manual_seed(0)
    for info in module_db:
        given = {"device": "cpu", "dtype": torch.float32, "requires_grad": False, "training": False}
        for number, sample in enumerate(info.module_inputs_func(info, **given)):
            made, forward = sample.constructor_input, sample.forward_input
            inputs: tuple[Any, ...] = ()
            if forward is not None and not forward.kwargs:
                inputs = tuple(forward.args)
            single = len(inputs) == 1 and _is_real(inputs[0])
            if not single:
                tally.skip(SIGNATURE)
                continue
            torch.manual_seed(0)
            module = info.module_cls(*made.args, **made.kwargs).eval()
            _one(tally, f"{info.name}#{number}", module, inputs[0])
    return tally


def ops() -> Tally:
    """`op_db`, float32, the first samples of each op that take one tensor."""
    from torch.testing._internal.common_methods_invocations import op_db

    tally = Tally()
    torch.manual_seed(0)
    for info in op_db:
        if torch.float32 not in info.dtypes:
            continue
        for number, sample in enumerate(_samples(info)):
            rest = tree_leaves((sample.args, sample.kwargs))
            single = _is_real(sample.input) and not any(isinstance(a, torch.Tensor) for a in rest)
            if not single:
                tally.skip(SIGNATURE)
                continue
            module = Applied(info.op, sample.args, sample.kwargs)
            _one(tally, f"{info.name}#{number}", module, sample.input)
    return tally


def _samples(info: Any) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples = list(info.sample_inputs("cpu", torch.float32, requires_grad=False))
    yield from samples[:SAMPLES]


def _is_real(x: object) -> bool:
    dense = isinstance(x, torch.Tensor) and x.layout == torch.strided
    return dense and x.dtype == torch.float32  # type: ignore[attr-defined]


def _one(tally: Tally, name: str, module: nn.Module, x: torch.Tensor) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            runs = [tree_leaves(module(x.clone())) for _ in range(2)]
        except Exception:  # samples that are meant to raise
            return tally.skip(SIGNATURE)
        wanted = [y for y in runs[0] if isinstance(y, torch.Tensor)]
        if not wanted or not all(map(_is_real, wanted)):
            return tally.skip(NUMBERS)
        again = [y for y in runs[1] if isinstance(y, torch.Tensor)]
        pairs = zip(wanted, again, strict=True)
        if not all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs):
            return tally.skip(RANDOM)
        try:
            model = from_torch(module, x)
        except IRPyTorchError as error:
            return tally.refuse(error)
        try:
            found = evaluate(model, x.numpy())
        except IRPyTorchError:
            return tally.skip(INFINITE)
    return tally.compare(name, found, [y.numpy() for y in wanted], rtol=1e-4, atol=1e-5)
