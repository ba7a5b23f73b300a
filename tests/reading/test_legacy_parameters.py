"""What the parameters of legacy graphs hold, and how files of either dialect name it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from documents import Document, codes, document, op, problems, read, run_both

from hatch_irpytorch import IRPyTorchError, evaluate, read_model
from hatch_irpytorch.build.export import exported_json, exported_store
from hatch_irpytorch.ir.params import StoreFile
from hatch_irpytorch.ir.stores import Entry, read_store

PARTS = ("q", "k", "v", "out")
WEIGHTS = {part: np.random.default_rng(i).normal(size=(4, 4)) for i, part in enumerate(PARTS)}


def attention(heads: int, scale: float | None) -> Document:
    """Self-attention as the legacy writer spells it: its scale is not in the document."""
    node = {
        **op("multihead_attention", [0, 0, 0], []),
        "value_kind": "tuple",
        "tuple_shapes": [[1, 3, 4], [1, 3, 3]],
        "embed_dim": 4,
        "num_heads": heads,
        "batch_first": True,
        "dropout_zero": True,
        **{f"{part}_weight": WEIGHTS[part].tolist() for part in PARTS},
        **{f"{part}_bias": [0.0] * 4 for part in PARTS},
        **({} if scale is None else {"scale": scale}),
    }
    value = document([1, 3, 4], node, op("tuple_getitem", [1], [1, 3, 4], index=0))
    value["output_id"] = value.pop("output_ids")[0]
    return value


def store(**arrays: Any) -> StoreFile:
    values = {name: np.asarray(array, dtype=np.float64) for name, array in arrays.items()}
    entries = {
        name: Entry(array.shape, "float64", partial(values.__getitem__, name))
        for name, array in values.items()
    }
    return StoreFile("p.npz", entries)


@pytest.mark.parametrize(("heads", "entry", "lead"), [(1, 6, [1]), (2, 12, [1, 2])])
def test_the_scale_of_attention_may_be_a_parameter(heads: int, entry: int, lead: list[int]) -> None:
    depth = 4 // heads
    shape = [*lead, 3, 3]
    file = store(**{f"const_{entry}": np.full(shape, depth**-0.5)})
    layer = torch.nn.MultiheadAttention(4, heads, bias=False, batch_first=True).double()
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.tensor(np.concatenate([WEIGHTS[p] for p in PARTS[:3]])))
        layer.out_proj.weight.copy_(torch.tensor(WEIGHTS["out"]))
    x = np.random.default_rng(9).normal(size=(1, 3, 4))
    expected = layer(*[torch.tensor(x)] * 3)[0].detach().numpy()
    (found,) = evaluate(read(attention(heads, None), file), x)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    told, _ = run_both(attention(heads, depth**-0.5), x)
    np.testing.assert_allclose(told[0], expected, rtol=1e-12, atol=1e-12)
    once = store(**{f"const_{entry}": np.full([1] * len(shape), depth**-0.5)})
    (found,) = evaluate(read(attention(heads, None), once), x)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_scale_that_nothing_holds_is_told_by_the_name_of_its_entry() -> None:
    (problem,) = problems(attention(1, None))
    assert problem.code == "missing-payload"
    assert "`scale` of shape (1, 3, 3) is missing" in problem.message
    assert "`const_6`" in problem.hint
    value = attention(1, None)
    value["nodes"][1]["scale"] = None
    assert codes(value) == ["bad-attribute"]


def affine() -> Document:
    return document([2], op("linear", [0], [2]))


ARRAYS = {"linear_1_W": [[1.0, 2.0], [3.0, 4.0]], "linear_1_b": [0.5, 0.25]}


@pytest.mark.parametrize(
    "meta",
    [
        None,
        {},
        {"linear_1_W": {"shape": [2, 2], "dtype": "float32"}, "linear_1_b": {"shape": [2]}},
        {"linear_1_b": {"dtype": "torch.float32"}},
    ],
)
def test_a_state_dict_in_json_may_have_its_arrays_inside(tmp_path: Path, meta: Any) -> None:
    wrapped = {"params": ARRAYS} | ({} if meta is None else {"meta": meta})
    (tmp_path / "net.ir.json").write_text(json.dumps(affine()))
    results = []
    for name, text in (("bare", ARRAYS), ("wrapped", wrapped)):
        (tmp_path / f"{name}.json").write_text(json.dumps(text))
        model = read_model(tmp_path / "net.ir.json", tmp_path / f"{name}.json")
        results.append(evaluate(model, np.array([1.0, -1.0]))[0].tolist())
    assert results[0] == results[1] == [-0.5, -0.75]


@pytest.mark.parametrize(
    ("wrapped", "said"),
    [
        ({"params": ARRAYS, "more": 1}, "`more`"),
        ({"params": ARRAYS, "meta": []}, "`meta` must be an object by name"),
        ({"params": ARRAYS, "meta": {"linear_1_b": 3}}, "`meta.linear_1_b` must be an object"),
        ({"params": ARRAYS, "meta": {"linear_2_b": {}}}, "no such entry"),
        ({"params": ARRAYS, "meta": {"linear_1_b": {"shape": [3]}}}, "(2,), the shape"),
        ({"params": ARRAYS, "meta": {"linear_1_b": {"dtype": "int64"}}}, "`meta.linear_1_b.dtype`"),
        ({"params": ARRAYS, "meta": {"linear_1_b": {"dtype": 1}}}, "`meta.linear_1_b.dtype`"),
    ],
)
def test_what_is_said_of_arrays_has_to_be_so(tmp_path: Path, wrapped: Any, said: str) -> None:
    (tmp_path / "p.json").write_text(json.dumps(wrapped))
    with pytest.raises(IRPyTorchError) as caught:
        read_store(tmp_path / "p.json", "p.json")
    (problem,) = caught.value.problems
    assert problem.code == "bad-params"
    assert said in problem.message


def convolution(kind: str) -> Document:
    """A convolution of either dialect, without its numbers."""
    if kind == "conv2d":
        fields = {"inC": 1, "outC": 2, "kH": 1, "kW": 2, "stride": 1, "padding": 0}
        value = document([1, 2, 2], op("conv2d", [0], [2, 2, 1], **fields))
        value["output_id"] = value.pop("output_ids")[0]
        return value
    pairs = {"stride": [1, 1], "padding": [0, 0], "padding_after": [0, 0], "dilation": [1, 1]}
    counts = {"spatial_rank": 2, "groups": 1, "channel_axis": 0}
    channels = {"in_channels": 1, "out_channels": 2, "kernel": [1, 2]}
    return document([1, 2, 2], op("conv", [0], [2, 2, 1], **pairs, **counts, **channels))


@pytest.mark.parametrize("kind", ["conv", "conv2d"])
@pytest.mark.parametrize("prefix", ["conv", "conv2d"])
def test_a_convolution_finds_its_numbers_under_either_name(kind: str, prefix: str) -> None:
    arrays = {"kernel": np.array([[[[1.0, 2.0]]], [[[3.0, 4.0]]]]), "bias": np.array([0.5, 1.0])}
    file = store(**{f"{prefix}_1_{name}": array for name, array in arrays.items()})
    model = read(convolution(kind), file)
    (found,) = evaluate(model, np.array([[[1.0, 1.0], [0.0, 2.0]]]))
    assert found.tolist() == [[[3.5], [4.5]], [[8.0], [9.0]]]


def test_both_exports_of_a_legacy_model_fit_together(tmp_path: Path) -> None:
    file = store(conv2d_1_kernel=np.ones((2, 1, 1, 2)), conv2d_1_bias=[0.5, 1.0])
    model = read(convolution("conv2d"), file)
    exported = json.loads(exported_json(model))
    for name in ("weight", "bias"):
        del exported["nodes"][1][name]
    (tmp_path / "net.ir.json").write_text(json.dumps(exported))
    (tmp_path / "net.safetensors").write_bytes(bytes(exported_store(model)))
    assert sorted(read_store(tmp_path / "net.safetensors", "p")) == ["conv_1_bias", "conv_1_kernel"]
    again = read_model(tmp_path / "net.ir.json", tmp_path / "net.safetensors")
    x = np.array([[[1.0, 1.0], [0.0, 2.0]]])
    assert np.array_equal(evaluate(model, x)[0], evaluate(again, x)[0])
    (tmp_path / "old.ir.json").write_text(json.dumps(convolution("conv2d")))
    old = read_model(tmp_path / "old.ir.json", tmp_path / "net.safetensors")
    assert np.array_equal(evaluate(model, x)[0], evaluate(old, x)[0])
