"""Modules of several inputs and outputs: the others are bound, some outputs are kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from command_line import called
from torch import nn

from hatch_irpytorch import IRPyTorchError, Model, evaluate
from hatch_irpytorch.capture import from_torch

X = torch.tensor([[1.0, -2.0, 3.0]])
MASK = np.array([[1.0, 0.0, 2.0]])


class Masked(nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return x - 2 * mask


class ByKeyword(nn.Module):
    def forward(self, *, mask: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return x - 2 * mask


class ByPosition(nn.Module):
    def forward(self, mask: torch.Tensor, x: torch.Tensor, /) -> torch.Tensor:
        return x - 2 * mask


class Optional(nn.Module):
    def forward(
        self,
        x: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        embedded: torch.Tensor | None = None,
    ) -> torch.Tensor:
        first = x if embedded is None else 3 * embedded
        assert first is not None
        return first if mask is None else first - 2 * mask


class OfDict(nn.Module):
    def forward(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return batch["x"] - 2 * batch["mask"]


class OfAny(nn.Module):
    def forward(self, *given: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        return given[0] - 2 * named["mask"]


def first(model: Model) -> list[float]:
    found: list[float] = evaluate(model, X.numpy())[0].reshape(-1).tolist()
    return found


@pytest.mark.parametrize(
    ("net", "named"),
    [
        (Masked(), {"bind": {"mask": MASK}}),
        (Masked(), {"bind": {"mask": torch.tensor(MASK)}, "parameter": "x"}),
        (ByKeyword(), {"bind": {"mask": MASK}}),
        (ByPosition(), {"bind": {"mask": MASK}}),
        (Optional(), {"bind": {"mask": MASK}}),
        (OfDict(), {"parameter": "batch.x", "bind": {"batch.mask": MASK}}),
        (OfAny(), {"bind": {"mask": MASK}}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_inputs_are_bound(net: nn.Module, named: Any) -> None:
    assert first(from_torch(net, X, **named)) == [-1.0, -2.0, -1.0]


def test_the_run_time_input_may_be_named() -> None:
    assert first(from_torch(Optional(), X)) == [1.0, -2.0, 3.0]
    assert first(from_torch(Optional(), X, parameter="embedded")) == [3.0, -6.0, 9.0]
    assert first(from_torch(Masked(), X, parameter="mask", bind={"x": MASK})) == [-1.0, 4.0, -4.0]


def test_whole_and_true_numbers_stay_what_they_are() -> None:
    class Chosen(nn.Module):
        def forward(self, x: torch.Tensor, at: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
            return x[:, at].masked_fill(~keep, 7.0)

    bind = {"at": np.array([2, 0]), "keep": np.array([True, False])}
    assert first(from_torch(Chosen(), X, bind=bind)) == [3.0, 7.0]


@pytest.mark.parametrize(
    ("net", "named", "told"),
    [
        (Masked(), {}, "`forward` takes 2 inputs: `x`, `mask`; bind the others with `--bind"),
        (Masked(), {"bind": {"x": MASK, "mask": MASK}}, "every input of `forward` is bound"),
        (Masked(), {"bind": {"musk": MASK}}, "no parameter `musk`; it has `x`, `mask`"),
        (Masked(), {"parameter": "y", "bind": {"mask": MASK}}, "no parameter `y`"),
        (Masked(), {"parameter": "mask", "bind": {"mask": MASK}}, "`mask` is bound and the run-t"),
        (OfDict(), {"parameter": "batch", "bind": {"batch.mask": MASK}}, "beside a part of it"),
        (OfDict(), {"parameter": "batch.x", "bind": {"batch": MASK}}, "beside a part of it"),
        (Masked(), {"bind": {"mask": np.array(["a"])}}, "what is bound to `mask` is no tensor"),
        (Masked(), {"bind": {"mask": np.ones((5, 2))}}, "`forward` itself fails"),
        (
            Masked(),
            {"bind": {"mask": MASK}, "keep": ["1"]},
            "there is no output `1`; there are `0`",
        ),
    ],
)
def test_wrong_inputs_are_told(net: nn.Module, named: Any, told: str) -> None:
    with pytest.raises(IRPyTorchError) as raised:
        from_torch(net, X, **named)
    (problem,) = raised.value.problems
    assert told in str(problem)


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


@dataclass
class Made:
    last: torch.Tensor
    nothing: torch.Tensor | None
    hidden: tuple[torch.Tensor, ...]
    count: int = 3


class Gives(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


RETURNS: dict[str, tuple[Callable[[torch.Tensor], Any], list[float]]] = {
    "dict": (lambda x: {"b": 2 * x, "a": 3 * x}, [2.0, 3.0]),
    "dataclass": (lambda x: Made(x, None, (2 * x, 3 * x)), [1.0, 2.0, 3.0]),
    "named tuple": (lambda x: Pair(4 * x, 5 * x), [4.0, 5.0]),
    "nested": (lambda x: [(x, {"z": 2 * x}), None, 3 * x], [1.0, 2.0, 3.0]),
    "twice": (lambda x: (x, x), [1.0, 1.0]),
}


@pytest.mark.parametrize("name", RETURNS)
def test_outputs_keep_their_order(name: str) -> None:
    function, factors = RETURNS[name]
    outputs = evaluate(from_torch(Gives(function), X), X.numpy())
    assert [output[0, 0] for output in outputs] == factors


def test_what_is_no_tensor_is_told() -> None:
    model = from_torch(Gives(lambda x: Made(x, None, (x,))), X)
    told = [note.message for note in model.notes if note.code == "left-out"]
    listed = [text.partition("left out: ")[2] for text in told]
    assert listed == ["`nothing` (None)", "`count` (int)"]
    with pytest.raises(IRPyTorchError, match="the module returns no tensor"):
        from_torch(Gives(lambda x: {"n": 3}), X)


@pytest.mark.parametrize(
    ("keep", "factors"),
    [(["last"], [1.0]), (["hidden"], [2.0, 3.0]), (["hidden.1", "last"], [1.0, 3.0])],
)
def test_outputs_are_chosen(keep: list[str], factors: list[float]) -> None:
    net = Gives(lambda x: Made(x, None, (2 * x, 3 * x)))
    outputs = evaluate(from_torch(net, X, keep=keep), X.numpy())
    assert [output[0, 0] for output in outputs] == factors


def test_what_no_kept_output_needs_is_not_refused() -> None:
    net = Gives(lambda x: {"good": 2 * x, "bad": torch.lgamma(x), "worse": x.sort().values})
    with pytest.raises(IRPyTorchError, match="lgamma"):
        from_torch(net, X)
    assert first(from_torch(net, X, keep=["good"])) == [2.0, -4.0, 6.0]


def test_dead_nodes_are_not_refused() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        torch.lgamma(x)
        return 2 * x

    assert first(from_torch(Gives(function), X)) == [2.0, -4.0, 6.0]


NETS = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(9, 4)

    def forward(self, ids, mask):
        words = self.words(ids)
        return {"sum": (words * mask.unsqueeze(-1)).sum(1), "sorted": words.sort().values}
"""


def test_the_command_takes_ids_binds_and_chooses(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    np.save(tmp_path / "mask.npy", np.array([[1.0, 0.0, 1.0]]))
    command = ["capture", "nets:Net", "--shape", "1,3", "--tokens", "9", "-o", "net"]
    told = called(tmp_path, *command)
    assert told.returncode == 2
    assert "`forward` takes 2 inputs: `ids`, `mask`" in told.stderr
    command += ["--bind", "mask=mask.npy"]
    told = called(tmp_path, *command)
    assert told.returncode == 2
    assert "`sort` has no form" in told.stderr
    told = called(tmp_path, *command, "--keep-output", "sum")
    assert (told.returncode, told.stderr) == (0, "")
    document = json.loads((tmp_path / "net.ir.json").read_text())
    assert document["nodes"][0]["integers"] == 9
    shaped = [*command, "--keep-output", "sum", "--shape", "ids=1,3"]
    assert called(tmp_path, *shaped).returncode == 0
    for wrong in ("mask", "mask=", "=mask.npy", "mask=none.npy"):
        assert called(tmp_path, *command, "--bind", wrong).returncode == 2
