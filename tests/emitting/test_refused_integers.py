"""A module whose input is whole numbers below one takes those and no others."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from documents import Document, const, document, module, namespace, op, source

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.verify.source import check_source


def ids(below: int, shape: list[int] | None = None) -> Document:
    """tanh(x / 8) of whole numbers."""
    shape = [2, 3] if shape is None else shape
    scale = const(shape, 0.125)
    product = op("mul_elem", [0, 1], shape)
    value = document(shape, scale, product, op("tanh", [2], shape))
    value["nodes"][0]["integers"] = below
    return value


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_other_numbers_are_refused(dtype: str) -> None:
    net = module(source(ids(200), dtype=dtype, batch="fixed"))
    x = torch.full((2, 3), 199.0, dtype=getattr(torch, dtype))
    assert net(x).shape == (2, 3)
    assert net(torch.zeros_like(x)).abs().max() == 0.0
    for wrong, found in ((200.0, "200.0"), (-1.0, "-1.0"), (0.5, "0.5"), (torch.nan, "nan")):
        given = x.clone()
        given[1, 2] = wrong
        with pytest.raises(ValueError, match=rf"^expected x of .* 0 to 199, found {found}$"):
            net(given)


@pytest.mark.parametrize("shape", [[], [0], [1, 2, 1]], ids=str)
def test_any_shape(shape: list[int]) -> None:
    net = module(source(ids(3, shape), batch="fixed"))
    net(torch.full(shape, 2.0))
    if shape != [0]:
        with pytest.raises(ValueError, match="found 3"):
            net(torch.full(shape, 3.0))


@pytest.mark.parametrize(
    ("dtype", "most"),
    [("float16", 2**11), ("bfloat16", 2**8), ("float32", 2**24), ("float64", 2**53)],
)
def test_a_dtype_that_rounds_ids_is_refused(dtype: str, most: int) -> None:
    exact: torch.dtype = getattr(torch, dtype)
    assert torch.tensor(most - 1).to(exact).long() == most - 1
    assert torch.tensor(most + 1).to(exact).long() != most + 1
    source(ids(most), dtype=dtype)
    if dtype != "float64":
        with pytest.raises(
            IRPyTorchError, match=rf"below {most + 1}, {dtype} holds those up to {most};"
        ):
            source(ids(most + 1), dtype=dtype)


def test_a_dtype_that_rounds_the_rows_of_a_table_is_refused() -> None:
    rows = [*range(300)]
    value = document([1], {"kind": "const", "shape": [300], "values": rows})
    value["nodes"][0]["integers"] = 5
    value["nodes"] += [
        {"id": 2, **op("broadcast_to", [0], [300], from_shape=[1], to_shape=[300])},
        {"id": 3, **op("sub", [2, 1], [300])},
    ]
    value["output_ids"] = [3]
    source(value, dtype="float16")
    with pytest.raises(IRPyTorchError, match="below 300, bfloat16 holds those up to 256"):
        source(value, dtype="bfloat16")


def test_the_program_trains_on_ids(capsys: pytest.CaptureFixture[str]) -> None:
    weight = {"weight": [[0.1, 0.2, 0.3]], "bias": [0.0]}
    value = ids(7)
    value["nodes"].append({"id": 4, **op("linear", [3], [2, 1], **weight)})
    value["output_ids"] = [4]
    text = source(value)
    assert "torch.randint(0, 7, (2, 3)" in text
    namespace(text)["main"]()
    assert "step 4: loss" in capsys.readouterr().out
    value["nodes"][3]["kind"] = "log"
    assert "torch.randint(1, 7, (2, 3)" in source(value)


def test_the_text_is_known_as_ours() -> None:
    text = source(ids(30522))
    assert not check_source(text, "net.py")
    for old, new in (("30521, found", "9, found"), ("<= 30521", "<= 9"), (".is_comp", ".was_comp")):
        changed = text.replace(old, new)
        assert changed != text
        assert check_source(changed, "net.py")


X = torch.tensor([[0.0, 1.0, 2.0], [199.0, 4.0, 5.0]])
WRONG = X + 0.5


def same(net: torch.nn.Module, other: Any) -> None:
    torch.testing.assert_close(other(X), net(X))


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Converting a tensor to a Python boolean")
def test_it_works_with_what_people_do_to_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = source(ids(200), batch="fixed")
    (tmp_path / "net_of_ids.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    net = import_module("net_of_ids").ExportedIRModel()
    torch._dynamo.reset()
    same(net, torch.compile(net, fullgraph=True, backend="aot_eager"))
    for strict in (True, False):
        same(net, torch.export.export(net, (X,), strict=strict).module())
    trace: Any = torch.jit.trace
    same(net, trace(net, (X,)))
    mapped = torch.func.vmap(net)(X.expand(4, 2, 3))
    torch.testing.assert_close(mapped, net(X).expand(4, 2, 3))
    assert net.to("meta")(X.to("meta")).shape == X.shape


def test_a_symbolic_trace_still_refuses() -> None:
    net = module(source(ids(200), batch="fixed"))
    traced = torch.fx.symbolic_trace(net)
    same(net, traced)
    with pytest.raises(ValueError, match="whole numbers"):
        traced(WRONG)
