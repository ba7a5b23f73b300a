"""One ONNX node as its handler sees it: inputs as values or arrays, attributes as Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Constant = np.ndarray[Any, np.dtype[Any]]
Tensor = Value | Constant


@dataclass
class Names:
    """What each tensor name of a file holds. `trainable` names come from initializers alone.

    `kinds` are ONNX element types (`TensorProto.DataType`).
    """

    builder: Builder
    tensors: dict[str, Tensor | None] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    trainable: set[str] = field(default_factory=set)
    users: dict[str, int] = field(default_factory=dict)
    consts: dict[str, Value] = field(default_factory=dict)
    bare_products: dict[int, tuple[Value, Array]] = field(default_factory=dict)

    def bind(self, name: str, tensor: Tensor | None, kind: int, *, trainable: bool = False) -> None:
        """What a name means from now on: branches that run one after the other may share names."""
        self.tensors[name] = tensor
        self.kinds[name] = kind
        self.consts.pop(name, None)
        (self.trainable.add if trainable else self.trainable.discard)(name)

    def value(self, name: str) -> Value:
        """A tensor as a node of the graph; several uses of one constant share it."""
        tensor = self.tensors[name]
        if isinstance(tensor, Value):
            return tensor
        if tensor is None:
            raise InexpressibleError(f"the output `{name}`, which has no form")
        if name not in self.consts:
            learnable = None if name in self.trainable else False
            self.consts[name] = self.builder.const(_real(tensor), learnable)
        return self.consts[name]


def _real(array: Constant) -> Array:
    if array.dtype.kind not in "bfiu" and array.dtype.name != "bfloat16":
        raise InexpressibleError(f"a tensor of {array.dtype.name}")
    return array.astype(np.float64)


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
    """A node: its op, the opset version, and what it is given."""

    op: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes
    names: Names

    @property
    def b(self) -> Builder:
        return self.names.builder

    @property
    def x(self) -> Value:
        return self.value(0)

    def has(self, position: int) -> bool:
        return position < len(self.inputs) and self.inputs[position] != ""

    def kind(self, position: int) -> int:
        """The ONNX element type of an input (`TensorProto.DataType`)."""
        return self.names.kinds[self.inputs[position]]

    def tensor(self, position: int) -> Tensor:
        """An input as it is: numbers of the file stay numbers, of whatever type."""
        tensor = self.names.tensors[self.inputs[position]]
        return self.value(position) if tensor is None else tensor

    def value(self, position: int) -> Value:
        return self.names.value(self.inputs[position])

    def values(self) -> list[Value]:
        return [self.names.value(name) for name in self.inputs]

    def optional(self, position: int) -> Value | None:
        return self.value(position) if self.has(position) else None

    def is_constant(self, position: int) -> bool:
        return self.has(position) and self._constant(position) is not None

    def _constant(self, position: int) -> Constant | None:
        """An input as an array: one of the file, or one computed of constants in the graph."""
        tensor = self.names.tensors[self.inputs[position]]
        if isinstance(tensor, Value):
            fixed = self.b.is_constant(tensor) and not self.b.is_learned(tensor)
            return self.b.array(tensor) if fixed else None
        return tensor

    def is_trainable(self, position: int) -> bool:
        return self.has(position) and self.inputs[position] in self.names.trainable

    def array(self, position: int, what: str) -> Constant:
        """An input that has to be constant."""
        tensor = self._constant(position)
        if tensor is None:
            raise InexpressibleError(f"{what} that depends on the input")
        return tensor

    def reals(self, position: int, what: str) -> Array:
        return _real(self.array(position, what))

    def optional_reals(self, position: int, what: str) -> Array | None:
        return self.reals(position, what) if self.has(position) else None

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
