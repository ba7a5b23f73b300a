"""The names a raw node's `kind` may have, in all dialects. torchlean.ir.v1: 2.1, 2.5, 3."""

from __future__ import annotations

from hatch_irpytorch.ir.ops import BY_TAG

ATTENTION = "multihead_attention"
PROJECTION = "tuple_getitem"
CUSTOM = "custom"

LEGACY_KINDS = frozenset(
    {
        "avg_pool2d",
        "avg_pool2d_pad",
        "batch_norm2d_nchw_eval",
        "conv2d",
        "max_pool2d",
        "max_pool2d_pad",
        "swap_first_two",
        "transpose3d_last_two",
    }
)
TUPLE_KINDS = frozenset({ATTENTION, "py_tuple"})
KINDS = frozenset(BY_TAG) | LEGACY_KINDS | TUPLE_KINDS | {PROJECTION}


def kind_label(kind: str) -> str:
    """The kind for a message's place, or nothing when it is not a known name."""
    return kind if kind in KINDS else ""
