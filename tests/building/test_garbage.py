"""The collector is off in a pause, and as it was after it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from hatch_irpytorch.garbage import collection_paused


class Held:
    """Something with a cycle in it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _collector_as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_pauses_are_nested() -> None:
    assert gc.isenabled()
    with collection_paused():
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    with collection_paused():
        pass
    assert not gc.isenabled()


@pytest.mark.skipif(gc.get_freeze_count() > 0, reason="Python 3.12 freezes what it starts with")
def test_what_is_there_after_a_pause_is_not_young() -> None:
    with collection_paused():
        held = [[i] for i in range(10_000)]
        assert gc.get_count()[0] > 5_000
    assert len(gc.get_objects(generation=0)) < 1_000
    assert any(item is held[0] for item in gc.get_objects(generation=2))


def test_garbage_of_a_pause_is_collected_later() -> None:
    with collection_paused():
        held = Held()
        seen = weakref.ref(held)
        del held
        assert seen() is not None
    gc.collect()
    assert seen() is None


def test_what_an_application_froze_stays_frozen() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    with collection_paused():
        pass
    assert gc.get_freeze_count() >= frozen > 0
