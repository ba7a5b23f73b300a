"""Reading: dialects, lowerings, what is wrong with a node. torchlean.ir.v1: 1 to 3."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from documents import (
    LINEAR,
    Document,
    assert_equal,
    codes,
    document,
    op,
    problems,
    read,
    source,
)

from hatch_irpytorch import Model


def tags(model: Model) -> list[str]:
    return [node.op.tag for node in model.graph.nodes]


def test_the_first_example_of_the_spec() -> None:
    """torchlean.ir.v1: 1.5, numbers worked out by hand."""
    value = document([1, 2], op("linear", [0], [1, 3], **LINEAR), op("relu", [1], [1, 3]))
    assert_equal(value, [[1.0, 2.0]], [[1.0, 0.0, 3.5]])


def test_a_convolution_padded_on_one_side() -> None:
    """torchlean.ir.v1: 1.5: y[0] = x[0, o-1] - x[0, o+1], y[1] = half the sum, plus 1."""
    fields = {
        "spatial_rank": 1,
        "kernel": [2],
        "stride": [1],
        "padding": [1],
        "padding_after": [0],
        "dilation": [2],
        "groups": 2,
        "channel_axis": 0,
        "in_channels": 2,
        "out_channels": 2,
        "input_spatial": [4],
        "weight": [[[1.0, -1.0], [0.0, 0.0]], [[0.0, 0.0], [0.5, 0.5]]],
        "bias": [0.0, 1.0],
    }
    value = document([2, 4], op("conv", [0], [2, 3], **fields))
    x = [[1.0, 2.0, 3.0, 5.0], [2.0, 4.0, 6.0, 8.0]]
    assert_equal(value, x, [[-2.0, -2.0, -3.0], [3.0, 5.0, 7.0]])


def multihead(heads: int, embed: int, attention: torch.nn.MultiheadAttention) -> Document:
    weights = attention.in_proj_weight.detach().numpy().reshape(3, embed, embed)
    biases = attention.in_proj_bias.detach().numpy().reshape(3, embed)
    payload: dict[str, Any] = {}
    for i, name in enumerate("qkv"):
        payload[f"{name}_weight"] = weights[i].tolist()
        payload[f"{name}_bias"] = biases[i].tolist()
    payload["out_weight"] = attention.out_proj.weight.detach().numpy().tolist()
    payload["out_bias"] = attention.out_proj.bias.detach().numpy().tolist()
    node = {
        **op("multihead_attention", [0, 0, 0], []),
        "value_kind": "tuple",
        "tuple_shapes": [[2, 3, embed], [2, 3, 3]],
        "embed_dim": embed,
        "num_heads": heads,
        "batch_first": True,
        "dropout_zero": True,
        "bias": True,
        "scale": (embed // heads) ** -0.5,
        **payload,
    }
    return document([2, 3, embed], node, op("tuple_getitem", [1], [2, 3, embed], index=0))


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_attention_is_torch_s(heads: int) -> None:
    torch.manual_seed(heads)
    attention = torch.nn.MultiheadAttention(6, heads, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        attention.in_proj_bias.uniform_()
        attention.out_proj.bias.uniform_()
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    expected = attention(x, x, x)[0].detach().numpy()
    value = multihead(heads, 6, attention)
    assert_equal(value, x.numpy(), expected)
    assert len(read(value).graph.nodes) == (11 if heads == 1 else 19)


def test_attention_of_several_heads_has_the_nodes_of_the_spec() -> None:
    """torchlean.ir.v1: 3.3."""
    torch.manual_seed(0)
    attention = torch.nn.MultiheadAttention(4, 2, batch_first=True, dtype=torch.float64)
    assert tags(read(multihead(2, 4, attention))) == [
        *("input", "linear", "linear", "linear", "reshape", "reshape", "reshape"),
        *("transpose", "transpose", "transpose", "transpose", "matmul", "const", "mul_elem"),
        *("softmax", "matmul", "transpose", "reshape", "linear"),
    ]


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"num_heads": 4}, "bad-attribute", "num_heads"),
        ({"batch_first": False}, "unsupported", "batch_first"),
        ({"dropout_zero": False}, "unsupported", "dropout_zero"),
        ({"embed_dim": 5}, "bad-attribute", "num_heads"),
        ({"parents": [0, 0]}, "bad-arity", "parents"),
        ({"scale": "1"}, "bad-attribute", "scale"),
        ({"q_weight": [[1.0]]}, "bad-payload", "q_weight"),
        ({"tuple_shapes": None}, "bad-shape", "tuple_shapes"),
    ],
)
def test_attention_that_cannot_be_lowered(changes: Any, code: str, word: str) -> None:
    attention = torch.nn.MultiheadAttention(6, 2, batch_first=True)
    value = multihead(2, 6, attention)
    value["nodes"][1] |= changes
    found = problems(value)
    assert (found[0].code, word in found[0].message) == (code, True)
    assert found[0].place.node == 1


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (op("tuple_getitem", [1], [2, 3, 6], index=2), "bad-tuple"),
        (op("tuple_getitem", [1], [2, 3, 3], index=1), "unsupported"),
        (op("tuple_getitem", [1], [2, 3, 5], index=0), "shape-mismatch"),
        (op("tuple_getitem", [0], [2, 3, 6], index=0), "bad-tuple"),
        (op("relu", [1], [2, 3, 6]), "bad-tuple"),
        (op("tuple_getitem", [1], [2, 3, 6]), "bad-attribute"),
    ],
)
def test_a_wrong_projection(node: Any, code: str) -> None:
    attention = torch.nn.MultiheadAttention(6, 2, batch_first=True)
    value = multihead(2, 6, attention)
    value["nodes"][2] = {"id": 2, **node}
    assert codes(value)[0] == code


def test_a_tuple_node_is_no_output() -> None:
    attention = torch.nn.MultiheadAttention(6, 2, batch_first=True)
    value = multihead(2, 6, attention)
    value["output_ids"] = [1]
    assert "bad-tuple" in codes(value)


LEGACY = {
    "swap_first_two": ({}, [2, 3, 4], [3, 2, 4]),
    "transpose3d_last_two": ({}, [2, 3, 4], [2, 4, 3]),
    "max_pool2d": ({"kH": 2, "kW": 3, "stride": 2}, [2, 4, 5], [2, 2, 2]),
    "max_pool2d_pad": ({"kH": 2, "kW": 3, "stride": 2, "padding": 1}, [2, 4, 5], [2, 3, 3]),
    "avg_pool2d": ({"kH": 2, "kW": 3, "stride": 2}, [2, 4, 5], [2, 2, 2]),
    "avg_pool2d_pad": ({"kH": 2, "kW": 3, "stride": 2, "padding": 1}, [2, 4, 5], [2, 3, 3]),
    "reduce_sum": ({"axis": 1}, [2, 3, 4], [2, 4]),
    "reduce_mean": ({"axis": 1}, [2, 3, 4], [2, 4]),
}


def torch_legacy(kind: str, x: torch.Tensor) -> torch.Tensor:
    padding = 1 if kind.endswith("_pad") else 0
    if kind.startswith("max_pool2d"):
        return torch.nn.functional.max_pool2d(x, (2, 3), stride=2, padding=padding)
    if kind.startswith("avg_pool2d"):
        return torch.nn.functional.avg_pool2d(x, (2, 3), stride=2, padding=padding)
    results = {
        "swap_first_two": x.transpose(0, 1),
        "transpose3d_last_two": x.transpose(1, 2),
        "reduce_sum": x.sum(dim=1),
        "reduce_mean": x.mean(dim=1),
    }
    return results[kind]


def legacy(value: Document) -> Document:
    changed = {key: item for key, item in value.items() if key != "output_ids"}
    return {**changed, "output_id": value["output_ids"][0]}


@pytest.mark.parametrize("kind", LEGACY)
def test_a_legacy_kind_is_what_its_emitter_printed(kind: str) -> None:
    """torchlean.ir.v1: 2.5."""
    fields, before, after = LEGACY[kind]
    x = torch.randn(before, dtype=torch.float64)
    value = legacy(document(before, op(kind, [0], after, **fields)))
    assert_equal(value, x.numpy(), torch_legacy(kind, x).numpy())


def test_a_legacy_convolution_keeps_its_attribute_names() -> None:
    weight, bias = torch.randn(3, 2, 2, 2).double(), torch.randn(3).double()
    fields = {"inC": 2, "outC": 3, "kH": 2, "kW": 2, "stride": 2, "padding": 1}
    payload = {"weight": weight.tolist(), "bias": bias.tolist()}
    value = legacy(document([2, 4, 4], op("conv2d", [0], [3, 3, 3], **fields, **payload)))
    x = torch.randn(2, 4, 4).double()
    expected = torch.nn.functional.conv2d(x, weight, bias, stride=2, padding=1)
    assert_equal(value, x.numpy(), expected.numpy())
    assert "self.conv2d_1_kernel" in source(value) and "self.conv2d_1_bias" in source(value)


def test_the_batch_norm_between_the_dialects() -> None:
    vectors = {"gamma": [2.0], "beta": [1.0], "mean": [3.0], "var": [0.75]}
    fields = {"channels": 1, "eps": 0.25, **vectors}
    value = document([1, 1, 1, 2], op("batch_norm2d_nchw_eval", [0], [1, 1, 1, 2], **fields))
    assert_equal(legacy(value), [[[[3.0, 4.0]]]], [[[[1.0, 3.0]]]])


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (op("reduce_sum", [0], [3], axis=0, axes=[0]), "mixed-dialects"),
        (op("max_pool2d", [0], [1, 1], kH=1, kW=1, stride=1), "shape-mismatch"),
        (op("max_pool2d", [0], [1, 1], kH=1, stride=1), "bad-attribute"),
        (op("swap_first_two", [0], [2, 3]), "shape-mismatch"),
    ],
)
def test_wrong_legacy_nodes(node: Any, code: str) -> None:
    assert codes(legacy(document([2, 3], node)))[0] == code


def test_a_legacy_window_that_does_not_fit_is_refused() -> None:
    """torchlean.ir.v1: 8.2, the phantom output of size 1."""
    fields = {"kH": 3, "kW": 3, "stride": 1}
    value = legacy(document([1, 2, 2], op("max_pool2d", [0], [1, 1, 1], **fields)))
    assert codes(value) == ["shape-mismatch"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"format": "torchlean.ir.v2"}, "bad-format"),
        ({"output_ids": []}, "bad-format"),
        ({"output_ids": [7]}, "bad-id"),
        ({"output_ids": [1.0]}, "bad-format"),
        ({"output_ids": [True]}, "bad-format"),
        ({"input_id": 1}, "bad-id"),
        ({"input_id": -1}, "bad-format"),
        ({"nodes": []}, "bad-format"),
        ({"nodes": {}}, "bad-format"),
        ({"output_id": 1}, "mixed-dialects"),
    ],
)
def test_a_wrong_root(change: Document, code: str) -> None:
    value = {**document([2], op("relu", [0], [2])), **change}
    assert code in codes(value)


@pytest.mark.parametrize(
    ("change", "code", "hint"),
    [
        ({"id": 2}, "bad-id", ""),
        ({"id": 1.0}, "bad-id", ""),
        ({"id": True}, "bad-id", ""),
        ({"parents": [1]}, "bad-parent", "cycles"),
        ({"parents": [5]}, "bad-parent", ""),
        ({"parents": 0}, "bad-parent", ""),
        ({"parents": []}, "bad-arity", ""),
        ({"shape": [-2]}, "bad-shape", ""),
        ({"shape": [2.0]}, "bad-shape", ""),
        ({"shape": [2**63]}, "bad-shape", ""),
        ({"shape": [3]}, "shape-mismatch", ""),
        ({"kind": "Relu"}, "unknown-kind", "`relu`"),
        ({"kind": ""}, "unknown-kind", ""),
        ({"kind": "custom"}, "custom-op", ""),
        ({"kind": 3}, "bad-attribute", ""),
        ({"value_kind": "list"}, "bad-tuple", ""),
        ({"value_kind": "tuple", "tuple_shapes": [[2]]}, "bad-tuple", ""),
    ],
)
def test_a_wrong_node(change: Document, code: str, hint: str) -> None:
    value = document([2], op("relu", [0], [2]))
    value["nodes"][1] |= change
    found = problems(value)
    assert found[0].code == code and hint in found[0].hint
    assert found[0].place.node == 1 or found[0].place.node is None


def test_all_problems_are_told_in_order() -> None:
    value = document(
        [2],
        op("relu", [0], [3]),
        op("rellu", [0], [2]),
        op("add", [0], [2]),
        op("softmax", [0], [2], axis=4),
    )
    found = problems(value)
    assert [p.place.node for p in found] == [1, 2, 3, 4] or sorted(
        p.place.node or 0 for p in found
    ) == [1, 2, 3, 4]
    assert {p.code for p in found} == {"shape-mismatch", "unknown-kind", "bad-arity"}


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (b'{"a": 1, "a": 2}', "bad-format", 0),
        (b'{"format": 1, "format": "torchlean.ir.v1"}', "bad-format", 0),
        (b'{"a":\n NaN}', "not-finite", 2),
        (b'{"a": Infinity}', "not-finite", 1),
        (b'{"a": [1,\n2', "bad-json", 2),
        (b"\xef\xbb\xbf{}", "bad-encoding", 1),
        (b'{"a": "\xff"}', "bad-encoding", 1),
        (b"[" * 100_000, "too-deep", 0),
        (b"[]", "bad-format", 0),
        (b"", "bad-json", 1),
        (b'{"a": ' + b"9" * 5000 + b"}", "bad-format", 0),
        (b'{"a":\n "\\ud800"}', "bad-json", 2),
    ],
)
def test_text_that_is_not_a_document(text: bytes, code: str, line: int) -> None:
    found = problems(text)
    assert (found[0].code, found[0].place.line) == (code, line)


# ParamStores
