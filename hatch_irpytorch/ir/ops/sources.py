"""Ops without tensor input: the run-time input, constants, random draws; and `detach`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hatch_irpytorch.ir.ops.base import (
    Array,
    Buffer,
    Call,
    Code,
    Function,
    Op,
    RuleError,
    Shape,
    Site,
    Slot,
    call,
    numel,
    require_shape,
)
from hatch_irpytorch.ir.symbolic import NotFreeError, SymbolicShape

_WORD = 2**64
_DRAW = 2**32


MAX_INTEGERS = 2**53
"""Below this float64 holds every whole number."""


@dataclass(frozen=True)
class Input(Op, tag="input"):
    """The run-time input. torchlean.ir.v1: input.

    `integers` is a project extension: the entries are whole numbers from 0, all below it, such as
    ids of tokens.
    """

    shape: Shape
    integers: int | None = None

    parents = 0
    from_node = frozenset({"shape"})

    def infer(self) -> Shape:
        if self.integers is not None and not 0 < self.integers <= MAX_INTEGERS:
            raise RuleError("integers", self.integers, f"from 1 to {MAX_INTEGERS}")
        return self.shape

    def infer_symbolic(self, out: Shape) -> list[SymbolicShape]:
        return [out]

    def torch(self, at: Site) -> Code:
        return "x"


@dataclass(frozen=True)
class Const(Op, tag="const"):
    """A stored tensor. torchlean.ir.v1: const, 5.3.

    `learnable` is a project extension: whoever wrote the graph knew whether the tensor is a
    parameter, and the rule of 5.3 need not guess.
    """

    shape: Shape
    value_shape: Shape | None = None
    learnable: bool | None = None

    parents = 0
    from_node = frozenset({"shape"})
    payload_fields = ("values",)

    def infer(self) -> Shape:
        return self.shape if self.value_shape is None else self.value_shape

    def infer_symbolic(self, out: Shape) -> list[SymbolicShape]:
        return [out]

    def payload(self) -> tuple[Slot, ...]:
        return (Slot("values", "", self.shape),)

    def reference(self, *, values: Array) -> Array:
        return values

    def torch(self, at: Site) -> Code:
        return at.slot("")


@dataclass(frozen=True)
class Detach(Op, tag="detach"):
    """Identity that stops gradients. torchlean.ir.v1: detach."""

    def infer(self, x: Shape) -> Shape:
        return x

    def infer_symbolic(self, out: Shape, x: SymbolicShape) -> list[SymbolicShape]:
        return [x]

    def passes_gradient(self, *shapes: Shape) -> bool:
        return False

    def reference(self, x: Array) -> Array:
        return x

    def torch(self, at: Site) -> Code:
        return f"{at.x}.detach()"


def mix(x: int) -> int:
    """SplitMix64's finaliser on 64-bit words. torchlean.ir.v1: N1."""
    z = (x + 0x9E3779B97F4A7C15) % _WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % _WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % _WORD
    return z ^ (z >> 31)


def draw_key(seed: int, node_id: int) -> int:
    """The key of a random node; only the sum of seed and tensor id matters, modulo 2**64."""
    return mix((seed + node_id) % _WORD)


def draws(key: int, shape: Shape) -> Array:
    """Draws in [0, 2**32) by flat row-major index, as exact float64 of `shape`."""
    z = np.arange(numel(shape), dtype=np.uint64) + np.uint64((key + 0x9E3779B97F4A7C15) % _WORD)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = (z ^ (z >> np.uint64(31))) % np.uint64(_DRAW)
    return z.astype(np.float64).reshape(shape)


DRAWS = Function(
    "draws",
    '''\
def draws(key: int, shape: tuple[int, ...]) -> torch.Tensor:
    """SplitMix64 draws in [0, 2**32) by flat index: the graph's own random numbers."""

    def shifted(z: torch.Tensor, bits: int) -> torch.Tensor:
        return (z >> bits) & ((1 << (64 - bits)) - 1)

    z = torch.arange(math.prod(shape), dtype=torch.int64) + key
    z = z - 0x61C8864680B583EB
    z = (z ^ shifted(z, 30)) * -0x40A7B892E31B1A47
    z = (z ^ shifted(z, 27)) * -0x6B2FB644ECCEEE15
    return ((z ^ shifted(z, 31)) & 0xFFFFFFFF).reshape(shape)
''',
    imports=("import math",),
)

UNIFORM = Function(
    "uniform",
    '''\
def uniform(key: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Random numbers in [0, 1], rounded to `dtype`."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    return (draws(key, shape).to(wide) / 2**32).to(dtype)
''',
    needs=(DRAWS,),
)

KEEP = Function(
    "keep",
    '''\
def keep(p: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
    """1 where the keep probability `p` exceeds the draw / 2**32, else 0."""
    return (p.double() * 2**32 > draw).to(p.dtype)
''',
)


def _signed(key: int) -> str:
    """A 64-bit key as torch's int64 sees it."""
    return str(key - _WORD if key >= _WORD // 2 else key)


@dataclass(frozen=True)
class RandUniform(Op, tag="rand_uniform"):
    """Uniform draws that depend on seed, tensor id and index alone. torchlean.ir.v1: N1."""

    shape: Shape
    node_id: int
    seed: int

    parents = 0
    from_node = frozenset({"shape", "node_id"})

    def infer(self) -> Shape:
        return self.shape

    def infer_symbolic(self, out: Shape) -> list[SymbolicShape]:
        return [out]

    def reference(self) -> Array:
        return draws(draw_key(self.seed, self.node_id), self.shape) / _DRAW

    def buffers(self, at: Site) -> tuple[Buffer, ...]:
        key = _signed(draw_key(self.seed, self.node_id))
        return (Buffer("u", Call(UNIFORM, (key, str(self.shape), "dtype"))),)

    def torch(self, at: Site) -> Code:
        return at.slot("u")


@dataclass(frozen=True)
class BernoulliMask(Op, tag="bernoulli_mask"):
    """1 with the keep probability given by the scalar parent, else 0. torchlean.ir.v1: N1."""

    shape: Shape
    node_id: int
    seed: int

    from_node = frozenset({"shape", "node_id"})

    def infer(self, p: Shape) -> Shape:
        require_shape("parents", p, ())
        return self.shape

    def infer_symbolic(self, out: Shape, p: SymbolicShape) -> list[SymbolicShape]:
        if p:
            raise NotFreeError("draws for another probability in each sample")
        return [out]

    def passes_gradient(self, *shapes: Shape) -> bool:
        return False

    def reference(self, p: Array) -> Array:
        kept: Array = np.asarray(p * _DRAW > draws(draw_key(self.seed, self.node_id), self.shape))
        return kept.astype(np.float64)

    def buffers(self, at: Site) -> tuple[Buffer, ...]:
        key = _signed(draw_key(self.seed, self.node_id))
        return (Buffer("draw", Call(DRAWS, (key, str(self.shape)))),)

    def torch(self, at: Site) -> Code:
        return call(KEEP, at.x, at.slot("draw"))
