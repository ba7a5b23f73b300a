"""Which parameters are learned: said by the graph, by slot, or by patterns of their names."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from documents import (
    CONV,
    Document,
    const,
    document,
    linear_document,
    module,
    op,
    plan,
    problems,
    read,
    source,
)

from hatch_irpytorch import EmitOptions, IRPyTorchError, emit_module
from hatch_irpytorch.ir.digest import graph_digest
from hatch_irpytorch.ir.freezing import with_learned
from hatch_irpytorch.ir.read import build_model
from hatch_irpytorch.ir.write import document_text

ATTENTION = {
    **op("multihead_attention", [0, 0, 0], []),
    "value_kind": "tuple",
    "tuple_shapes": [[1, 2, 2], [1, 2, 2]],
    "embed_dim": 2,
    "num_heads": 1,
    "batch_first": True,
    "dropout_zero": True,
    "scale": 0.5,
    **{f"{part}_weight": [[0.5, 1.0], [2.0, 3.0]] for part in ("q", "k", "v", "out")},
    **{f"{part}_bias": [0.0, 0.0] for part in ("q", "k", "v", "out")},
}


def layers() -> Document:
    """One node of each kind that may be learned, with the places they came from."""
    conv = {**CONV, "weight": [[[1.0, 2.0], [3.0, 4.0]]] * 2, "bias": [0.0, 0.0]}
    norm = {name: [1.0, 2.0] for name in ("gamma", "beta", "mean", "var")}
    affine = {"gamma": [1.0, 2.0], "beta": [3.0, 4.0], "eps": 1e-5}
    linear = {"weight": [[1.0, 2.0]] * 2, "bias": [0.5, 0.5]}
    return document(
        [2, 3],
        op("conv", [0], [2, 2], **conv, debug_target="body.conv"),
        op("batch_norm_eval", [1], [2, 2], channel_axis=1, channels=2, eps=0.1, **norm),
        op("layernorm", [2], [2, 2], axis=1, **affine, debug_target="body.norm"),
        op("linear", [3], [2, 2], **linear, debug_target="head"),
        {**const([2, 2], [1.0, 2.0]), "debug_target": "token"},
        op("add", [4, 5], [2, 2]),
    )


ALL = {
    *("conv_1_kernel", "conv_1_bias", "batchnorm_2_gamma", "batchnorm_2_beta"),
    *("layernorm_3_gamma", "layernorm_3_beta", "linear_4_W", "linear_4_b", "const_5"),
}


def learned(value: Document, **options: Any) -> set[str]:
    tensors = plan(value, compress_broadcast_params=False, **options).tensors
    return {tensor.name for tensor in tensors if tensor.learned}


@pytest.mark.parametrize(
    ("node", "flags", "frozen"),
    [
        (1, {"weight": False}, {"conv_1_kernel"}),
        (1, {"weight": True, "bias": False}, {"conv_1_bias"}),
        (2, {"gamma": False}, {"batchnorm_2_gamma"}),
        (3, {"beta": False, "gamma": False}, {"layernorm_3_gamma", "layernorm_3_beta"}),
        (4, {"bias": False}, {"linear_4_b"}),
        (4, {}, set()),
        (5, False, {"const_5"}),
    ],
)
def test_an_array_that_is_not_learned_is_a_buffer(node: int, flags: Any, frozen: set[str]) -> None:
    value = layers()
    value["nodes"][node]["learnable"] = flags
    plain, marked = (module(source(v, compress_broadcast_params=False)) for v in (layers(), value))
    assert {name for name, _ in marked.named_parameters()} == ALL - frozen == learned(value)
    assert marked.state_dict().keys() == plain.state_dict().keys()
    x = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(marked(x), plain(x))
    # What a weight means is the same, so that those trained before fit.
    if node != 5:
        assert graph_digest(read(value).graph) == graph_digest(read(layers()).graph)


def test_what_is_not_learned_survives_a_rewrite() -> None:
    value = layers()
    value["nodes"][4]["learnable"] = {"weight": True, "bias": False}
    model = read(value)
    text = document_text(model.graph, model.params)
    assert json.loads(text)["nodes"][4]["learnable"] == {"bias": False}
    assert "learnable" not in json.loads(text)["nodes"][3]
    again = build_model(text.encode(), "again").graph.nodes[4]
    assert again.op.learnable == model.graph.nodes[4].op.learnable  # type: ignore[attr-defined]


def test_zeros_that_are_not_learned_are_written_as_that() -> None:
    value = layers()
    value["nodes"][1]["learnable"] = {"bias": False}
    text = source(value)
    assert 'self.register_buffer("conv_1_bias", torch.full((2,), 0.0, dtype=dtype))' in text
    assert "CONV_1_BIAS" not in text


def test_an_optimizer_leaves_alone_what_is_not_learned() -> None:
    value = layers()
    value["nodes"][4]["learnable"] = {"weight": False}
    found: dict[str, Any] = {"__name__": "generated"}
    exec(compile(source(value), "generated.py", "exec"), found)
    model = found["ExportedIRModel"]()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x, y = torch.ones(2, 3), torch.zeros(2, 2)
    found["train_step"](model, x, y, found["make_optimizer"](model))
    same = {name for name, tensor in model.state_dict().items() if tensor.equal(before[name])}
    assert same == {"linear_4_W", "batchnorm_2_mean", "batchnorm_2_var"}


def test_legacy_nodes_and_attention_say_it_too() -> None:
    conv = {"inC": 1, "outC": 1, "kH": 1, "kW": 1, "stride": 1, "padding": 0}
    arrays = {"weight": [[[[2.0]]]], "bias": [0.0], "learnable": {"bias": False}}
    value = document([1, 2, 2], op("conv2d", [0], [1, 2, 2], **conv, **arrays))
    value["output_id"] = value.pop("output_ids")[0]
    assert learned(value) == {"conv2d_1_kernel"}
    flags = {"k_bias": False, "out_weight": False}
    get = op("tuple_getitem", [1], [1, 2, 2], index=0)
    value = document([1, 2, 2], {**ATTENTION, "learnable": flags}, get)
    every = {f"linear_{i}_{part}" for i in (1, 2, 3, 10) for part in "Wb"}
    assert learned(value) == every - {"linear_2_b", "linear_10_W"}


@pytest.mark.parametrize(
    "flags",
    [{"bias": 0}, {"bias": None}, {"values": False}, {"gamma": False}, True, [], "bias", None],
)
def test_ill_formed_flags_are_told(flags: Any) -> None:
    (problem,) = problems(linear_document(learnable=flags))
    assert problem.code == "bad-attribute"
    assert problem.place.node == 1
    assert "`learnable`" in problem.message or "`true` or `false`" in problem.message


@pytest.mark.parametrize(
    ("freeze", "learn", "frozen"),
    [
        (["linear_4_W"], [], {"linear_4_W"}),
        (["*_b*"], [], {"conv_1_bias", "batchnorm_2_beta", "layernorm_3_beta", "linear_4_b"}),
        (["head"], [], {"linear_4_W", "linear_4_b"}),
        (["head.weight", "token"], [], {"linear_4_W", "const_5"}),
        (["body.*.weight"], [], {"conv_1_kernel", "layernorm_3_gamma"}),
        (["body.nor[lm]"], [], {"layernorm_3_gamma", "layernorm_3_beta"}),
        (["*"], ["head"], ALL - {"linear_4_W", "linear_4_b"}),
        (["*"], ["token"], ALL - {"const_5"}),
        ([], ["head.bias"], set()),
    ],
)
@pytest.mark.parametrize("fuse", [False, True])
def test_patterns_choose_what_is_learned(
    freeze: list[str], learn: list[str], frozen: set[str], fuse: bool
) -> None:
    options = {"freeze": tuple(freeze), "learn": tuple(learn), "fuse": fuse}
    assert learned(layers(), **options) == ALL - frozen


def test_a_pattern_makes_a_bias_of_zeros_learned_again() -> None:
    value = layers()
    value["nodes"][1]["learnable"] = {"bias": False}
    assert learned(value) == ALL - {"conv_1_bias"}
    assert learned(value, learn=("body.conv.bias",)) == ALL
    as_before = with_learned(read(value), learn=["conv_*"])
    assert emit_module(as_before, EmitOptions()).source == source(layers())


@pytest.mark.parametrize("option", ["freeze", "learn"])
@pytest.mark.parametrize("pattern", ["body.cnov", "batchnorm_2_mean", "Head", "body"])
def test_a_pattern_that_matches_nothing_is_an_error(option: str, pattern: str) -> None:
    with pytest.raises(IRPyTorchError) as caught:
        source(layers(), **{option: (pattern, "head")})
    (problem,) = caught.value.problems
    assert problem.code == "bad-option"
    assert f"`{option}`" in problem.message
    assert pattern in problem.message
    if pattern == "body.cnov":
        assert "did you mean `body.conv" in problem.hint


def test_fused_layers_keep_what_is_learned() -> None:
    rng = np.random.default_rng(0)
    weights = [{"weight": rng.normal(size=(2, 2)).tolist(), "bias": [0.0, 0.0]} for _ in range(3)]
    value = document(
        [2, 2],
        *[op("linear", [0], [2, 2], **weights[i]) for i in range(3)],
        op("add", [1, 2], [2, 2]),
        op("add", [4, 3], [2, 2]),
    )
    for node in value["nodes"][1:4]:
        node["learnable"] = {"bias": False}
    assert learned(value, fuse=True) == {"linears_1_W"}
    value["nodes"][2]["learnable"] = {"weight": False}
    assert learned(value, fuse=True) == {"linear_1_W", "linear_2_b", "linear_3_W"}
