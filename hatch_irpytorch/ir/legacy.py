"""The legacy kinds, normalised to v1 ops. torchlean.ir.v1: 2.5."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hatch_irpytorch.errors import Place, Problems
from hatch_irpytorch.ir.ops import Op
from hatch_irpytorch.ir.ops.convolution import LegacyConv2d
from hatch_irpytorch.ir.ops.movement import Transpose
from hatch_irpytorch.ir.ops.normalization import BatchNormEval
from hatch_irpytorch.ir.ops.pooling import AvgPool, MaxPool
from hatch_irpytorch.ir.shapes import Shape, shape_text

FOREIGN_FIELDS = dict.fromkeys(("conv", "max_pool", "avg_pool"), ("inC", "kH", "kW", "outC"))
"""What the legacy dialect writes in the nodes that became these kinds."""


@dataclass(frozen=True)
class LegacyKind:
    """The tag of its v1 op, its attributes, the ranks it takes, and how the op is made of them."""

    tag: str
    attributes: Mapping[str, type]
    ranks: tuple[int, int]
    build: Callable[[Any], Op]


def _conv2d(a: Any) -> Op:
    pads = (a.padding,) * 2
    return LegacyConv2d(
        spatial_rank=2,
        kernel=(a.kH, a.kW),
        stride=(a.stride,) * 2,
        padding=pads,
        padding_after=pads,
        dilation=(1, 1),
        groups=1,
        channel_axis=0,
        in_channels=a.inC,
        out_channels=a.outC,
        learnable=a.learnable,
    )


def _pool(op: type[MaxPool] | type[AvgPool], *, padded: bool) -> Callable[[Any], Op]:
    def build(a: Any) -> Op:
        pads = (a.padding if padded else 0,) * 2
        return op(2, (a.kH, a.kW), (a.stride,) * 2, pads)

    return build


def _nats(*names: str) -> dict[str, type]:
    return dict.fromkeys(names, int)


_ANY_RANK = 1_000_000
_BATCH_NORM = "batch_norm2d_nchw_eval"

LEGACY_KINDS: dict[str, LegacyKind] = {
    "conv2d": LegacyKind(
        "conv", _nats("inC", "outC", "kH", "kW", "stride", "padding"), (3, 3), _conv2d
    ),
    "max_pool2d": LegacyKind(
        "max_pool", _nats("kH", "kW", "stride"), (3, 3), _pool(MaxPool, padded=False)
    ),
    "max_pool2d_pad": LegacyKind(
        "max_pool", _nats("kH", "kW", "stride", "padding"), (3, 3), _pool(MaxPool, padded=True)
    ),
    "avg_pool2d": LegacyKind(
        "avg_pool", _nats("kH", "kW", "stride"), (3, 3), _pool(AvgPool, padded=False)
    ),
    "avg_pool2d_pad": LegacyKind(
        "avg_pool", _nats("kH", "kW", "stride", "padding"), (3, 3), _pool(AvgPool, padded=True)
    ),
    "swap_first_two": LegacyKind("transpose", {}, (2, _ANY_RANK), lambda a: Transpose(0, 1)),
    "transpose3d_last_two": LegacyKind("transpose", {}, (3, 3), lambda a: Transpose(1, 2)),
    _BATCH_NORM: LegacyKind(
        "batch_norm_eval",
        {"channels": int, "eps": float},
        (4, 4),
        lambda a: BatchNormEval(1, a.channels, a.eps, a.learnable),
    ),
}


def normalised(kind: str, attributes: Any, x: Shape, place: Place, problems: Problems) -> Op | None:
    """The v1 op of a legacy node whose parent has shape `x`, or None after a problem."""
    legacy = LEGACY_KINDS[kind]
    low, high = legacy.ranks
    if not low <= len(x) <= high:
        rank = f"rank {low}" if low == high else f"rank {low} or more"
        problems.mismatch("shape-mismatch", place, "parents", f"of {rank}", shape_text(x))
        return None
    if kind == _BATCH_NORM and 0 in x:
        problems.mismatch("shape-mismatch", place, "parents", "without empty axes", shape_text(x))
        return None
    return legacy.build(attributes)
