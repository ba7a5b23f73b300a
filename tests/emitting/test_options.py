"""Every emission option: what it changes in the plan, in the text and in the numbers."""

from __future__ import annotations

import pkgutil
import re
import subprocess
import symtable
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run
from documents import (
    Document,
    const,
    document,
    module,
    namespace,
    op,
    plan,
    read,
    regression,
    source,
    with_weight_file,
)
from repository import ROOT

import hatch_irpytorch
from hatch_irpytorch import EmitOptions, IRPyTorchError, emit_module, evaluate
from hatch_irpytorch.emit.options import DTYPES, class_name_problem
from hatch_irpytorch.emit.planning import plan_module
from hatch_irpytorch.ir.ops.code import Function
from hatch_irpytorch.manifest import read_manifest
from hatch_irpytorch.manifest_fields import EMIT_FIELDS

ROWS = np.array([[1.0, 2.0, 3.0]] * 2)


def rows_document(values: Any = ROWS) -> Document:
    return document([2, 3], const([2, 3], values), op("add", [0, 1], [2, 3]))


def test_options_and_manifest_keys_are_the_same() -> None:
    assert {f.name for f in fields(EmitOptions)} == {f.name for f in EMIT_FIELDS}


def test_class_name() -> None:
    assert "class Net(nn.Module):" in source(regression(), class_name="Net")
    assert namespace(source(regression(), class_name="Net"))["Net"]


def carried_functions() -> list[str]:
    """The text of every function that some module carries."""
    texts = []
    for found in pkgutil.walk_packages(hatch_irpytorch.__path__, "hatch_irpytorch."):
        if found.name.startswith(("hatch_irpytorch.emit", "hatch_irpytorch.ir.")):
            for value in vars(import_module(found.name)).values():
                values = value.values() if isinstance(value, dict) else (value,)
                texts += [v.source for v in values if isinstance(v, Function)]
    assert len(texts) > 15
    return texts


def bare_names(text: str) -> set[str]:
    """What a text reads that is bound in none of its own functions."""
    waiting, found = [symtable.symtable(text, "module", "exec")], set()
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        outer = table.get_type() == "module"
        found |= {s.get_name() for s in table.get_symbols() if s.is_global() or outer}
    return found


def test_no_class_takes_a_name_that_modules_use() -> None:
    whole = [path.read_text() for path in (ROOT / "generated/irpytorch_models").glob("*.py")]
    several = document([2], op("relu", [0], [2]), outputs=[0, 1])
    empty = document([0], op("relu", [0], [0]))
    whole += [source(value, dtype=d) for value in (several, empty) for d in DTYPES]
    used = set().union(*map(bare_names, [*whole, *carried_functions()]))
    assert {"ValueError", "print", "torch", "ACCESS_COPY", "save_weights"} <= used
    classes = {name for text in whole for name in re.findall(r"^class (\w+)\(nn", text, re.M)}
    fit = {name for name in used - classes if not class_name_problem(name)}
    assert fit == set()


@pytest.mark.parametrize("name", ["ValueError", "ExceptionGroup", "Ellipsis", "WindowsError", "F"])
def test_a_class_name_that_is_taken(tmp_path: Path, name: str) -> None:
    graph = ROOT / "tests/sample_project/models/affine.ir.json"
    result = run(tmp_path, "emit", str(graph), "--class-name", name)
    assert result.returncode == 2 and "--class-name: error[bad-name]" in result.stderr
    text = f"ir: a.json\nemit:\n  class_name: {name}\n".encode()
    with pytest.raises(IRPyTorchError, match=r"m.yaml:3:15: error\[bad-"):
        read_manifest(text, "models/m.yaml")


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype(dtype: str) -> None:
    value = document(
        [2],
        const([2], [0.1, 1e-3]),
        const([2], 0.1),
        op("add", [0, 1], [2]),
        op("mul_elem", [3, 2], [2]),
    )
    loaded = module(source(value, dtype=f"torch.{dtype}"))
    kind = getattr(torch, dtype)
    exact = torch.tensor([0.1, 1e-3], dtype=torch.float64).to(kind)
    assert torch.equal(loaded.get_parameter("const_1"), exact)
    assert {t.dtype for t in [*loaded.parameters(), *loaded.buffers()]} == {kind}
    x = torch.ones(2, dtype=kind)
    assert loaded(x).dtype == kind
    expected = evaluate(read(value), [1.0, 1.0])[0]
    tolerance = 4 * torch.finfo(kind).eps
    found = loaded(x).detach().double().numpy()
    np.testing.assert_allclose(found, expected, rtol=tolerance)


def test_training_skeleton_off() -> None:
    text = source(regression(), training_skeleton=False)
    for word in ("make_optimizer", "train_step", "__main__", "fmt: on"):
        assert word not in text


def test_train_step_of_an_output() -> None:
    defined = namespace(source(regression()))
    model = defined["ExportedIRModel"]()
    x, y = torch.ones(4, 2), torch.zeros(4, 3)
    opt = defined["make_optimizer"](model, "sgd", lr=0.1)
    assert isinstance(opt, torch.optim.SGD)
    with torch.no_grad():
        expected = float(((model(x) - y) ** 2).mean())
    losses = [defined["train_step"](model, x, y, opt) for _ in range(5)]
    assert losses[0] == pytest.approx(expected)
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
    assert defined["train_step"](model, x, y) == defined["train_step"](model, x, y)


def test_train_step_of_an_mse_loss() -> None:
    value = regression()
    value["nodes"] += [
        {"id": 2, "kind": "const", "parents": [], "shape": [4, 3], "values": [0.0] * 12},
        {"id": 3, "kind": "mse_loss", "parents": [1, 2], "shape": []},
    ]
    value["output_ids"] = [3]
    defined = namespace(source(value))
    model = defined["ExportedIRModel"]()
    opt = defined["make_optimizer"](model)
    assert isinstance(opt, torch.optim.Adam)
    losses = [defined["train_step"](model, torch.ones(4, 2), opt) for _ in range(3)]
    assert losses[2] < losses[1] < losses[0]


def test_train_step_of_several_outputs() -> None:
    value = regression()
    value["nodes"].append({"id": 2, "kind": "relu", "parents": [1], "shape": [4, 3]})
    value["output_ids"] = [1, 2]
    defined = namespace(source(value))
    model = defined["ExportedIRModel"]()
    y = (torch.zeros(4, 3), torch.zeros(4, 3))
    opt = defined["make_optimizer"](model)
    losses = [defined["train_step"](model, torch.ones(4, 2), y, opt) for _ in range(3)]
    assert losses[2] < losses[0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_run_as_a_program_prints_a_falling_loss(tmp_path: Path, dtype: str) -> None:
    (tmp_path / "net.py").write_text(source(regression(), dtype=dtype), encoding="utf-8")
    command = [sys.executable, "-W", "error", str(tmp_path / "net.py")]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    losses = [float(line.split()[-1]) for line in result.stdout.splitlines()]
    # A step of 1e-3 is less than half a bfloat16's spacing at these weights.
    assert len(losses) == 5 and (losses[-1] < losses[0] or dtype == "bfloat16")


def test_a_log_is_trained_on_positive_inputs() -> None:
    text = source(document([2], op("log", [0], [2])))
    assert "x = torch.rand(2, " in text or "x = torch.rand((2,), " in text


def test_learnable_consts() -> None:
    on, off = plan(rows_document()), plan(rows_document(), learnable_consts=False)
    assert [(b.name, b.learned) for b in on.tensors] == [("const_1_vec", True)]
    assert [(b.name, b.learned) for b in off.tensors] == [("const_1", False)]
    assert "const_1" in dict(
        module(source(rows_document(), learnable_consts=False)).named_buffers()
    )


@pytest.mark.parametrize(
    ("values", "mark", "learned"),
    [
        (1.0, {}, False),
        (1.0, {"learnable": True}, True),
        ([1.0, 2.0], {}, True),
        ([1.0, 2.0], {"learnable": False}, False),
    ],
)
def test_a_const_that_says_whether_it_is_learnable(
    values: Any, mark: dict[str, bool], learned: bool
) -> None:
    """A project extension: without it the rule of 5.3 decides, and the option is above it."""
    graph = document([2, 2], const([2, 2], values) | mark, op("add", [0, 1], [2, 2]))
    for compress in (True, False):
        (binding,) = plan(graph, compress_broadcast_params=compress).tensors
        assert binding.learned is learned
        # Rows that are equal by chance are tied only where nobody said that it is a parameter.
        assert binding.name == ("const_1_vec" if learned and compress and not mark else "const_1")
    (binding,) = plan(graph, learnable_consts=False).tensors
    assert not binding.learned


def test_the_origin_of_nodes_stands_above_them_once() -> None:
    fields = {"debug_target": "layers.0.attn"}
    graph = document(
        [2],
        op("relu", [0], [2], **fields),
        op("tanh", [1], [2], **fields),
        op("exp", [2], [2]),
        op("sin", [3], [2], onnx_name="/layers.1/Sin"),
    )
    text = source(graph, training_skeleton=False)
    assert text.split("def forward")[1].splitlines()[1:] == [
        "        require_shape(x)",
        "        v0 = x  # (N,)",
        "        # layers.0.attn",
        "        v1 = torch.relu(v0)  # (N,)",
        "        v2 = torch.tanh(v1)  # (N,)",
        "        v3 = torch.exp(v2)  # (N,)",
        "        # layers.1.Sin",
        "        v4 = torch.sin(v3)  # (N,)",
        "        return v4",
    ]


@pytest.mark.parametrize("origin", ["forward", "aten.relu.default", "aten.add.Tensor"])
def test_an_origin_that_says_nothing_is_not_printed(origin: str) -> None:
    fields = {"debug_target": "layers.0"}
    nodes = [op("relu", [0], [2], **fields), op("tanh", [1], [2], debug_target=origin)]
    text = source(document([2], *nodes, op("exp", [2], [2], **fields)), training_skeleton=False)
    comments = [line.strip() for line in text.splitlines() if line.strip().startswith("# ")]
    assert comments[2:] == ["# layers.0", "# layers.0"]


def test_an_origin_named_like_a_call_brings_no_import() -> None:
    graph = document([2], op("relu", [0], [2], debug_target="net.F.relu"))
    text = source(graph, training_skeleton=False)
    assert "        # net.F.relu\n" in text
    assert "functional" not in text


def test_compress_broadcast_params() -> None:
    loose = plan(rows_document(), compress_broadcast_params=False, batch="fixed")
    assert [(b.name, b.shape) for b in loose.tensors] == [("const_1", (2, 3))]
    tied = module(source(rows_document(), batch="fixed"))
    x = torch.zeros(2, 3)
    torch.testing.assert_close(tied(x), torch.tensor(ROWS, dtype=torch.float32))
    torch.autograd.backward(tied(x).sum())
    assert tied.get_parameter("const_1_vec").grad is not None
    grad = tied.get_parameter("const_1_vec").grad
    assert grad is not None and grad.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("shape", "values", "name"),
    [
        ([1, 3], [[1.0, 2.0, 3.0]], "const_1_vec"),
        ([2, 2], [[1.0, 2.0], [1.0, 2.5]], "const_1"),
        ([2, 2], [[0.0, 2.0], [-0.0, 2.0]], "const_1"),
        ([3], [1.0, 2.0, 3.0], "const_1"),
        ([1, 2, 2], [[[1.0, 2.0], [1.0, 2.0]]], "const_1"),
    ],
)
def test_what_is_compressed(shape: list[int], values: Any, name: str) -> None:
    value = document(shape, const(shape, values), op("add", [0, 1], shape))
    assert [b.name for b in plan(value).tensors] == [name]


@pytest.mark.parametrize(
    ("values", "learned"),
    [([1.0, 1.0], False), ([0.0, -0.0], False), ([1.0, 2.0], True), ([], False)],
)
def test_uniform_consts_are_buffers(values: list[float], learned: bool) -> None:
    shape = [len(values)]
    value = document(shape, const(shape, values), op("add", [0, 1], shape))
    assert [b.learned for b in plan(value).tensors] == [learned]
    x = torch.zeros(shape, dtype=torch.float64)
    found = module(source(value, dtype="float64")).state_dict()["const_1"]
    assert torch.equal(
        torch.copysign(x + 1, found), torch.copysign(x + 1, torch.tensor(values).double())
    )


def test_more_numbers_than_the_limit_are_an_error_that_names_the_option() -> None:
    graph = read(regression())
    assert plan_module(graph, EmitOptions(inline_limit=9)).tensors
    with pytest.raises(IRPyTorchError) as caught:
        plan_module(graph, EmitOptions(inline_limit=8))
    assert str(caught.value) == (
        "graph.json: error[too-large]: the module would hold 9 numbers in its source, "
        "more than `inline_limit`, which is 8; set `weights: safetensors`"
    )
    assert plan_module(graph, EmitOptions(inline_limit=0, weights="safetensors")).tensors
    with pytest.raises(ValueError, match="inline_limit must be a natural number"):
        EmitOptions(inline_limit=-1)


def test_weights_in_a_file(tmp_path: Path) -> None:
    emitted = with_weight_file()
    assert emitted.weights is not None and "LINEAR_1_W" not in emitted.source
    (tmp_path / "net.py").write_text(emitted.source, encoding="utf-8")
    (tmp_path / "net.safetensors").write_bytes(bytes(emitted.weights))
    program = (
        "import sys, torch; sys.path.insert(0, sys.argv[1]); from net import ExportedIRModel\n"
        "print(ExportedIRModel()(torch.ones(4, 2)).tolist())"
    )
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    expected = evaluate(read(regression()), np.ones((4, 2)))[0].tolist()
    assert result.stdout.strip() == str(expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_weight_file_is_what_safetensors_reads(dtype: Any) -> None:
    from safetensors.torch import load

    emitted = with_weight_file(dtype)
    assert emitted.weights is not None
    found = load(bytes(emitted.weights))
    inline = module(source(regression(), dtype=dtype)).state_dict()
    assert found.keys() == inline.keys()
    assert all(torch.equal(found[name], inline[name]) for name in found)
    assert all(tensor.dtype == getattr(torch, dtype) for tensor in found.values())


@pytest.mark.parametrize("name", ['a"b.safetensors', "../x.safetensors", "a b"])
def test_a_weight_file_s_name_cannot_carry_code(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        emit_module(read(regression()), EmitOptions(weights="safetensors"), weights_file=name)


def test_a_weight_file_needs_a_name() -> None:
    with pytest.raises(ValueError, match="name"):
        emit_module(read(regression()), EmitOptions(weights="safetensors"))


def test_a_state_dict_is_a_param_store(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from hatch_irpytorch.ir.params import StoreFile
    from hatch_irpytorch.ir.stores import read_store

    value = rows_document()
    trained = module(source(value))
    with torch.no_grad():
        trained.get_parameter("const_1_vec").add_(1.0)
    save_file(trained.state_dict(), tmp_path / "p.safetensors")
    store = StoreFile("p", read_store(tmp_path / "p.safetensors", "p"))
    again = read(value, store)
    np.testing.assert_array_equal(again.params[1, "values"], ROWS + 1.0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_average_pooling_over_three_axes_runs_on_a_cpu(dtype: str) -> None:
    """torch has no CPU kernel of `avg_pool3d` for these."""
    fields = {"spatial_rank": 3, "kernel": [2] * 3, "stride": [2] * 3, "padding": [0] * 3}
    text = source(document([4] * 3, op("avg_pool", [0], [2] * 3, **fields)), dtype=dtype)
    x = torch.ones(4, 4, 4, dtype=getattr(torch, dtype))
    assert torch.equal(module(text)(x), torch.ones(2, 2, 2, dtype=x.dtype))


@pytest.mark.parametrize("value", ["1e6", "-1", "'5'", "true", "1.0", "9" * 19, "[1]"])
def test_a_limit_in_a_manifest_is_a_natural_number(value: str) -> None:
    text = f"ir: a.json\nemit:\n  inline_limit: {value}\n"
    with pytest.raises(
        IRPyTorchError, match=r"m\.yaml:3:17: error\[bad-option\]: `emit.inline_limit`"
    ):
        read_manifest(text.encode(), "m.yaml")


def test_a_limit_in_a_manifest_is_read() -> None:
    manifest = read_manifest(b"ir: a.json\nemit:\n  inline_limit: 25\n", "m.yaml")
    assert manifest.emit.inline_limit == 25
