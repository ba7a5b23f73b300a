"""A part of what `nox -s peers` runs whole: other people's cases give no wrong graph."""

from __future__ import annotations

from pathlib import Path

import pytest
from peers import onnx_nodes
from peers.tally import Tally

PARTS = 4
STEP = 12


@pytest.mark.filterwarnings("ignore")
def test_recurrent_layers_of_onnx(tmp_path: Path) -> None:
    """All of them: few enough, and each is another path through one formula."""
    tally = Tally()
    names = ("test_gru", "test_lstm", "test_rnn", "test_simple_rnn")
    for case in onnx_nodes.cases():
        if case.name.startswith(names):
            onnx_nodes.check_case(case, tmp_path / "case.onnx", tally)
    assert tally.wrong == [] and not tally.reasons
    assert tally.passed >= 18


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_backend_tests_of_onnx(part: int) -> None:
    tally = onnx_nodes.run(step=STEP, first=part)
    assert tally.wrong == []
    assert tally.passed > 0.35 * (tally.passed + tally.reasons.total())
