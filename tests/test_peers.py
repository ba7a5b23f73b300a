"""A part of what `nox -s peers` runs whole: other people's cases give no wrong graph."""

from __future__ import annotations

import pytest
from peers import onnx_nodes

PARTS = 4
STEP = 12


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_backend_tests_of_onnx(part: int) -> None:
    tally = onnx_nodes.run(step=STEP, first=part)
    assert tally.wrong == []
    assert tally.passed > 0.35 * (tally.passed + tally.reasons.total())
