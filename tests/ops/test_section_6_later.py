"""Defects of upstream that are not repeated. torchlean.ir.v1: 6.18 to 6.37."""

from __future__ import annotations

import ast
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from documents import (
    CONV,
    LINEAR,
    POOL,
    Document,
    assert_equal,
    const,
    document,
    linear_document,
    module,
    namespace,
    op,
    problems,
    read,
    run_both,
    source,
)

from hatch_irpytorch import EmitOptions


def test_6_18_impossible_pool_windows_are_empty() -> None:
    value = document([2, 2], op("max_pool", [0], [2, 0], **{**POOL, "kernel": [3]}))
    assert_equal(value, np.ones((2, 2)), np.zeros((2, 0)))
    wide = {**POOL, "kernel": [3], "padding": [2]}
    assert_equal(document([3], op("avg_pool", [0], [0], **wide)), np.ones(3), np.zeros(0))


def test_6_19_zero_extents_are_printed_not_inferred() -> None:
    fields = {**CONV, "padding": [2], "padding_after": [2], "channel_axis": 2}
    weight = np.ones((2, 2, 2)).tolist()
    node = op("conv", [0], [3, 1, 2, 3], **fields, weight=weight, bias=[1.0, 2.0])
    value = document([3, 1, 2, 0], node)
    expected = np.broadcast_to(np.array([[1.0], [2.0]]), (3, 1, 2, 3))
    assert_equal(value, np.zeros((3, 1, 2, 0)), expected)
    text = source(value, training_skeleton=False, batch="fixed")
    assert "-1" not in text.split("def forward")[1]


@pytest.mark.parametrize("rank", [0, 4])
def test_6_20_ranks_without_a_torch_function(rank: int) -> None:
    fields = {
        **CONV,
        **{name: [1] * rank for name in ("kernel", "stride", "dilation")},
        **{name: [0] * rank for name in ("padding", "padding_after")},
        "spatial_rank": rank,
    }
    weight = np.reshape([[1.0, 2.0], [3.0, 4.0]], (2, 2, *[1] * rank)).tolist()
    shape = [2, *[1] * rank]
    value = document(shape, op("conv", [0], shape, **fields, weight=weight, bias=[0.0, 1.0]))
    assert_equal(value, np.reshape([1.0, 1.0], shape), np.reshape([3.0, 8.0], shape))


def test_6_21_the_contract_is_the_declared_shape() -> None:
    text = source(linear_document(), batch="fixed")
    assert '"""ExportedIRModel: (1, 2) -> (1, 3); ' in text
    assert "v0 = x  # (1, 2)" in text
    with pytest.raises(ValueError, match=r"expected x of \(1, 2\), found \(3, 2\)"):
        module(text)(torch.zeros(3, 2))


def test_6_22_random_numbers_have_the_module_s_dtype() -> None:
    value = document([2], op("rand_uniform", [], [2], seed=1), op("add", [0, 1], [2]))
    for dtype in ("float32", "float16"):
        loaded = module(source(value, dtype=dtype))
        assert loaded.get_buffer("rand_uniform_1_u").dtype == getattr(torch, dtype)


def test_6_23_seeds_wrap_modulo_2_64() -> None:
    def drawn(seed: int) -> list[Any]:
        value = document([1], op("rand_uniform", [], [4], seed=seed), outputs=[1])
        return run_both(value, [0.0])[0]

    np.testing.assert_array_equal(drawn(2**64 + 5), drawn(5))


def test_6_24_a_mask_is_a_buffer_that_is_not_saved() -> None:
    mask = {"shape": [2, 2], "allowed": [True, False, False, False]}
    value = document([2, 2], op("hard_masked_softmax", [0], [2, 2], mask=mask))
    loaded = module(source(value))
    assert loaded.get_buffer("hard_masked_softmax_1_mask").dtype == torch.bool
    assert loaded.state_dict() == {}
    assert_equal(value, np.zeros((2, 2)), [[1.0, 0.0], [0.0, 0.0]])


def test_6_25_a_grouped_kernel_is_packed_and_reported() -> None:
    fields = {**CONV, "groups": 2}
    weight = np.ones((2, 2, 2))
    value = document(
        [2, 3], op("conv", [0], [2, 2], **fields, weight=weight.tolist(), bias=[0.0, 0.0])
    )
    model = read(value)
    assert [note.code for note in model.notes] == ["unused-weight"]
    loaded = module(source(value))
    assert tuple(loaded.get_parameter("conv_1_kernel").shape) == (2, 1, 2)
    assert_equal(value, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[3.0, 5.0], [9.0, 11.0]])


def test_6_26_what_does_nothing_is_not_printed() -> None:
    value = document(
        [2, 3], op("conv", [0], [2, 2], **CONV, weight=np.ones((2, 2, 2)).tolist(), bias=[0, 0])
    )
    forward = source(value, training_skeleton=False).split("def forward")[1].split("# fmt")[0]
    assert "pad" not in forward and "reshape" not in forward


def test_6_27_a_loss_without_gradient_path_has_no_backward() -> None:
    cut = document([1, 2], op("linear", [0], [1, 3], **LINEAR), op("detach", [1], [1, 3]))
    text = source(cut)
    assert "backward" not in text
    defined = namespace(text)
    model = defined["ExportedIRModel"]()
    opt = defined["make_optimizer"](model)
    loss = defined["train_step"](model, torch.ones(1, 2), torch.ones(1, 3), opt)
    assert math.isfinite(loss)


def test_6_27_the_optimizer_s_kind_is_checked_first() -> None:
    defined = namespace(source(document([2], op("relu", [0], [2]))))
    model = defined["ExportedIRModel"]()
    assert defined["make_optimizer"](model) is None
    with pytest.raises(ValueError, match="rmsprop"):
        defined["make_optimizer"](model, "rmsprop")


@pytest.mark.parametrize(
    "name", ["A(B):", "class", "a b", "Ж", "F", "torch", "LINEAR_1_W", "x" * 61]
)
def test_6_28_a_class_name_is_an_identifier(name: str) -> None:
    with pytest.raises(ValueError, match="class name"):
        EmitOptions(class_name=name)


def test_6_28_a_dtype_is_one_of_a_closed_list() -> None:
    with pytest.raises(ValueError, match="dtype"):
        EmitOptions(dtype="torch.float32; import os")  # type: ignore[arg-type]


def test_6_29_a_module_passes_formatter_and_linter(tmp_path: Path) -> None:
    (tmp_path / "linear.py").write_text(source(linear_document()), encoding="utf-8")
    for arguments in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--isolated", str(tmp_path)]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_6_30_dialects_are_recognised_and_named() -> None:
    legacy = {**linear_document()}
    legacy["output_id"] = 1
    found = problems(legacy)
    assert [problem.code for problem in found] == ["mixed-dialects"]
    assert "legacy" in found[0].message and "v1" in found[0].message


def test_6_31_a_file_of_the_legacy_writer_fails_the_shape_check() -> None:
    """`flatten` was always written as total, whatever `start_dim` was."""
    value = document([2, 3], op("flatten", [0], [2, 3], value_shape=[2, 3]))
    found = problems(value)
    assert [(p.code, p.field) for p in found] == [("shape-mismatch", "shape")]


def test_6_32_implicit_broadcasting_is_refused_with_a_hint_of_shapes() -> None:
    value = document([2, 3], const([3], [1.0, 2.0, 3.0]), op("add", [0, 1], [2, 3]))
    found = problems(value)
    assert [p.code for p in found] == ["shape-mismatch"]
    assert "(2, 3) and (3,)" in found[0].message


def test_6_33_debug_fields_of_the_writers_are_ignored() -> None:
    fields = {"debug_target": "relu", "onnx_op_type": "Relu", "onnx_name": "r", "extra": [1]}
    assert problems(document([2], op("relu", [0], [2], **fields))) == ()


def attention(**changes: Any) -> Document:
    eye = np.eye(2)
    payload: dict[str, Any] = {}
    for i, name in enumerate(("q", "k", "v", "out")):
        payload[f"{name}_weight"] = (eye * (i + 1)).tolist()
        payload[f"{name}_bias"] = [0.0, 0.1 * i]
    node = {
        **op("multihead_attention", [0, 0, 0], []),
        "value_kind": "tuple",
        "tuple_shapes": [[1, 3, 2], [1, 3, 3]],
        "embed_dim": 2,
        "num_heads": 1,
        "batch_first": True,
        "dropout_zero": True,
        "bias": True,
        "scale": 2**-0.5,
        **payload,
        **changes,
    }
    first = op("tuple_getitem", [1], [1, 3, 2], index=0)
    second = op("tuple_getitem", [1], [1, 3, 2], index=0)
    return document([1, 3, 2], node, first, second, op("add", [2, 3], [1, 3, 2]))


def test_6_34_a_second_projection_is_an_alias() -> None:
    graph = read(attention()).graph
    assert len(graph.nodes) == 12
    assert graph.nodes[11].parents == (10, 10)


def test_6_35_layernorm_payload_is_all_or_nothing() -> None:
    some = document([2], op("layernorm", [0], [2], axis=0, gamma=[1.0, 1.0]))
    found = problems(some)
    assert {p.code for p in found} == {"missing-payload"}
    assert any("`beta`" in p.message for p in found) and any("`eps`" in p.message for p in found)
    assert problems(document([2], op("layernorm", [0], [2], axis=0))) == ()


def test_6_36_a_reduction_over_no_axes_is_an_alias() -> None:
    value = document([2], op("reduce_mean", [0], [2], axes=[], keepdim=True), op("relu", [1], [2]))
    graph = read(value).graph
    assert [(n.id, n.op.tag, n.parents) for n in graph.nodes] == [
        (0, "input", ()),
        (1, "relu", (0,)),
    ]
    assert_equal(value, [1.0, -1.0], [1.0, 0.0])


def test_6_37_no_rank_tests_at_run_time() -> None:
    legacy = {
        "format": "torchlean.ir.v1",
        "input_id": 0,
        "output_id": 1,
        "nodes": [
            {"id": 0, "kind": "input", "parents": [], "shape": [1, 2, 2]},
            {
                "id": 1,
                "kind": "max_pool2d",
                "parents": [0],
                "shape": [1, 1, 1],
                "kH": 2,
                "kW": 2,
                "stride": 1,
            },
        ],
    }
    text = source(legacy)
    assert "dim()" not in text and "squeeze" not in text
    assert_equal(legacy, [[[1.0, 2.0], [3.0, 4.0]]], [[[4.0]]])


def test_every_entry_of_section_6_has_its_test() -> None:
    names = [
        node.name
        for path in Path(__file__).parent.glob("test_section_6*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    ]
    tested = {int(name.split("_")[2]) for name in names if name.startswith("test_6_")}
    assert tested == set(range(1, 38))


def test_json_keeps_the_sign_of_zero() -> None:
    value = document([1], const([1], -0.0), op("add", [0, 1], [1]))
    assert "-0.0" in json.dumps(value)
    assert np.signbit(read(value).params[1, "values"]).all()
