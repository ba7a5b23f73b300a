"""Any node of a graph may be what its module returns. torchlean.ir.v1: 6.43."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import called
from documents import Document, document, module, op

from hatch_irpytorch import EmitOptions, IRPyTorchError, emit_module, evaluate, read_model
from hatch_irpytorch.manifest import read_manifest


def chain() -> Document:
    """Node 1 becomes the tensor nodes 1 and 2; the last node lacks its numbers."""
    return document(
        [2, 3, 4],
        op("reduce_sum", [0], [4], axes=[0, 1], keepdim=False),
        op("exp", [1], [4]),
        op("linear", [2], [2]),
        outputs=[2],
    )


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "net.ir.json"
    path.write_text(json.dumps(chain()))
    return path


X = np.random.default_rng(0).normal(size=(2, 3, 4))


@pytest.mark.parametrize(
    ("ids", "shapes"),
    [([1], [(2, 4)]), ([2], [(4,)]), ([3, 0, 1], [(4,), (2, 3, 4), (2, 4)]), ([], [(4,)])],
)
def test_any_node_is_an_output(graph: Path, ids: list[int], shapes: list[tuple[int, ...]]) -> None:
    model = read_model(graph, output_ids=ids)
    expected = evaluate(model, X)
    assert [value.shape for value in expected] == shapes
    found = module(emit_module(model, EmitOptions(dtype="float64")).source)(torch.tensor(X))
    for one, two in zip(found if len(shapes) > 1 else [found], expected, strict=True):
        np.testing.assert_allclose(one.numpy(), two, rtol=1e-12)


def test_the_command_takes_them_too(graph: Path) -> None:
    result = called(graph.parent, "emit", graph.name, "--output-id", "1", "--output-id", "0")
    assert result.returncode == 0, result.stderr
    assert "return v1, v0" in result.stdout
    assert "torch.exp" not in result.stdout


@pytest.mark.parametrize("output", ["5", "99999999999999999999"])
def test_an_id_that_is_none_is_told(graph: Path, output: str) -> None:
    result = called(graph.parent, "emit", graph.name, "--output-id", output)
    assert result.returncode == 2
    assert "error[bad-id]" in result.stderr and "one of the 5 tensor nodes" in result.stderr


def test_what_another_output_needs_has_to_be_there(graph: Path) -> None:
    with pytest.raises(IRPyTorchError) as caught:
        read_model(graph, output_ids=[4])
    assert {problem.code for problem in caught.value.problems} == {"missing-payload"}


def test_a_manifest_chooses_outputs(graph: Path) -> None:
    root = graph.parent
    (root / "models").mkdir()
    value = chain()
    value["nodes"][3] |= {"weight": [[1.0] * 4] * 2, "bias": [0.0] * 2}
    (root / "models" / graph.name).write_text(json.dumps(value))
    (root / "pyproject.toml").write_text(
        '[project]\nname = "p"\nversion = "1"\n[tool.hatch.build.hooks.irpytorch]\n'
    )
    (root / "models" / "net.yaml").write_text("ir: net.ir.json\noutput_ids: [1, 3]\n")
    result = called(root, "regen")
    assert result.returncode == 0, result.stderr
    (text,) = (path.read_text() for path in root.glob("generated/*/net.py"))
    assert "return v1, v3" in text
    golden = json.loads(next(root.glob("tests/golden/net.json")).read_text())
    assert len(golden["cases"][0]["outputs"]) == 2
    result = called(root, "export", "net", "-o", "out.json")
    assert result.returncode == 0, result.stderr
    assert json.loads((root / "out.json").read_text())["output_ids"] == [1, 3]


@pytest.mark.parametrize("text", ["3", "[a]", "[-1]"])
def test_a_manifest_with_other_outputs_is_refused(text: str) -> None:
    with pytest.raises(IRPyTorchError) as caught:
        read_manifest(f"ir: net.ir.json\noutput_ids: {text}\n".encode(), "net.yaml")
    assert [problem.code for problem in caught.value.problems] == ["bad-option"]
