"""The loss of an output without entries is 0, and a step is taken. torchlean.ir.v1: 6.5."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

import pytest
from documents import const, document, namespace, op, source


def several(*shapes: list[int]) -> dict[str, Any]:
    """A learnable scale of the input, and outputs of these shapes."""
    nodes = [const([2], [1.0, -0.5]), op("mul_elem", [0, 1], [2])]
    outputs = []
    for shape in shapes:
        if shape == [2]:
            outputs.append(2)
            continue
        nodes.append(op("linear", [2], shape, weight=[], bias=[]))
        outputs.append(len(nodes))
    return document([2], *nodes, outputs=outputs)


CASES = {
    "one": several([0]),
    "two": several([0], [2]),
    "the last": several([2], [0]),
    "all": several([0], [0]),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_the_run_as_a_program_prints_a_loss(case: str, dtype: str) -> None:
    text = source(CASES[case], dtype=dtype)
    printed = io.StringIO()
    with redirect_stdout(printed):
        namespace(text)["main"]()
    losses = [float(line.rpartition(" ")[2]) for line in printed.getvalue().splitlines()]
    assert len(losses) == 5 and all(loss == loss for loss in losses)
    if case in ("one", "all"):
        assert losses == [0.0] * 5
    else:
        assert losses[-1] <= losses[0] and losses[0] > 0
