"""Rows that a mask blocks whole: 0 in attention, as torch gives it, and a note elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from documents import namespace
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention as attention

from hatch_irpytorch import EmitOptions, Model, emit_module, evaluate
from hatch_irpytorch.capture import from_onnx, from_torch

ALLOWED = torch.tensor([[True, False, False], [False] * 3, [True] * 3])
ADDEND = torch.where(ALLOWED, 0.3, -torch.inf)
HEADS = torch.stack([ALLOWED, ALLOWED.roll(1, 0), torch.ones(3, 3, dtype=torch.bool)])
NONE_WHOLE = torch.tensor([[True, False, False], [False, True, True], [True] * 3])
LOWEST = torch.where(ALLOWED, 0.0, torch.finfo(torch.float32).min)


class Applied(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def weighed(x: Tensor, mask: Tensor, mend: Callable[[Tensor], Tensor]) -> Tensor:
    return mend(torch.softmax((x @ x.mT).masked_fill(~mask, -torch.inf) / 2.0, -1)) @ x


ZEROS: dict[str, Callable[[Tensor], Tensor]] = {
    "bool": lambda x: attention(x, x, x, attn_mask=ALLOWED),
    "float": lambda x: attention(x, x, x, attn_mask=ADDEND),
    "heads": lambda x: attention(x, x, x, attn_mask=HEADS),
    "none whole": lambda x: attention(x, x, x, attn_mask=NONE_WHOLE),
    "lowest": lambda x: attention(x, x, x, attn_mask=LOWEST),
    "more queries": lambda x: attention(x, x[..., :2, :], x[..., :2, :], is_causal=True),
    "more keys": lambda x: attention(x[..., :2, :], x, x, is_causal=True),
    "groups": lambda x: attention(x, x[:, :1], x[:, :1], attn_mask=ALLOWED, enable_gqa=True),
    "safe": lambda x: torch.ops.aten._safe_softmax.default(x @ x.mT + ADDEND, -1) @ x,
    "safe, first axis": lambda x: torch.ops.aten._safe_softmax.default(x[..., :3] + ADDEND.T, 2),
    "isnan": lambda x: weighed(x, ALLOWED, lambda w: torch.where(w.isnan(), 0.0, w)),
    "isnan filled": lambda x: weighed(x, HEADS, lambda w: w.masked_fill(w.isnan(), 0.5)),
    "nan_to_num": lambda x: weighed(x, ALLOWED, torch.nan_to_num),
    "nan_to_num 2": lambda x: weighed(x, HEADS, lambda w: torch.nan_to_num(w, 2.0)),
    "windows": lambda x: torch.nan_to_num(
        torch.softmax((x[..., :3].view(2, 3, 3, 1, 3) + ADDEND[:, None]).reshape(6, 3, 3), -1)
    ),
}


def run(model: Model, x: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    module = namespace(emit_module(model, EmitOptions()).source)["ExportedIRModel"]()
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = module(x).detach().numpy()
    return found


@pytest.mark.parametrize("name", ZEROS)
def test_attention_gives_what_torch_gives(name: str) -> None:
    x = torch.randn(2, 3, 3, 4)
    module = Applied(ZEROS[name])
    model = from_torch(module, x)
    wanted = module(x).numpy()
    np.testing.assert_allclose(evaluate(model, x.numpy())[0], wanted, atol=1e-5)
    np.testing.assert_allclose(run(model, x), wanted, atol=1e-5)
    assert {note.code for note in model.notes} <= {"infinite-constant"}


def test_the_rows_are_stored_once_and_narrow() -> None:
    module = Applied(lambda x: sum(attention(x, x + i, x, attn_mask=ALLOWED) for i in range(3)))  # type: ignore[arg-type, return-value]
    model = from_torch(module, torch.randn(2, 3, 3, 4))
    sizes = sorted(array.size for array in model.params.values())
    assert sizes.count(3) == 1 and sizes[-1] == 9 and sizes.count(9) == 1


def test_a_mask_that_blocks_no_row_stays_an_addend() -> None:
    model = from_torch(Applied(ZEROS["none whole"]), torch.randn(2, 3, 3, 4))
    tags = [node.op.tag for node in model.graph.nodes]
    assert tags.index("softmax") + 1 == tags.index("matmul", tags.index("softmax"))


def by_input(x: Tensor) -> Tensor:
    """Flags for the keys, none of which is left in the first sample."""
    return (x[..., 0] > torch.tensor([[[9.0]], [[0.0]]]))[..., None, :].expand(2, 3, 3, 3)


INPUT_MASKS: list[Callable[[Tensor], Tensor]] = [
    lambda x: attention(x, x, x, attn_mask=by_input(x)),
    lambda x: attention(x, x, x, attn_mask=torch.where(by_input(x), 0.3, -torch.inf)),
    lambda x: attention(x, x, x, attn_mask=ADDEND + torch.where(by_input(x), 0.0, -torch.inf)),
]


@pytest.mark.parametrize("function", INPUT_MASKS)
def test_a_mask_that_depends_on_the_input_blocks_rows_too(
    function: Callable[[Tensor], Tensor],
) -> None:
    x = torch.randn(2, 3, 3, 4)
    x[1, :, 0, 0], x[1, :, 1, 0] = 1.0, -1.0
    model = from_torch(Applied(function), x)
    wanted = function(x).numpy()
    assert (wanted[0] == 0.0).all() and (wanted[1] != 0.0).any()
    np.testing.assert_allclose(evaluate(model, x.numpy())[0], wanted, atol=1e-5)
    np.testing.assert_allclose(run(model, x), wanted, atol=1e-5)


PLAIN: list[Callable[[Tensor], Tensor]] = [
    lambda x: torch.softmax(x + ADDEND, -1),
    lambda x: torch.softmax(ADDEND.T + x, -2),
    lambda x: weighed(x, HEADS, lambda w: w),
    lambda x: torch.softmax((x.view(3, 1, 3, 3) + ADDEND).permute(0, 2, 1, 3), 3),
    lambda x: torch.softmax(torch.cat([x, x - 1.0], -1) + torch.cat([ADDEND, ADDEND], -1), -1),
    lambda x: torch.softmax(torch.cat([x + ADDEND, x * 2.0 + ADDEND], -1), -1),
]


@pytest.mark.parametrize("function", PLAIN)
def test_a_row_that_torch_answers_with_nan_is_noted(function: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(3, 3, 3)
    model = from_torch(Applied(function), x)
    assert "masked-row" in {note.code for note in model.notes}
    wanted = function(x).numpy()
    assert np.isnan(wanted).any()
    found = evaluate(model, x.numpy())[0]
    at = ~np.isnan(wanted)
    np.testing.assert_allclose(found[at], wanted[at], atol=1e-5)


QUIET: list[Callable[[Tensor], Tensor]] = [
    lambda x: torch.softmax(x + ADDEND, 1),
    lambda x: torch.softmax(x + LOWEST, -1),
    lambda x: torch.softmax(torch.cat([x, x + ADDEND], -1), -1),
]


@pytest.mark.parametrize("function", QUIET)
def test_a_row_with_an_entry_left_is_not_noted(function: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(1, 3, 3)
    model = from_torch(Applied(function), x)
    assert "masked-row" not in {note.code for note in model.notes}
    np.testing.assert_allclose(run(model, x), function(x).numpy(), atol=1e-5)


def masked_softmax(tmp_path: Path, condition: Tensor) -> Path:
    """scores + mask → Softmax → IsNaN → Where, as torch's exporter writes a mask of flags."""
    real, flags = TensorProto.FLOAT, TensorProto.BOOL
    mask = np.where(condition.numpy(), 0.0, -np.inf).astype(np.float32)
    nodes = [
        helper.make_node("Add", ["x", "mask"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("IsNaN", ["weights"], ["nan"]),
        helper.make_node("Where", ["nan", "zero", "weights"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "masked",
        [helper.make_tensor_value_info("x", real, [2, 3, 3, 3])],
        [helper.make_tensor_value_info("y", real, [2, 3, 3, 3])],
        [onnx.numpy_helper.from_array(mask, "mask"), helper.make_tensor("zero", real, [], [0.0])],
        value_info=[helper.make_tensor_value_info("nan", flags, [2, 3, 3, 3])],
    )
    path = tmp_path / "masked.onnx"
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


@pytest.mark.parametrize("mask", [ALLOWED, HEADS, NONE_WHOLE])
def test_a_file_that_asks_for_nan_gives_zeros(tmp_path: Path, mask: Tensor) -> None:
    path = masked_softmax(tmp_path, mask)
    x = torch.randn(2, 3, 3, 3).numpy()
    (wanted,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
    model = from_onnx(path)
    np.testing.assert_allclose(evaluate(model, x)[0], wanted, atol=1e-6)
    assert (wanted == 0.0).any() and {note.code for note in model.notes} == {"infinite-constant"}
