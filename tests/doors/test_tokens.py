"""Ids of tokens come in by both doors: embeddings, positions, comparisons, all below a bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from documents import module as loaded
from torch import nn

from hatch_irpytorch import EmitOptions, IRPyTorchError, emit_module, evaluate
from hatch_irpytorch.capture import from_torch

V = 7
IDS = torch.tensor([[0, 6, 3], [3, 1, 5]])


class Of(nn.Module):
    """A function of ids, with a table for it."""

    def __init__(self, function: Callable[..., torch.Tensor], rows: int = V) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.table = nn.Parameter(torch.randn(rows, 2, 4))
        self.words = nn.Embedding(rows, 4, padding_idx=0)
        nn.init.normal_(self.words.weight)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.function(self, ids)


LOOK_UPS: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "embedding": lambda net, ids: net.words(ids),
    "embedding twice": lambda net, ids: net.words(ids) - net.words(6 - ids),
    "rows": lambda net, ids: net.table[ids],
    "columns": lambda net, ids: net.table.permute(1, 0, 2)[:, ids],
    "last axis": lambda net, ids: net.table.permute(1, 2, 0)[..., ids],
    "index_select": lambda net, ids: torch.index_select(net.table, 0, ids[0]),
    "gather": lambda net, ids: torch.gather(net.table[:2, :, 0].T.repeat(1, 4), 1, ids),
    "gather in front": lambda net, ids: torch.gather(net.table[:, 0], 0, ids),
    "one_hot": lambda net, ids: nn.functional.one_hot(ids, V) * net.table[0, 0, 0],
    "a part of each row": lambda net, ids: net.words(ids)[torch.arange(2), ids[:, 0] // 3],
    "parts of each row": lambda net, ids: net.words(ids)[torch.arange(2)[:, None], ids // 3],
    "cells": lambda net, ids: net.table[ids, ids // 6],
    "cells of a row": lambda net, ids: net.table[torch.tensor([2, 0, 5]), ids // 6],
    "cells in the middle": lambda net, ids: net.table[None, :, :, :3][:, ids, ids // 6],
    "cells of axes apart": lambda net, ids: net.table[ids, :, ids // 2],
    "a part": lambda net, ids: net.words(ids[:, 1:]).sum(1),
    "joined": lambda net, ids: net.words(torch.cat([ids, ids[:, :1]], 1)),
}


@pytest.mark.parametrize("name", LOOK_UPS)
def test_rows_are_looked_up(name: str) -> None:
    net = Of(LOOK_UPS[name]).eval()
    model = from_torch(net, IDS, tokens=V)
    assert model.graph.integers == V
    (found,) = evaluate(model, IDS.numpy())
    np.testing.assert_allclose(found, net.double()(IDS).detach().numpy(), rtol=1e-6, atol=1e-6)


def test_a_part_of_each_row_leaves_rows_free() -> None:
    """As the pooled state of a text is read at its last token: of any number of texts."""

    def pooled(net: Any, ids: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = net.words(ids)[torch.arange(len(ids)), ids.argmax(-1)]
        return rows

    net = Of(pooled).eval()
    generated = loaded(emit_module(from_torch(net, IDS[:1], tokens=V), EmitOptions()).source)
    torch.testing.assert_close(generated(IDS.float()), net(IDS))


@pytest.mark.parametrize("options", [{}, {"fuse": True}, {"dtype": "float64"}], ids=str)
def test_a_generated_module_takes_ids(options: Any) -> None:
    net = Of(LOOK_UPS["embedding"]).eval()
    text = emit_module(from_torch(net, IDS, tokens=V), EmitOptions(**options)).source
    generated = loaded(text)
    assert ("F.embedding(" in text) == bool(options.get("fuse"))
    x = torch.tensor([[6, 0, 0], [1, 2, 3], [4, 5, 6]])
    dtype = torch.float64 if options.get("dtype") else torch.float32
    found = generated(x.to(dtype))
    torch.testing.assert_close(found, net(x).to(dtype))
    found.sum().backward()
    (table,) = generated.parameters()
    assert table.grad is not None
    assert table.grad[:, 0].tolist() == [2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="whole numbers from 0 to 6"):
        generated(x.to(dtype) + 1)


@pytest.mark.parametrize(
    ("function", "rows", "told"),
    [
        (lambda net, ids: net.words(ids), V - 1, "from 0 to 6 for a table of 6 rows"),
        (lambda net, ids: net.words(ids + 1), V, "from 1 to 7 for a table of 7 rows"),
        (lambda net, ids: net.table[ids - 1], V, "from -1 to 5 for a table of 7 rows"),
        (lambda net, ids: net.words.weight[ids[0] > 2].sum(), 3, "a choice of entries by flags"),
    ],
)
def test_rows_that_a_table_may_not_have_are_refused(function: Any, rows: int, told: str) -> None:
    net = Of(function, rows)
    with pytest.raises(IRPyTorchError) as raised:
        from_torch(net, IDS.clamp(1, 4), tokens=V)
    assert told in str(raised.value)
