"""Manifests of plain words are parsed by libyaml: to what the parser in Python gives."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from repository import ROOT

from hatch_irpytorch.errors import IRPyTorchError
from hatch_irpytorch.source import yaml_text
from hatch_irpytorch.source.yaml_text import Value, parse_yaml

KEYS = ("ir", "params", "emit", "weights", "golden", "rtol", "yes", "A_b")
WORDS = ("a.ir.json", "1.0e-5", "true", "no", "0x1F", "1_000", "..", "...", "a-b/c", ".5", "null")
LINES = st.builds(
    lambda indent, key, value, comment: f"{indent}{key}{value}{comment}\n",
    st.sampled_from(["", "  ", "    "]),
    st.sampled_from([f"{key}:" for key in KEYS] + ["# note", ""]),
    st.sampled_from(["", " "]) | st.sampled_from([f" {word}" for word in WORDS]),
    st.sampled_from(["", "  "]),
)


def result(text: str) -> Value | str | None:
    try:
        return parse_yaml(text.encode(), "m.yaml")
    except IRPyTorchError as error:
        return str(error)


@given(st.lists(LINES, max_size=6).map("".join))
def test_both_parsers_say_the_same(text: str) -> None:
    quick = result(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml_text, "_quickly", lambda text, file: None)
        assert quick == result(text)


@pytest.mark.skipif(not hasattr(yaml, "CSafeLoader"), reason="PyYAML was built without libyaml")
def test_the_project_s_manifests_are_plain_enough() -> None:
    for path in sorted((ROOT / "models").glob("*.yaml")):
        assert yaml_text._quickly(path.read_text(), path.name) is not None, path.name
