"""The legacy kinds, normalised to v1 ops. torchlean.ir.v1: 2.5."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hatch_irpytorch.errors import Place, Problems, shown
from hatch_irpytorch.ir.attributes import ATTRIBUTES, decode_fields
from hatch_irpytorch.ir.graph import Shape, shape_text
from hatch_irpytorch.ir.ops import Op
from hatch_irpytorch.ir.ops.convolution import Conv, LegacyConv2d
from hatch_irpytorch.ir.ops.movement import Transpose
from hatch_irpytorch.ir.ops.normalization import BatchNormEval
from hatch_irpytorch.ir.ops.pooling import AvgPool, MaxPool

FOREIGN_FIELDS = dict.fromkeys(("conv", "max_pool", "avg_pool"), ("inC", "kH", "kW", "outC"))
"""What the legacy dialect writes in the nodes that became these kinds."""


@dataclass(frozen=True)
class LegacyKind:
    """Its attributes, the rank it wants, and how it is built from them for a parent's shape."""

    tag: str
    attributes: dict[str, object]
    ranks: tuple[int, int]
    build: Callable[[dict[str, Any], Shape], Op]


def _conv2d(a: dict[str, Any], x: Shape) -> Op:
    pads = (a["padding"],) * 2
    return LegacyConv2d(
        spatial_rank=2,
        kernel=(a["kH"], a["kW"]),
        stride=(a["stride"],) * 2,
        padding=pads,
        padding_after=pads,
        dilation=(1, 1),
        groups=1,
        channel_axis=0,
        in_channels=a["inC"],
        out_channels=a["outC"],
    )


def _pool(op: type[MaxPool] | type[AvgPool]) -> Callable[[dict[str, Any], Shape], Op]:
    def build(a: dict[str, Any], x: Shape) -> Op:
        pads = (a.get("padding", 0),) * 2
        return op(2, (a["kH"], a["kW"]), (a["stride"],) * 2, pads)

    return build


def _nats(*names: str) -> dict[str, object]:
    return dict.fromkeys(names, int)


_ANY_RANK = 1_000_000

KINDS: dict[str, LegacyKind] = {
    "conv2d": LegacyKind(
        "conv", _nats("inC", "outC", "kH", "kW", "stride", "padding"), (3, 3), _conv2d
    ),
    "max_pool2d": LegacyKind("max_pool", _nats("kH", "kW", "stride"), (3, 3), _pool(MaxPool)),
    "max_pool2d_pad": LegacyKind(
        "max_pool", _nats("kH", "kW", "stride", "padding"), (3, 3), _pool(MaxPool)
    ),
    "avg_pool2d": LegacyKind("avg_pool", _nats("kH", "kW", "stride"), (3, 3), _pool(AvgPool)),
    "avg_pool2d_pad": LegacyKind(
        "avg_pool", _nats("kH", "kW", "stride", "padding"), (3, 3), _pool(AvgPool)
    ),
    "swap_first_two": LegacyKind("transpose", {}, (2, _ANY_RANK), lambda a, x: Transpose(0, 1)),
    "transpose3d_last_two": LegacyKind("transpose", {}, (3, 3), lambda a, x: Transpose(1, 2)),
    "batch_norm2d_nchw_eval": LegacyKind(
        "batch_norm_eval",
        {"channels": int, "eps": float},
        (4, 4),
        lambda a, x: BatchNormEval(1, a["channels"], a["eps"]),
    ),
}


def decode_legacy(
    kind: str, values: dict[str, object], x: Shape, place: Place, problems: Problems
) -> Op | None:
    """The v1 op of a legacy node whose parent has shape `x`, or None after a problem."""
    legacy = KINDS[kind]
    foreign = set(ATTRIBUTES[legacy.tag]) - set(legacy.attributes)
    mixed = sorted((foreign - Conv.repeated_fields) & set(values))
    if mixed:
        message = f"`{mixed[0]}` belongs to the v1 dialect, `{kind}` to the legacy one"
        problems.add("mixed-dialects", place, message, f"use kind `{legacy.tag}` or drop it")
        return None
    wanted = {name: (hint, True) for name, hint in legacy.attributes.items()}
    decoded = decode_fields(wanted, values, place, problems)
    if decoded is None:
        return None
    low, high = legacy.ranks
    if not low <= len(x) <= high:
        rank = f"rank {low}" if low == high else f"rank {low} or more"
        problems.mismatch("shape-mismatch", place, "parents", f"of {rank}", shape_text(x))
        return None
    if kind == "batch_norm2d_nchw_eval" and 0 in x:
        problems.mismatch("shape-mismatch", place, "parents", "without empty axes", shape_text(x))
        return None
    return legacy.build(decoded, x)


def refuse_legacy_fields(
    tag: str, values: dict[str, object], place: Place, problems: Problems
) -> bool:
    """Whether a v1 node is free of the legacy dialect's scalar fields; a problem if not."""
    mixed = [name for name in FOREIGN_FIELDS.get(tag, ()) if name in values]
    if mixed:
        message = f"{shown(mixed[0])} belongs to the legacy dialect, `{tag}` to the v1 one"
        problems.add("mixed-dialects", place, message)
    return not mixed
