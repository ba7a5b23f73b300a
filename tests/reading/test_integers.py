"""`integers` of an input: whole numbers below it. It is read, written, and drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from documents import Document, document, op, problems, read

from hatch_irpytorch import IRPyTorchError, evaluate
from hatch_irpytorch.axes.free import free_model
from hatch_irpytorch.build.golden import golden_input, make_golden
from hatch_irpytorch.ir.digest import graph_digest
from hatch_irpytorch.ir.write import write_document
from hatch_irpytorch.verify.batches import batch_cases
from hatch_irpytorch.verify.parity import parity_cases


def doubled(below: Any) -> Document:
    value = document([2, 3], op("add", [0, 0], [2, 3]))
    value["nodes"][0]["integers"] = below
    return value


@pytest.mark.parametrize("below", [1, 30522, 2**53])
def test_it_is_read_and_written(below: int) -> None:
    graph = read(doubled(below)).graph
    written: Any = write_document(graph)
    assert graph.integers == written["nodes"][0]["integers"] == below


def test_a_graph_without_it_keeps_its_text_and_digest() -> None:
    plain = document([2, 3], op("add", [0, 0], [2, 3]))
    graph = read(plain).graph
    written: Any = write_document(graph)
    assert graph.integers is None
    assert "integers" not in written["nodes"][0]
    assert graph_digest(graph) == (
        "sha256:5a7a5439a09189ead6a0407cf9a76c2eed74703fb413c69673f736a1331ac106"
    )
    assert graph_digest(read(doubled(5)).graph) != graph_digest(graph)


@pytest.mark.parametrize("below", [0, 2**53 + 1])
def test_it_has_a_range(below: int) -> None:
    (problem,) = problems(doubled(below))
    assert "`integers` must be from 1 to 9007199254740992" in str(problem)


@pytest.mark.parametrize("below", [-1, 1.5, True, None, "3", [3]])
def test_it_is_a_natural_number(below: Any) -> None:
    (problem,) = problems(doubled(below))
    assert "`integers` must be a natural number" in str(problem)


@pytest.mark.parametrize("wrong", [5.0, -1.0, 0.5, np.nan, np.inf])
def test_the_reference_refuses_other_numbers(wrong: float) -> None:
    model = read(doubled(5))
    x = np.full((2, 3), 4.0)
    assert evaluate(model, x)[0].max() == 8.0
    x[1, 1] = wrong
    with pytest.raises(IRPyTorchError, match="whole numbers from 0 to 4"):
        evaluate(model, x)


@pytest.mark.parametrize("below", [1, 2, 3, 30522, 2**53])
def test_ids_are_drawn(below: int) -> None:
    for positive in (False, True):
        x = golden_input((4000,), 0, positive, below)
        assert (x == np.floor(x)).all()
        assert x.min() >= 0
        assert x.max() < below
        if below <= 3:
            first = int(positive and below > 1)
            assert set(x) == set(range(first, below))


def test_golden_parity_and_batch_cases_hold_ids() -> None:
    model = read(doubled(5))
    golden = make_golden(model)
    parity = parity_cases(model, "float32", golden)
    batches = batch_cases(parity, free_model(model, "auto"), (1, 7))
    assert len(golden) == 3
    assert len(parity) == 6
    assert [case.input.shape for case in batches] == [(1, 3), (7, 3)]
    for case in (*golden, *parity, *batches):
        assert set(case.input.reshape(-1)) <= set(range(5))


def test_an_added_batch_keeps_it() -> None:
    assert free_model(read(doubled(5)), "added").model.graph.integers == 5
