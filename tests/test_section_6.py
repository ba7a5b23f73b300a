"""What upstream gets wrong and we do not: one test for each entry of torchlean.ir.v1: 6."""

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
    Document,
    assert_equal,
    const,
    document,
    module,
    namespace,
    op,
    plan,
    problems,
    read,
    run_both,
    source,
)

from hatch_irpytorch import EmitOptions, IRPyTorchError, emit_module, evaluate
from hatch_irpytorch.ir.ops.sources import draw_key, draws

POOL: dict[str, Any] = {"spatial_rank": 1, "kernel": [2], "stride": [1], "padding": [0]}
LINEAR: dict[str, Any] = {
    "weight": [[1.0, 0.0], [0.5, -1.0], [0.0, 2.0]],
    "bias": [0.0, 0.25, -0.5],
}


def linear_document(**fields: Any) -> Document:
    return document([1, 2], op("linear", [0], [1, 3], **{**LINEAR, **fields}))


def test_6_1_layernorm_uses_its_payload_and_eps() -> None:
    payload = {"gamma": [2.0, 2.0], "beta": [1.0, 1.0], "eps": 1e-12}
    with_payload = document([1, 2], op("layernorm", [0], [1, 2], axis=1, **payload))
    spread = 0.0005 / math.sqrt(0.0005**2 + 1e-12)
    x = [[1.0, 1.001]]
    found, reference = run_both(with_payload, x)
    np.testing.assert_allclose(found[0], [[1 - 2 * spread, 1 + 2 * spread]], rtol=1e-9)
    np.testing.assert_allclose(reference[0], found[0], rtol=1e-12)
    plain, _ = run_both(document([1, 2], op("layernorm", [0], [1, 2], axis=1)), x)
    np.testing.assert_allclose(plain[0], [[-0.1562, 0.1562]], atol=5e-5)


def test_6_2_sqrt_of_a_negative_number_is_zero() -> None:
    assert_equal(document([2], op("sqrt", [0], [2])), [-1.0, 4.0], [0.0, 2.0])


def test_6_3_log_states_its_domain_and_the_reference_refuses_outside() -> None:
    value = document([1, 2], op("log", [0], [1, 2]))
    assert "defined for v0 > 0" in source(value)
    with pytest.raises(IRPyTorchError) as caught:
        evaluate(read(value), [[1.0, -2.0]])
    assert [problem.code for problem in caught.value.problems] == ["domain"]
    assert "(0, 1)" in str(caught.value) and "node 1 (log)" in str(caught.value)


def test_6_4_batch_norm_clamps_a_negative_variance_and_divides_by_the_root() -> None:
    payload = {"gamma": [1.0], "beta": [0.0], "mean": [0.0], "var": [-4.0], "eps": 0.25}
    fields = {"channel_axis": 0, "channels": 1, **payload}
    assert_equal(document([1], op("batch_norm_eval", [0], [1], **fields)), [3.0], [6.0])
    text = source(document([1], op("batch_norm_eval", [0], [1], **fields)))
    assert "def batch_norm" in text and "rsqrt" not in text


def test_6_4_torch_s_batch_norm_is_called_where_it_computes_the_same() -> None:
    """Its sum cancels where a mean is far larger than its deviation, and it does not clamp."""
    ordinary = {"gamma": [2.0], "beta": [0.5], "mean": [1.0], "var": [4.0], "eps": 0.25}
    for changed, own in (
        ({}, False),
        ({"mean": [1e9]}, True),
        ({"var": [-1.0]}, True),
        ({"eps": -0.5}, True),
        ({"eps": 0.0, "var": [0.0]}, True),
        ({"gamma": [1e308], "var": [0.0]}, True),
    ):
        fields = {"channel_axis": 1, "channels": 1, **ordinary, **changed}
        value = document([1, 1], op("batch_norm_eval", [0], [1, 1], **fields))
        assert ("def batch_norm" in source(value)) == own
        assert ("F.batch_norm" in source(value)) != own
        found, expected = run_both(value, [[1.5 + 0.5 * own * 1e9]])
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)


def test_6_5_mse_loss_of_empty_tensors_is_zero() -> None:
    value = document([0, 3], op("mse_loss", [0, 0], []))
    assert_equal(value, np.zeros((0, 3)), 0.0)


def test_6_6_relu_before_inv_gives_a_positive_zero() -> None:
    value = document([1], op("relu", [0], [1]), op("inv", [1], [1]))
    assert_equal(value, [-0.0], [math.inf])
    assert " + 0.0" not in source(document([1], op("relu", [0], [1])))


@pytest.mark.parametrize("kind", ["max_elem", "min_elem"])
def test_6_7_nan_propagates_in_order_ops(kind: str) -> None:
    value = document([2], const([2], 1.0), op(kind, [0, 1], [2]))
    found, reference = run_both(value, [math.nan, 1.0])
    assert np.isnan(found[0][0]) and np.isnan(reference[0][0])


@pytest.mark.parametrize("x", [[1.0, math.nan], [math.nan, 1.0]])
def test_6_7_nan_propagates_in_max_pool(x: list[float]) -> None:
    found, reference = run_both(document([2], op("max_pool", [0], [1], **POOL)), x)
    assert np.isnan(found[0]).all() and np.isnan(reference[0]).all()


def test_6_8_rounding_stays_within_an_absolute_tolerance() -> None:
    value = document([2, 3, 4], op("reduce_mean", [0], [1, 3, 1], axes=[0, 2], keepdim=True))
    x = np.random.default_rng(0).normal(size=(2, 3, 4)) * 1e6
    assert_equal(value, x, x.mean(axis=(0, 2), keepdims=True))


def test_6_9_random_draws_are_the_graph_s_own() -> None:
    value = document([1], op("rand_uniform", [], [3], seed=44), outputs=[1])
    u = draws(draw_key(44, 1), (3,)) / 2**32
    assert_equal(value, [0.0], u)
    np.testing.assert_allclose(u, [0.974005583440885, 0.9942779776174575, 0.6325918631628156])


def test_6_10_literals_are_exact_and_importable() -> None:
    values = [1e-7, 1e-5, 3.4028234663852886e38, 1e-45, -0.0, 0.1]
    value = document([6], const([6], values), op("add", [0, 1], [6]))
    found = module(source(value, dtype="float64")).get_parameter("const_1")
    assert found.tolist() == values and math.copysign(1, found[4].item()) == -1
    text = source(value)
    assert "1e-07 0.00001" in text and "fromhex" not in text


def test_6_10_values_that_are_not_finite_are_written_as_python(tmp_path: Path) -> None:
    from hatch_irpytorch.ir.params import StoreFile
    from hatch_irpytorch.ir.stores import read_store

    special = np.array([math.nan, math.inf, -math.inf])
    np.savez(tmp_path / "p.npz", const_1=special)
    value = document([3], {"kind": "const", "shape": [3]}, op("add", [0, 1], [3]))
    model = read(value, StoreFile("p.npz", read_store(tmp_path / "p.npz", "p.npz")))
    text = emit_module(model, EmitOptions(dtype="float64")).source
    assert 'CONST_1 = "nan inf -inf"' in text
    found = module(text).get_parameter("const_1").detach().numpy()
    np.testing.assert_array_equal(found, special)


def test_6_11_floats_are_readable_decimals() -> None:
    text = source(linear_document(bias=[0.1, 1 / 3, 2.5]))
    assert 'LINEAR_1_B = "0.1 0.33333334 2.5"' in text


def test_6_12_several_outputs_are_a_tuple() -> None:
    value = document([2], op("relu", [0], [2]), op("sum", [1], []), outputs=[2, 1, 0, 2])
    found, reference = run_both(value, [1.0, -2.0])
    assert [y.tolist() for y in found] == [y.tolist() for y in reference]
    assert [y.tolist() for y in found] == [1.0, [1.0, 0.0], [1.0, -2.0], 1.0]


def test_6_13_nothing_is_emitted_from_a_graph_that_does_not_check() -> None:
    wrong = linear_document(weight=[[1.0, 2.0]])
    assert [p.code for p in problems(wrong)] == ["bad-payload"]
    forward = document([2], op("relu", [2], [2]), op("relu", [0], [2]))
    assert [p.code for p in problems(forward)] == ["bad-parent"]


def test_6_14_learnable_consts_are_the_used_ones_that_are_not_uniform() -> None:
    value = document(
        [2],
        const([2], [1.0, 2.0]),
        const([2], 3.0),
        const([2], [5.0, 6.0]),
        op("add", [0, 1], [2]),
        op("add", [4, 2], [2]),
    )
    bound = {b.name: b.learned for b in plan(value).tensors}
    assert bound == {"const_1": True, "const_2": False}
    assert not any(b.learned for b in plan(value, learnable_consts=False).tensors)


def test_6_15_dead_consts_get_no_binding() -> None:
    value = document([2], const([3], [1.0, 2.0, 3.0]), op("relu", [0], [2]))
    assert plan(value).tensors == ()
    assert (1, "values") in read(value).params


def test_6_16_affine_part_is_found_in_payload_and_in_consts() -> None:
    around = document(
        [2, 2],
        op("layernorm", [0], [2, 2], axis=1),
        const([2, 2], 1.0),
        const([2, 2], 0.0),
        op("mul_elem", [2, 1], [2, 2]),
        op("add", [4, 3], [2, 2]),
    )
    bound = plan(around, compress_broadcast_params=False).tensors
    assert [(b.name, b.learned) for b in bound] == [("const_2", True), ("const_3", True)]
    payload = {"gamma": [1.0, 1.0], "beta": [0.0, 0.0], "eps": 1e-5}
    inside = document([2, 2], op("layernorm", [0], [2, 2], axis=1, **payload))
    assert [(b.name, b.learned) for b in plan(inside).tensors] == [
        ("layernorm_1_gamma", True),
        ("layernorm_1_beta", True),
    ]


def test_6_17_passes_are_linear_in_the_graph() -> None:
    """Counted, not timed: steps of the interpreter for twice the graph are about twice as many."""

    def steps(length: int) -> int:
        nodes = []
        for i in range(length):
            nodes += [
                op("layernorm", [6 * i], [2], axis=0),
                const([2], 1.0),
                op("mul_elem", [6 * i + 1, 6 * i + 2], [2]),
                const([2], [0.0, 1.0]),
                op("add", [6 * i + 3, 6 * i + 4], [2]),
                op("relu", [6 * i + 5], [2]),
            ]
        model = read(document([2], *nodes))
        count = 0

        def tick(frame: Any, event: str, argument: Any) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(tick)
        try:
            emit_module(model, EmitOptions())
        finally:
            sys.setprofile(None)
        return count

    assert steps(80) < 2.5 * steps(40)


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
    assert "-1" not in source(value, training_skeleton=False).split("def forward")[1]


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
    text = source(linear_document())
    assert '"""ExportedIRModel: (1, 2) -> (1, 3); ' in text
    assert "v0 = x  # (1, 2)" in text


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
        for node in ast.parse(Path(__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    ]
    tested = {int(name.split("_")[2]) for name in names if name.startswith("test_6_")}
    assert tested == set(range(1, 38))


def test_json_keeps_the_sign_of_zero() -> None:
    value = document([1], const([1], -0.0), op("add", [0, 1], [1]))
    assert "-0.0" in json.dumps(value)
    assert np.signbit(read(value).params[1, "values"]).all()
