"""Max and average pooling over the last axes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np

from hatch_irpytorch.ir.ops.base import (
    Array,
    Code,
    Function,
    Op,
    RuleError,
    Shape,
    Site,
    call,
    numel,
    shape_text,
)
from hatch_irpytorch.ir.ops.convolution import one_or_all
from hatch_irpytorch.ir.symbolic import Extent, NotFreeError, SymbolicShape, is_free, windowed

POOL_WINDOWS = Function(
    "pool_windows",
    '''\
def pool_windows(
    x: torch.Tensor,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    fill: float,
) -> torch.Tensor:
    """The entries of every window over the last axes of x, on a new last axis."""
    rank = len(kernel_size)
    pads = [amount for amount in reversed(padding) for _ in range(2)]
    x = F.pad(x, pads, value=fill)
    first = x.dim() - rank
    for axis in range(rank):
        x = x.unfold(first + axis, kernel_size[axis], stride[axis])
    return x.flatten(-rank)
''',
)

MAX_POOL_ND = Function(
    "max_pool_nd",
    '''\
def max_pool_nd(
    x: torch.Tensor,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
) -> torch.Tensor:
    """Max pooling for the ranks that `F` has no function for."""
    windows = pool_windows(x, kernel_size, stride, padding, float("-inf"))
    return windows.max(dim=-1).values
''',
    needs=(POOL_WINDOWS,),
)

AVG_POOL_ND = Function(
    "avg_pool_nd",
    '''\
def avg_pool_nd(
    x: torch.Tensor,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
) -> torch.Tensor:
    """Average pooling, padding counted, where `F` has no function or no kernel on a CPU."""
    return pool_windows(x, kernel_size, stride, padding, 0.0).mean(dim=-1)
''',
    needs=(POOL_WINDOWS,),
)


@dataclass(frozen=True)
class _Pool(Op):
    spatial_rank: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]

    function: ClassVar[str]
    general: ClassVar[Function]

    def infer(self, x: Shape) -> Shape:
        if self.spatial_rank < 1:
            raise RuleError("spatial_rank", self.spatial_rank, "at least 1")
        if self.spatial_rank > len(x):
            expected = f"at most {len(x)}, the rank of {shape_text(x)}"
            raise RuleError("spatial_rank", self.spatial_rank, expected)
        for field in ("kernel", "stride", "padding"):
            values: tuple[int, ...] = getattr(self, field)
            if len(values) != self.spatial_rank:
                raise RuleError(field, values, f"{self.spatial_rank} numbers, one a spatial axis")
            if field != "padding" and 0 in values:
                raise RuleError(field, values, "numbers of at least 1")
        lead, spatial = x[: -self.spatial_rank], x[-self.spatial_rank :]
        axes = zip(spatial, self.kernel, self.stride, self.padding, strict=True)
        return lead + tuple(pool_extent(*axis) for axis in axes)

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        rank = self.spatial_rank
        axes = zip(x[-rank:], self.kernel, self.stride, self.padding, out[-rank:], strict=True)
        if len(x) - rank > 2 and sum(map(is_free, x[: -rank - 1])) > 1:
            raise NotFreeError("folds several free axes into one")
        windows: list[Extent] = []
        for extent, size, step, padding, count in axes:
            if is_free(extent) and count == 0:
                raise NotFreeError("slides a window that does not fit")
            windows.append(windowed(extent, size, step, 2 * padding) if is_free(extent) else count)
        if 0 in windows and any(is_free(extent) and extent not in x for extent in windows):
            raise NotFreeError("slides a window that does not fit")
        return [(*x[:-rank], *windows)]

    def passes_gradient(self, *shapes: Shape) -> bool:
        return numel(self.infer(*shapes)) > 0

    def _windows(self, x: Array, fill: float) -> Array:
        """Every window of x, its entries on a new first axis."""
        rank = self.spatial_rank
        out = self.infer(x.shape)
        if numel(out) == 0:
            return np.zeros((1, *out))
        lead = x.ndim - rank
        pads = [(0, 0)] * lead + [(amount, amount) for amount in self.padding]
        padded = np.pad(x, pads, constant_values=fill)
        windows = []
        for offset in product(*map(range, self.kernel)):
            axes = zip(offset, self.stride, out[lead:], strict=True)
            slices = [slice(k, k + (extent - 1) * step + 1, step) for k, step, extent in axes]
            window: Any = (..., *slices)
            windows.append(padded[window])
        return np.stack(windows)

    def torch(self, at: Site) -> Code | list[Code]:
        if numel(at.out) == 0:
            return call(f"{at.x}.new_empty", at.shape(at.result_shape))
        if set(self.kernel) == {1} and not any(self.padding):
            return self._selected(at)
        rank = self.spatial_rank
        if rank > 3 or not self._has_kernel(at.dtype):
            return call(self.general, at.x, self.kernel, self.stride, self.padding)
        lead, spatial = at.parent_shapes[0][:-rank], at.parent_shapes[0][-rank:]
        steps: list[Code] = []
        name = at.x
        if not lead:
            steps.append(call(f"{name}.unsqueeze", 0))
            name = at.name
        if len(lead) > 2:
            steps.append(call(f"{name}.flatten", 0, len(lead) - 2))
            name = at.name
        pads_first = self._pads_first(spatial)
        if pads_first:
            pairs = tuple(amount for amount in reversed(self.padding) for _ in range(2))
            steps.append(call("F.pad", name, pairs))
            name = at.name
        steps.append(call(f"F.{self.function}{rank}d", name, **self._keywords(not pads_first)))
        if not lead:
            steps.append(call(f"{at.name}.squeeze", 0))
        if len(lead) > 2:
            steps.append(call("torch.unflatten", at.name, 0, at.view(lead[:-1])))
        return steps

    def _selected(self, at: Site) -> Code:
        """Windows of one entry: every so many of them, along each axis."""
        counts = at.out[len(at.out) - self.spatial_rank :]
        cuts = [
            ":" if step == 1 else ":1" if count == 1 else f"::{step}"
            for step, count in zip(self.stride, counts, strict=True)
        ]
        return at.x if set(cuts) == {":"} else f"{at.x}[..., {', '.join(cuts)}]"

    def _has_kernel(self, dtype: str) -> bool:
        """Whether torch's function of this rank runs on every device in `dtype`."""
        return True

    def _pads_first(self, spatial: SymbolicShape) -> bool:
        """Whether torch needs the padding made beforehand."""
        return False

    def _keywords(self, pad: bool) -> dict[str, int | tuple[int, ...]]:
        keywords = {"kernel_size": one_or_all(self.kernel)}
        if self.stride != self.kernel:
            keywords["stride"] = one_or_all(self.stride)
        if pad and any(self.padding):
            keywords["padding"] = one_or_all(self.padding)
        return keywords


def pool_extent(extent: int, kernel: int, stride: int, padding: int) -> int:
    """The output extent of one axis; an impossible window gives 0. torchlean.ir.v1: N9."""
    padded = extent + 2 * padding
    if extent == 0 or padding > kernel // 2 or padded < kernel:
        return 0
    return (padded - kernel) // stride + 1


@dataclass(frozen=True)
class MaxPool(_Pool, tag="max_pool"):
    """Largest real cell of each window; padding is skipped. torchlean.ir.v1: max_pool, N9."""

    gives_positive_zero = True

    function = "max_pool"
    general = MAX_POOL_ND

    def reference(self, x: Array) -> Array:
        return np.asarray(self._windows(x, -np.inf).max(axis=0))


@dataclass(frozen=True)
class AvgPool(_Pool, tag="avg_pool"):
    """Window sum over the number of its cells, padding counted. torchlean.ir.v1: avg_pool, N9."""

    gives_positive_zero = True

    function = "avg_pool"
    general = AVG_POOL_ND

    def _has_kernel(self, dtype: str) -> bool:
        return self.spatial_rank < 3 or dtype in ("float32", "float64")

    def _pads_first(self, spatial: SymbolicShape) -> bool:
        """`F.avg_pool3d` refuses an extent below the kernel's, even where padding makes it fit."""
        axes = zip(spatial, self.kernel, strict=True)
        small = any(not isinstance(extent, int) or extent < size for extent, size in axes)
        return self.spatial_rank == 3 and small and any(self.padding)

    def reference(self, x: Array) -> Array:
        return np.asarray(self._windows(x, 0.0).sum(axis=0) / numel(self.kernel))
