"""One ONNX node as its handler sees it: inputs as values or arrays, attributes as Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Reals, Value
from hatch_irpytorch.capture.onnx.scope import (
    ABSENT,
    Array,
    Constant,
    Named,
    Scope,
    Tensor,
    reals,
)
from hatch_irpytorch.capture.training import FROZEN, note
from hatch_irpytorch.ir.ops.learned import LearnedAffine, LearnedWeight

__all__ = ["Array", "Attributes", "Call", "Constant", "Graph", "Tensor", "axis_of"]

Graph = Callable[[Sequence[Named]], list[Named]]
"""A graph inside a node: from what its inputs are to what its outputs are."""


class Attributes(dict[str, Any]):
    """The attributes of a node, which remember what was asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.seen.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.seen.add(str(name))
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.seen.add(name)
        return super().get(name, default)

    def unseen(self) -> list[str]:
        return sorted(set(self) - self.seen)


@dataclass(frozen=True)
class Call:
    """A node: its op, the opset version, what it is given, and how a graph inside it is run."""

    op: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes
    scope: Scope
    opened: Callable[[str, bool], Graph]

    @property
    def b(self) -> Builder:
        return self.scope.builder

    @property
    def x(self) -> Value:
        return self.value(0)

    def has(self, position: int) -> bool:
        return position < len(self.inputs) and self.inputs[position] != ""

    def named(self, position: int) -> Named:
        """What the name of an input stands for."""
        return self.scope.named(self.inputs[position]) if self.has(position) else ABSENT

    def kind(self, position: int) -> int:
        """The ONNX element type of an input (`TensorProto.DataType`)."""
        return self.named(position).kind

    def tensor(self, position: int) -> Tensor:
        """An input as it is: numbers of the file stay numbers, of whatever type."""
        tensor = self.named(position).tensor
        return self.value(position) if tensor is None else tensor

    def value(self, position: int) -> Value:
        return self.scope.named(self.inputs[position]).value(self.b, self.inputs[position])

    def values(self) -> list[Value]:
        return [self.value(position) for position in range(len(self.inputs))]

    def optional(self, position: int) -> Value | None:
        return self.value(position) if self.has(position) else None

    def is_constant(self, position: int) -> bool:
        return self.has(position) and self._constant(position) is not None

    def _constant(self, position: int) -> Constant | None:
        """An input as an array: one of the file, or one computed of constants in the graph."""
        tensor = self.named(position).tensor
        if isinstance(tensor, Value):
            fixed = self.b.is_constant(tensor) and not self.b.is_learned(tensor)
            return self.b.array(tensor) if fixed else None
        return tensor

    def is_trainable(self, position: int) -> bool:
        return self.named(position).trainable

    def learned_weight(self) -> LearnedWeight:
        """Which of weight and bias, the second and third input, training changes."""
        return LearnedWeight(weight=self._is_learned(1), bias=self._is_learned(2))

    def learned_affine(self) -> LearnedAffine:
        """Which of scale and shift, the second and third input, training changes."""
        return LearnedAffine(gamma=self._is_learned(1), beta=self._is_learned(2))

    def _is_learned(self, position: int) -> bool:
        if not self.has(position) or self.is_trainable(position):
            return self.has(position)
        note(self.b, FROZEN)
        return False

    def is_own(self, position: int) -> bool:
        """Whether an input is a parameter that only this node reads, and may hold."""
        return self.is_trainable(position) and self.named(position).users <= 1

    def array(self, position: int, what: str) -> Constant:
        """An input that has to be constant."""
        tensor = self._constant(position)
        if tensor is None:
            raise InexpressibleError(f"{what} that depends on the input")
        return tensor

    def stored(self, position: int, what: str) -> Reals:
        """Numbers that the node holds, with a note where that unties nodes of one parameter."""
        named = self.named(position)
        if named.trainable and named.holder not in (None, self):
            message = f"{what} of several nodes; each holds a copy of its own"
            self.b.note("untied", f"`{self.inputs[position][:200]}` is {message}")
        named.holder = named.holder or self
        array = reals(self.array(position, what))
        return self.b.named(array, named.key) if named.key else array

    def optional_stored(self, position: int, what: str) -> Reals | None:
        return self.stored(position, what) if self.has(position) else None

    def reals(self, position: int, what: str) -> Array:
        """A constant input to compute with."""
        return self.stored(position, what).astype(np.float64)

    def optional_reals(self, position: int, what: str) -> Array | None:
        return self.reals(position, what) if self.has(position) else None

    def graph(self, attribute: str, *, repeated: bool = False) -> Graph:
        """A graph inside the node, opened once: its own numbers are those of every run."""
        if attribute not in self.attributes:
            raise InexpressibleError(f"no graph `{attribute}`")
        return self.opened(attribute, repeated)

    def ints(self, position: int, what: str) -> list[int]:
        return [int(i) for i in self.array(position, what).reshape(-1)]

    def ints_of(self, attribute: str, position: int, what: str) -> list[int] | None:
        """Integers that older opsets give as an attribute and newer ones as an input."""
        if attribute in self.attributes:
            return [int(i) for i in self.attributes[attribute]]
        return self.ints(position, what) if self.has(position) else None

    def get(self, attribute: str, default: Any) -> Any:
        return self.attributes.get(attribute, default)


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front. Raises `InexpressibleError` where there is none."""
    if not -rank <= axis < rank:
        raise InexpressibleError(f"axis {axis} of a tensor with {rank}")
    return axis % rank
