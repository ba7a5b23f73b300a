"""Grouped, dilated cross-correlation over any number of spatial axes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from hatch_irpytorch.ir.ops.base import (
    Array,
    Code,
    Function,
    Op,
    Reals,
    RuleError,
    Shape,
    Site,
    Slot,
    call,
    numel,
    require_axis,
    require_shape,
    shape_text,
)
from hatch_irpytorch.ir.ops.learned import EVERY_WEIGHT, LearnedWeight
from hatch_irpytorch.ir.symbolic import NotFreeError, SymbolicShape, is_free, windowed

CONV_ND = Function(
    "conv_nd",
    '''\
def conv_nd(
    x: torch.Tensor,
    kernel: torch.Tensor,
    bias: torch.Tensor,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> torch.Tensor:
    """Cross-correlation of (N, C, *spatial) for the ranks that `F` has no function for."""
    rank = len(stride)
    kernel_size = kernel.shape[2:]
    batch, channels, *spatial = x.shape
    x = x.reshape(batch, groups, channels // groups, *spatial)
    weights = kernel.reshape(groups, -1, channels // groups, math.prod(kernel_size))
    y = bias.reshape(groups, -1, *[1] * rank)
    for i, offset in enumerate(itertools.product(*map(range, kernel_size))):
        window = x
        for axis in range(rank):
            span = dilation[axis] * (kernel_size[axis] - 1)
            first = offset[axis] * dilation[axis]
            window = window.narrow(axis + 3, first, spatial[axis] - span)
            window = window.unfold(axis + 3, 1, stride[axis]).squeeze(-1)
        y = y + torch.einsum("ngi...,goi->ngo...", window, weights[..., i])
    return y.flatten(1, 2)


fx.wrap("conv_nd")
''',
    imports=("import itertools", "import math"),
)


@dataclass(frozen=True)
class Conv(Op, tag="conv"):
    """Cross-correlation; axes before `channel_axis` are independent. torchlean.ir.v1: conv, N8."""

    gives_positive_zero = True

    spatial_rank: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    padding_after: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    channel_axis: int
    in_channels: int
    out_channels: int
    input_spatial: tuple[int, ...] | None = None
    learnable: LearnedWeight = EVERY_WEIGHT

    other_prefixes = ("conv2d",)
    repeated_fields = frozenset({"input_spatial"})
    payload_fields = ("weight", "bias")

    def infer(self, x: Shape) -> Shape:
        self._check_attributes()
        require_axis(self.channel_axis, x, "channel_axis")
        if x[self.channel_axis] != self.in_channels:
            expected = f"{x[self.channel_axis]}, the extent of axis {self.channel_axis} of {x}"
            raise RuleError("in_channels", self.in_channels, expected)
        spatial = x[self.channel_axis + 1 :]
        if len(spatial) != self.spatial_rank:
            expected = f"{len(spatial)}, the axes of {shape_text(x)} after `channel_axis`"
            raise RuleError("spatial_rank", self.spatial_rank, expected)
        if self.input_spatial is not None:
            require_shape("input_spatial", self.input_spatial, spatial)
        return (*x[: self.channel_axis], self.out_channels, *self._windows(spatial))

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        channel = self.channel_axis
        if is_free(x[channel]):
            raise NotFreeError(f"has its channels on axis {channel}")
        if sum(map(is_free, x[:channel])) > 1:
            raise NotFreeError("folds several free axes into one")
        padding = map(sum, zip(self.padding, self.padding_after, strict=True))
        spans = [
            step * (size - 1) + 1 for step, size in zip(self.dilation, self.kernel, strict=True)
        ]
        axes = zip(x[channel + 1 :], spans, self.stride, padding, strict=True)
        spatial = [windowed(*axis) for axis in axes]
        return [(*x[:channel], self.out_channels, *spatial)]

    def _check_attributes(self) -> None:
        for field in ("kernel", "stride", "padding", "padding_after", "dilation"):
            values: tuple[int, ...] = getattr(self, field)
            if len(values) != self.spatial_rank:
                raise RuleError(field, values, f"{self.spatial_rank} numbers, one a spatial axis")
            if field in ("kernel", "stride", "dilation") and 0 in values:
                raise RuleError(field, values, "numbers of at least 1")
        for field in ("groups", "in_channels", "out_channels"):
            if getattr(self, field) < 1:
                raise RuleError(field, getattr(self, field), "at least 1")
        for field in ("in_channels", "out_channels"):
            if getattr(self, field) % self.groups:
                expected = f"divisible by {self.groups}, the groups"
                raise RuleError(field, getattr(self, field), expected)

    def _windows(self, spatial: Shape) -> Shape:
        padded = self._padded(spatial)
        spans = [
            step * (size - 1) + 1 for step, size in zip(self.dilation, self.kernel, strict=True)
        ]
        for extent, span in zip(padded, spans, strict=True):
            if extent < span:
                found = f"a window of {span} over a padded extent of {extent}"
                raise RuleError("kernel", found, "a window that fits")
        axes = zip(padded, spans, self.stride, strict=True)
        return tuple((extent - span) // step + 1 for extent, span, step in axes)

    def _padded(self, spatial: Shape) -> Shape:
        axes = zip(spatial, self.padding, self.padding_after, strict=True)
        return tuple(extent + before + after for extent, before, after in axes)

    def payload(self, x: Shape) -> tuple[Slot, ...]:
        dense = (self.out_channels, self.in_channels, *self.kernel)
        packed = (self.out_channels, self.in_channels // self.groups, *self.kernel)
        learned = self.learnable
        return (
            Slot("weight", "kernel", dense, learned.weight, packed if self.groups > 1 else None),
            Slot("bias", "bias", (self.out_channels,), learned.bias),
        )

    def reference(self, x: Array, *, weight: Array, bias: Array) -> Array:
        lead, spatial = x.shape[: self.channel_axis], x.shape[self.channel_axis + 1 :]
        out_spatial = self._windows(spatial)
        pads = list(zip(self.padding, self.padding_after, strict=True))
        flat = x.reshape(numel(lead), self.in_channels, *spatial)
        padded = np.pad(flat, [(0, 0), (0, 0), *pads])
        width = self.in_channels // self.groups
        grouped = padded.reshape(len(flat), self.groups, width, *padded.shape[2:])
        blocks = weight.reshape(self.groups, self.out_channels // self.groups, -1, *self.kernel)
        shape = (len(flat), self.groups, blocks.shape[1], numel(out_spatial))
        y = np.zeros(shape, dtype=np.result_type(x, weight))
        for offset in product(*map(range, self.kernel)):
            here: Any = (..., *self._slices(offset, out_spatial))
            there: Any = (..., *offset)
            y += np.matmul(
                blocks[there], grouped[here].reshape(*grouped.shape[:3], numel(out_spatial))
            )
        y = y.reshape(len(flat), self.out_channels, *out_spatial)
        y += bias.reshape(-1, *[1] * self.spatial_rank)
        return y.reshape(*lead, self.out_channels, *out_spatial)

    def _slices(self, offset: tuple[int, ...], out: Shape) -> tuple[slice, ...]:
        axes = zip(offset, self.dilation, self.stride, out, strict=True)
        return tuple(
            slice(k * dilation, k * dilation + (extent - 1) * stride + 1, stride)
            for k, dilation, stride, extent in axes
        )

    def torch(self, at: Site) -> Code | list[Code]:
        spatial = at.shapes[0][self.channel_axis + 1 :]
        kernel, bias = at.slot("kernel"), at.slot("bias")
        if self.spatial_rank == 0 and self.groups == 1:
            return call("F.linear", at.x, kernel, bias)
        has_function = 1 <= self.spatial_rank <= 3
        steps: list[Code] = []
        name = at.x
        lead = at.parent_shapes[0][: self.channel_axis]
        unbatched = not lead and not has_function
        if unbatched:
            steps.append(call(f"{name}.unsqueeze", 0))
            name = at.name
        if len(lead) > 1:
            steps.append(call(f"{name}.flatten", 0, len(lead) - 1))
            name = at.name
        symmetric = self.padding == self.padding_after and 0 not in spatial
        if any(self.padding + self.padding_after) and not (symmetric and has_function):
            steps.append(call("F.pad", name, self._pad_pairs()))
            name = at.name
        if has_function:
            keywords = self.keywords(pad=symmetric)
            steps.append(call(f"F.conv{self.spatial_rank}d", name, kernel, bias, **keywords))
        else:
            geometry = (self.stride, self.dilation, self.groups)
            steps.append(call(CONV_ND, name, kernel, bias, *geometry))
        if unbatched:
            steps.append(call(f"{at.name}.squeeze", 0))
        if len(lead) > 1:
            steps.append(call("torch.unflatten", at.name, 0, at.view(lead)))
        return steps

    def _pad_pairs(self) -> tuple[int, ...]:
        axes = zip(reversed(self.padding), reversed(self.padding_after), strict=True)
        return tuple(amount for pair in axes for amount in pair)

    def keywords(self, pad: bool) -> dict[str, int | tuple[int, ...]]:
        keywords: dict[str, int | tuple[int, ...]] = {}
        if set(self.stride) != {1}:
            keywords["stride"] = one_or_all(self.stride)
        if pad and any(self.padding):
            keywords["padding"] = one_or_all(self.padding)
        if set(self.dilation) != {1}:
            keywords["dilation"] = one_or_all(self.dilation)
        if self.groups > 1:
            keywords["groups"] = self.groups
        return keywords


class LegacyConv2d(Conv, prefix="conv2d", tag="conv"):
    """A `conv2d` of the legacy dialect: attributes keep their name. torchlean.ir.v1: 2.5."""

    other_prefixes = (Conv.prefix,)


def one_or_all(values: tuple[int, ...]) -> int | tuple[int, ...]:
    """`2` for (2, 2), as torch takes it for every axis; unequal values stay a tuple."""
    return values[0] if len(set(values)) == 1 else values


def pack_kernel(dense: Reals, groups: int) -> Reals:
    """The diagonal blocks of a dense kernel: (out, in, k...) to (out, in/groups, k...)."""
    outputs, inputs = dense.shape[0] // groups, dense.shape[1] // groups
    blocks = [
        dense[g * outputs : (g + 1) * outputs, g * inputs : (g + 1) * inputs] for g in range(groups)
    ]
    return np.concatenate(blocks) if groups > 1 else dense


def unpack_kernel(packed: Reals, groups: int) -> Reals:
    """The dense kernel of a packed one, with zeros outside the diagonal blocks."""
    outputs, inputs = packed.shape[0] // groups, packed.shape[1]
    dense = np.zeros((packed.shape[0], inputs * groups, *packed.shape[2:]), packed.dtype)
    for g in range(groups):
        rows = slice(g * outputs, (g + 1) * outputs)
        dense[rows, g * inputs : (g + 1) * inputs] = packed[rows]
    return dense
