"""What the values of an exported program are while they are converted."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import fx

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Reals, Value
from hatch_irpytorch.capture.training import FROZEN, note

Identity = tuple[int, int, tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Parameter:
    """A parameter of the module before anything was computed with it."""

    name: str
    tensor: torch.Tensor
    identity: Identity


@dataclass(frozen=True)
class Complex:
    """Complex numbers, which the graph has as two tensors."""

    real: Value
    imaginary: Value


Tensor = Value | Parameter | torch.Tensor
"""Of the graph, a parameter, or a constant that torch itself computed."""


def identity(tensor: torch.Tensor) -> Identity:
    """Equal for two names of one tensor: tied weights."""
    return tensor.data_ptr(), int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride()


def dtype_name(dtype: torch.dtype | None) -> str:
    """As NumPy calls it; that of a plain number is none."""
    return str(dtype).removeprefix("torch.")


def to_array(tensor: torch.Tensor) -> Reals:
    """The numbers, in the tensor's own memory where it lies in order; narrower ones as float32."""
    if tensor.is_complex():
        raise InexpressibleError("a complex tensor")
    wide = not tensor.dtype.is_floating_point or tensor.dtype == torch.float64
    there = tensor.detach().to("cpu", torch.float64 if wide else torch.float32)
    return np.asarray(there.numpy(), order="C")


@dataclass
class Context:
    """The builder and the parameters of one conversion. `uses` counts the users of a parameter.

    `node` is the one that is converted: its arguments tell how torch lays out their tensors.
    """

    builder: Builder
    uses: Mapping[Identity, int]
    buffers: Mapping[Identity, str] = field(default_factory=dict)
    consts: dict[Identity, Value] = field(default_factory=dict)
    stored: set[Identity] = field(default_factory=set)
    node: fx.Node | None = None

    def dtype_of(self, position: int) -> torch.dtype | None:
        """The dtype of a positional argument of the node that is converted; None for a number."""
        argument = None if self.node is None else self.node.args[position]
        made = argument.meta.get("val") if isinstance(argument, fx.Node) else None
        return made.dtype if isinstance(made, torch.Tensor) else None

    def made_dtype(self) -> torch.dtype | None:
        """The dtype of what the node gives that is converted; None where it gives several."""
        made = None if self.node is None else self.node.meta.get("val")
        return made.dtype if isinstance(made, torch.Tensor) else None

    def uses_result(self, position: int) -> bool:
        """Whether anything reads one of the several results of the node that is converted."""
        users = () if self.node is None else self.node.users
        return any(user.target is operator.getitem and user.args[1] == position for user in users)

    def value(self, tensor: Tensor | Complex | complex) -> Value:
        """As a node of the graph. Several uses of one parameter share one const."""
        if isinstance(tensor, Value):
            return tensor
        if isinstance(tensor, Complex | complex):
            raise InexpressibleError("complex numbers")
        if isinstance(tensor, Parameter):
            if tensor.identity not in self.consts:
                array = self.builder.named(to_array(tensor.tensor), tensor.name)
                learned = self.is_learned(tensor)
                made = self.builder.const(array, learned, name=tensor.name)
                self.consts[tensor.identity] = made
            return self.consts[tensor.identity]
        if isinstance(tensor, torch.Tensor):
            return self.builder.const(to_array(tensor))
        return self.builder.const(float(tensor))

    def is_own(self, tensor: Tensor | None) -> bool:
        """Whether a tensor can be the payload of one node: nothing else uses it."""
        if isinstance(tensor, Parameter):
            return self.uses[tensor.identity] == 1
        return tensor is None

    def is_learned(self, tensor: Tensor | None) -> bool:
        """Whether training changes a tensor: a parameter, unless the source froze it."""
        if isinstance(tensor, Parameter):
            if not tensor.tensor.requires_grad:
                note(self.builder, FROZEN)
            return tensor.tensor.requires_grad
        return isinstance(tensor, Value) and self.builder.is_learned(tensor)

    def payload(self, tensor: Tensor | None, what: str) -> Reals | None:
        """As numbers that a node holds, with a note when that unties or freezes something."""
        if tensor is None:
            return None
        if isinstance(tensor, Parameter):
            if tensor.identity in self.stored:
                self.builder.note(
                    "untied",
                    f"`{tensor.name}` is the {what} of several nodes; each holds a copy of its own",
                )
            self.stored.add(tensor.identity)
            return self.builder.named(to_array(tensor.tensor), tensor.name)
        if isinstance(tensor, torch.Tensor):
            key = self.buffers.get(identity(tensor))
            array = to_array(tensor)
            return array if key is None else self.builder.named(array, key)
        if not self.builder.is_constant(tensor):
            raise InexpressibleError(f"a {what} that depends on the input")
        if self.builder.is_learned(tensor):
            self.builder.note(
                "untied",
                f"the {what} of a node is computed from parameters; the graph holds the result",
            )
        return self.builder.array(tensor)

    def constant(self, tensor: Tensor | float, what: str) -> torch.Tensor:
        """As a tensor that must not depend on the input or on parameters."""
        if isinstance(tensor, torch.Tensor):
            return tensor
        if isinstance(tensor, int | float):
            return torch.tensor(tensor)
        raise InexpressibleError(f"{what} that depends on the input")
