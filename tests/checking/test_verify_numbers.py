"""How far a module may be off, and what `verify` says where it is further off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import run
from comparisons import compared, generated, gpt, manifest
from documents import const, document, op, read

from hatch_irpytorch import EmitOptions, evaluate
from hatch_irpytorch.build.golden import GoldenCase, make_golden
from hatch_irpytorch.capture.files import write_captured
from hatch_irpytorch.verify.golden import golden_limits
from hatch_irpytorch.verify.numbers import Limits, Output, differences, distances, in_dtype
from hatch_irpytorch.verify.parity import parity_cases, parity_limits


def test_a_float32_gpt_and_its_original_are_no_false_alarm() -> None:
    net, model = gpt()
    cases = make_golden(model)
    limits = golden_limits(model, manifest(), cases)
    only_floor = Limits("float32", limits.rtol, limits.atol)
    assert compared(net, cases, only_floor), "the limits of before would do"
    for each in (net, generated(model)):
        assert compared(each, cases, limits) == []


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_gpt_in_a_narrow_dtype_is_no_false_alarm(dtype: str) -> None:
    _, model = gpt()
    cases = make_golden(model)
    limits = golden_limits(model, manifest(f"emit:\n  dtype: {dtype}\n"), cases)
    assert compared(generated(model, dtype=dtype), cases, limits) == []
    exact = parity_cases(model, dtype, cases)
    wide = generated(model, dtype=dtype).double()
    assert compared(wide, exact, parity_limits(model, EmitOptions(dtype=dtype), exact)) == []  # type: ignore[arg-type]


def test_the_tolerance_is_four_times_the_distance_of_numpy_in_the_dtype() -> None:
    """Not of torch: a module whose error is its own is found."""
    _, model = gpt()
    cases = make_golden(model)
    (away,) = distances(model, cases, in_dtype("float32"))
    assert 1e-7 < away < 1e-4
    limits = golden_limits(model, manifest(), cases)
    for factor, told in ((3.9, 0), (4.1, len(cases))):
        found = [(Output("float32", case.outputs[0] + factor * away),) for case in cases]
        # Entries of several units are within 1e-5 of themselves: the floor.
        assert len(differences(found, cases, limits)) == told


def test_a_manifest_s_tolerance_rules_alone_and_the_message_says_what_to_set() -> None:
    net, model = gpt()
    cases = make_golden(model)
    strict = golden_limits(model, manifest("golden:\n  rtol: 1.0e-9\n"), cases)
    assert (strict.rtol, strict.atol, strict.measure) == (1e-9, 1e-6, None)
    lines = compared(net, cases, strict)
    assert len(lines) == len(cases)
    assert all(
        "times the tolerance" in line and "1e-06 + 1e-09 * |expected|" in line for line in lines
    )
    loose = golden_limits(model, manifest("golden:\n  rtol: 0.5\n  atol: 0.5\n"), cases)
    away = [(Output("float32", case.outputs[0] + 0.4),) for case in cases]
    assert differences(away, cases, loose) == []
    measured = golden_limits(model, manifest(), cases)
    (line, *_) = differences(
        [(Output("float32", c.outputs[0] + 1),) for c in cases], cases, measured
    )
    assert "(4 times the distance of NumPy in float32)" in line


def test_the_largest_excess_is_the_one_that_is_told() -> None:
    case = GoldenCase(np.zeros(1), (np.array([1.0, 0.0, 100.0]),))
    found = (Output("float32", np.array([1.01, 0.02, 101.0])),)
    (line,) = differences([found], [case], Limits("float32", 1e-3, 1e-3))
    assert line == (
        "case 0: output 0 at (1,) is 0.02, expected 0.0: off by 0.02, "
        "20 times the tolerance 0.001 (0.001 + 0.001 * |expected|)"
    )


@pytest.mark.parametrize(
    ("found", "expected", "told"),
    [
        (np.inf, np.inf, False),
        (np.nan, np.nan, False),
        (np.inf, -np.inf, True),
        (np.inf, 1.0, True),
        (1.0, np.inf, True),
        (np.nan, 1.0, True),
        (1.0, np.nan, True),
        (0.0, -0.0, False),
    ],
)
def test_what_is_not_finite_is_within_nothing_but_itself(
    found: float, expected: float, told: bool
) -> None:
    case = GoldenCase(np.zeros(1), (np.array([0.0, expected]),))
    limits = Limits("float64", 1e-3, 1e-3, lambda: (1.0,), "a run")
    output = (Output("float64", np.array([0.0, found])),)
    assert bool(differences([output], [case], limits)) is told


def test_outputs_that_cancel_to_nothing_are_no_false_alarm() -> None:
    """The sum of a softmax less 1, in thousands of entries: rounding, and nothing else."""
    graph = document(
        [64, 50],
        op("softmax", [0], [64, 50], axis=1),
        op("reduce_sum", [1], [64], axes=[1], keepdim=False),
        const([64], -1.0),
        op("add", [2, 3], [64]),
        op("sum", [4], []),
        outputs=[4, 5],
    )
    model = read(graph)
    cases = parity_cases(model, "float32", ())
    net = generated(model).double()
    assert compared(net, cases, parity_limits(model, EmitOptions(), cases)) == []
    away = [
        (Output("float64", c.outputs[0] + 1e-12), Output("float64", c.outputs[1])) for c in cases
    ]
    assert len(differences(away, cases, parity_limits(model, EmitOptions(), cases))) == len(cases)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_random_draws_are_compared_as_a_module_rounds_them(dtype: str) -> None:
    graph = document(
        [7],
        op("rand_uniform", [], [7], seed=3),
        op("add", [0, 1], [7]),
        const([], 0.3),
        op("bernoulli_mask", [3], [7], seed=9),
        op("mul_elem", [2, 4], [7]),
    )
    model = read(graph)
    cases = parity_cases(model, dtype, ())
    net = generated(model, dtype=dtype).double()
    limits = parity_limits(model, EmitOptions(dtype=dtype), cases)  # type: ignore[arg-type]
    assert limits.rtol == 1e-9 and compared(net, cases, limits) == []


def test_the_command_passes_a_gpt_and_names_what_to_set(tmp_path: Path) -> None:
    _, model = gpt()
    (tmp_path / "models").mkdir()
    (tmp_path / "pyproject.toml").write_text("[tool.hatch.build.hooks.irpytorch]\n")
    write_captured(model, tmp_path / "models/gpt", "GPT", "float32")
    assert run(tmp_path, "regen").returncode == 0
    result = run(tmp_path, "verify")
    assert (result.returncode, result.stderr) == (0, "")
    with (tmp_path / "models/gpt.yaml").open("a") as stream:
        stream.write("golden:\n  rtol: 1.0e-9\n")
    assert run(tmp_path, "regen").returncode == 0
    result = run(tmp_path, "verify")
    assert (result.returncode, result.stdout) == (1, "gpt: 3 findings\n")
    for line in result.stderr.splitlines():
        assert "error[not-golden]: case " in line and "times the tolerance" in line
        assert line.endswith("`golden.rtol` and `golden.atol` in models/gpt.yaml set the tolerance")


def test_evaluating_in_a_dtype_is_evaluating_the_rounded_graph() -> None:
    value = document(
        [2],
        op("linear", [0], [2], weight=[[0.1, 0.2], [0.3, 0.4]], bias=[0.5, 0.6]),
        op("tanh", [1], [2]),
    )
    model = read(value)
    x = np.array([0.3, -0.7])
    single = evaluate(model, x, in_dtype("float32"))[0]
    assert np.array_equal(single, single.astype(np.float32)) and single.dtype == np.float64
    weight, bias = (model.params[1, name].astype(np.float32) for name in ("weight", "bias"))
    np.testing.assert_array_equal(single, np.tanh(x.astype(np.float32) @ weight.T + bias))
    exact = evaluate(model, x)[0]
    for dtype, unit in (("float32", 2**-24), ("float16", 2**-11), ("bfloat16", 2**-8)):
        away = np.abs(evaluate(model, x, in_dtype(dtype))[0] - exact).max()
        assert 0 < away < 8 * unit
