"""Counts of the default run and of `nox -s soak`."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

pytest.register_assert_rewrite("documents", "closeness")

# Tests run on every core already: threads that wait for each other there take ten times as long.
for name in ("OMP_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS"):
    os.environ.setdefault(name, "1")


@dataclass(frozen=True)
class Counts:
    """How much a test tries: `graphs` and `inputs` in all, `floats` for each dtype."""

    graphs: int
    inputs: int
    floats: int
    first_seed: int
    soak: bool = False


DEFAULT = Counts(graphs=300, inputs=2_000, floats=200_000, first_seed=0)
SOAK = Counts(graphs=20_000, inputs=200_000, floats=50_000_000, first_seed=1_000, soak=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="the long form of the random tests")


@pytest.fixture(scope="session")
def counts(request: pytest.FixtureRequest) -> Counts:
    return SOAK if request.config.getoption("--soak") else DEFAULT
