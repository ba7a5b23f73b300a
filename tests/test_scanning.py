"""Long texts are looked at by NumPy, short ones by Python: both see the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatch_irpytorch.source import scanning

PARTS = ("-0", "-0.5", "-0e1", "-", "0", "7" * 18, "1" * 19, ",", "] ", "-01", '{"a":', "12")


def seen(text: bytes) -> tuple[int, bool, bool, bytes]:
    zero, long = scanning.has_negative_zero(text), scanning.has_long_integer(text)
    return scanning.count(text, "0"), zero, long, scanning.structure(text)


@given(st.lists(st.sampled_from(PARTS)), st.sampled_from([3, 8, 64, 2**18]))
def test_both_ways_of_looking_agree(parts: list[str], window: int) -> None:
    text = "".join(parts).encode()
    by_python = seen(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "_LONG", 0)
        patch.setattr(scanning, "_WINDOW", window)
        assert seen(text) == by_python


@pytest.mark.parametrize(("text", "long"), [("9" * 18, False), ("9" * 19, True)])
def test_integers_beyond_64_bits_have_nineteen_digits_or_more(text: str, long: bool) -> None:
    assert scanning.has_long_integer(f"[1.5, {text}, 2]".encode()) == long
