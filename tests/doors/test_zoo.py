"""The zoo judges rightly, and writes its own parts of docs/coverage.md alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peers import coverage
from peers.zoo import layers, lists, page
from peers.zoo.check import DOORS, check, in_double_precision
from peers.zoo.criterion import judged, require_alike, tensors_of
from peers.zoo.network import Named, Network, draw_constants
from torch import nn

EXACT = [torch.tensor([1.0, -2.0], dtype=torch.float64)]


def moved(by: float) -> list[torch.Tensor]:
    return [tensor + by for tensor in EXACT]


def test_a_module_may_be_half_as_far_again_as_the_original() -> None:
    assert judged(moved(1.5e-3), moved(1e-3), EXACT).right
    assert not judged(moved(1.6e-3), moved(1e-3), EXACT).right


def test_a_few_units_in_the_last_place_are_allowed_beside_that() -> None:
    verdict = judged(moved(4 * 2.0**-22), EXACT, EXACT)
    assert verdict.right and verdict.share == 1.0 and verdict.relative == 2.0**-21
    assert not judged(moved(5 * 2.0**-22), EXACT, EXACT).right


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([], "0 outputs"),
        ([torch.zeros(1, 2)], "shape"),
        ([torch.tensor([1.0, -torch.inf])], "finite"),
    ],
)
def test_what_else_is_wrong_is_told(found: list[torch.Tensor], why: str) -> None:
    verdict = judged(found, EXACT, EXACT)
    assert not verdict.right and why in verdict.why


def test_the_worst_output_decides() -> None:
    verdict = judged([*EXACT, *moved(1.0)], EXACT * 2, EXACT * 2)
    assert not verdict.right
    assert judged([*moved(1.0), *EXACT], EXACT * 2, EXACT * 2) == verdict


def test_an_original_that_is_finite_in_one_dtype_alone_is_no_measure() -> None:
    require_alike(moved(1e-3), EXACT)
    with pytest.raises(ValueError, match="finite elsewhere"):
        require_alike([torch.tensor([1.0, torch.nan])], EXACT)
    with pytest.raises(ValueError, match="no number"):
        require_alike([torch.tensor([torch.nan])], [torch.tensor([torch.nan])])


def test_tensors_of_are_found_in_order() -> None:
    parts = [torch.ones(1), torch.ones(2, dtype=torch.int64), torch.zeros(3)]
    found = tensors_of({"b": (parts[0], None), "a": [*parts[1:], "word"]})
    assert [tensor.shape for tensor in found] == [part.shape for part in parts]


def test_constants_are_drawn_and_other_weights_stay() -> None:
    linear, norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
    weight = linear.weight.clone()
    draw_constants(nn.Sequential(linear, norm))
    assert torch.equal(linear.weight, weight)
    assert norm.running_mean is not None and norm.running_var is not None
    for drawn in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        assert len(set(drawn.tolist())) == 4
    assert float(norm.running_var.min()) > 0.5


@pytest.mark.filterwarnings("ignore")
def test_a_network_goes_through_a_door() -> None:
    (network,) = (found for found in layers.networks() if found.name == "torch.nn RMSNorm")
    reports: list[dict[str, Any]] = []
    check(network, ("capture",), reports.append)
    assert reports[-1]["capture"]["right"] and page.reasons(reports[-1], "capture") == []


class _Rows(nn.Module):
    """Rows of a table by ids, twice, with a number that is fixed."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(6, 4)

    def forward(self, a: torch.Tensor, b: torch.Tensor, more: torch.Tensor) -> torch.Tensor:
        rows: torch.Tensor = self.table(a) * self.table(b) + more
        return rows


@pytest.mark.filterwarnings("ignore")
def test_a_network_of_ids_goes_through_both_doors() -> None:
    """Ids stay whole in float64, and what is fixed becomes float64 with the module."""
    ids = torch.tensor([[0, 5, 3]])
    reports: list[dict[str, Any]] = []

    def made() -> tuple[nn.Module, torch.Tensor]:
        return Named(_Rows(), "a", "b", more=torch.tensor(0.1)), ids

    check(Network("rows", made, tokens=6), DOORS, reports.append)
    assert all(reports[-1][door]["right"] for door in DOORS)
    (exact,) = in_double_precision(*made())
    assert exact.dtype == torch.float64


def test_names_stand_once_and_configurations_are_used() -> None:
    names = lists.networks()
    kinds = [kind for group in names["transformers"].values() for kind in group]
    groups = names["transformers"].values()
    for group in (names["timm"], names["torchvision"]["images"], *groups):
        assert len(set(group)) == len(group)
    assert set(lists.small_configs()["kinds"]) <= set(kinds)


def test_the_page_tells_doors_reasons_and_what_was_not_made() -> None:
    right = {"stage": "done", "right": True, "share": 0.5, "relative": 1e-7, "why": ""}
    refused = {"stage": "refused", "problems": ["`n1`: `Erf` has no form in torchlean.ir.v1: 3"]}
    ended = {"stage": "emit"}
    records: list[dict[str, Any]] = [
        {"name": "a", "capture": right, "import-onnx": refused},
        {"name": "b", "capture": ended, "import-onnx": right, "ended": "out of time"},
        {"name": "c", "failed": "TypeError: no"},
    ]
    _, part = page.PARTS
    text = page.text_of(part, records, "torch 2")
    assert text.startswith(f"## {part.title}\n") and part.given in text
    assert "| `capture` | 1 of 2 | 0.50 | 0.50 | 1.0e-07 | 1.0e-07 |" in text
    assert "| `Erf`: … | 1 | a |" in text
    assert "| emit: out of time | 1 | b |" in text
    assert "not run by torch itself: c." in text
    assert all(text.count(f"| `{door}`:") == 1 for door in DOORS)


def test_a_part_is_written_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "coverage.md"
    path.write_text("# Top\n\n## One\n\n1\n\n## Two\n\n2\n", encoding="utf-8")
    monkeypatch.setattr(coverage, "PAGE", path)
    coverage.write_part("One", "## One\n\nnew\n")
    coverage.write_part("Three", "## Three\n\n3")
    coverage.write_top("# Other top\n")
    expected = "# Other top\n\n## One\n\nnew\n\n## Two\n\n2\n\n## Three\n\n3\n"
    assert path.read_text(encoding="utf-8") == expected
