"""The graphs of the digits models as `torchlean.ir.v1` documents, built node by node."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


class Builder:
    """Appends nodes; each method returns the id of the node it appended."""

    def __init__(self, *shape: int) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.input = self.node("input", [], shape)

    def node(self, kind: str, parents: list[int], shape: tuple[int, ...], **fields: Any) -> int:
        head = {"id": len(self.nodes), "kind": kind, "parents": parents, "shape": list(shape)}
        self.nodes.append({**head, **fields})
        return len(self.nodes) - 1

    def shape(self, node: int) -> tuple[int, ...]:
        return tuple(self.nodes[node]["shape"])

    def unary(self, kind: str, x: int, **fields: Any) -> int:
        return self.node(kind, [x], self.shape(x), **fields)

    def binary(self, kind: str, a: int, b: int) -> int:
        return self.node(kind, [a, b], self.shape(a))

    def linear(self, x: int, out: int) -> int:
        return self.node("linear", [x], (*self.shape(x)[:-1], out))

    def reshape(self, x: int, *shape: int) -> int:
        return self.node("reshape", [x], shape, in_shape=list(self.shape(x)), out_shape=list(shape))

    def document(self, output: int) -> Document:
        return {
            "format": "torchlean.ir.v1",
            "input_id": self.input,
            "output_ids": [output],
            "nodes": self.nodes,
        }


def perceptron(*widths: int) -> Document:
    b = Builder(1, 64)
    x = b.input
    for width in widths[:-1]:
        x = b.unary("relu", b.linear(x, width))
    return b.document(b.linear(x, widths[-1]))


def softmax_regression() -> Document:
    b = Builder(1, 64)
    return b.document(b.unary("softmax", b.linear(b.input, 10), axis=1))


def autoencoder() -> Document:
    b = Builder(1, 64)
    code = b.unary("tanh", b.linear(b.input, 16))
    restored = b.unary("sigmoid", b.linear(code, 64))
    return b.document(b.node("mse_loss", [restored, b.input], ()))


def cnn() -> Document:
    b = Builder(1, 1, 8, 8)
    x = b.input
    for channels, pool in ((8, "max_pool"), (16, "avg_pool")):
        _, incoming, height, width = b.shape(x)
        x = b.node(
            "conv",
            [x],
            (1, channels, height, width),
            spatial_rank=2,
            kernel=[3, 3],
            stride=[1, 1],
            padding=[1, 1],
            padding_after=[1, 1],
            dilation=[1, 1],
            groups=1,
            channel_axis=1,
            in_channels=incoming,
            out_channels=channels,
        )
        x = b.unary("batch_norm_eval", x, channel_axis=1, channels=channels, eps=1e-5)
        x = b.unary("relu", x)
        halved = (1, channels, height // 2, width // 2)
        window = {"kernel": [2, 2], "stride": [2, 2], "padding": [0, 0]}
        x = b.node(pool, [x], halved, spatial_rank=2, **window)
    return b.document(b.linear(b.reshape(x, 1, 64), 10))


def transformer() -> Document:
    b = Builder(1, 8, 8)
    x = b.reshape(b.input, 1, 4, 2, 4, 2)
    x = b.node("permute", [x], (1, 4, 4, 2, 2), perm=[0, 1, 3, 2, 4])
    x = b.linear(b.reshape(x, 1, 16, 4), 16)
    position = b.node("const", [], (16, 16))
    position = b.node(
        "broadcast_to", [position], (1, 16, 16), from_shape=[16, 16], to_shape=[1, 16, 16]
    )
    x = b.binary("add", x, position)
    y = b.unary("layernorm", x, axis=2, eps=1e-5)
    pair = b.node(
        "multihead_attention",
        [y, y, y],
        (),
        value_kind="tuple",
        tuple_shapes=[[1, 16, 16], [1, 16, 16]],
        embed_dim=16,
        num_heads=4,
        batch_first=True,
        dropout_zero=True,
        bias=True,
        scale=0.5,
    )
    x = b.binary("add", x, b.node("tuple_getitem", [pair], (1, 16, 16), index=0))
    y = b.unary("layernorm", x, axis=2)
    y = b.binary("mul_elem", y, b.node("const", [], (1, 16, 16)))
    y = b.binary("add", y, b.node("const", [], (1, 16, 16)))
    y = b.linear(b.unary("relu", b.linear(y, 32)), 16)
    x = b.binary("add", x, y)
    x = b.node("reduce_mean", [x], (1, 16), axes=[1], keepdim=False)
    x = b.unary("layernorm", x, axis=1)
    x = b.binary("mul_elem", x, b.node("const", [], (1, 16)))
    x = b.binary("add", x, b.node("const", [], (1, 16)))
    return b.document(b.linear(x, 10))


def legacy_cnn() -> Document:
    b = Builder(1, 8, 8)
    x = b.node("conv2d", [b.input], (6, 8, 8), inC=1, outC=6, kH=3, kW=3, stride=1, padding=1)
    x = b.node("max_pool2d", [b.unary("relu", x)], (6, 4, 4), kH=2, kW=2, stride=2)
    x = b.node("conv2d", [x], (12, 4, 4), inC=6, outC=12, kH=3, kW=3, stride=1, padding=1)
    x = b.node("avg_pool2d", [b.unary("relu", x)], (12, 2, 2), kH=2, kW=2, stride=2)
    x = b.node("flatten", [x], (48,), value_shape=[12, 2, 2])
    document = b.document(b.linear(x, 10))
    document["output_id"] = document.pop("output_ids")[0]
    return document
