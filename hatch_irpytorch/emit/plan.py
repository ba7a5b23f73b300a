"""Decisions about a module as plain data: names, bindings, statements. No text is laid out here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from hatch_irpytorch.ir.code import Code, Function, mapped
from hatch_irpytorch.ir.graph import Shape, numel
from hatch_irpytorch.ir.ops import Mask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


class Binding(NamedTuple):
    """One tensor of `__init__`. Its value is `code`, `values` or the booleans of `mask`."""

    node_id: int
    name: str
    shape: Shape
    learned: bool
    saved: bool = True
    values: Array | None = None
    code: Code | None = None
    mask: Mask | None = None


Form = tuple[Code, ...]
"""The expressions of nodes that are alike: `{0}` is the node's name, `{1}` its id, then come the
names of its parents."""


class Step(NamedTuple):
    """One node of `forward`: its expressions, each bound to `name`, and its comments.

    `deleted` are names that go first. `name` is `v{node_id}`, or that of a parent that ends here.
    `covers` are the nodes that a fused line stands for.
    """

    node_id: int
    name: str
    form: Form
    parents: tuple[str, ...]
    shape: Shape
    domain: str = ""
    origin: str = ""
    deleted: tuple[str, ...] = ()
    covers: tuple[int, ...] = ()

    def filled(self, text: str) -> str:
        """Text of the form with this node's names."""
        return text.format(self.name, self.node_id, *self.parents)

    @property
    def expressions(self) -> tuple[Code, ...]:
        """The form with this node's names."""
        places = (self.name, self.node_id, *self.parents)
        # A node may have parents by the thousand, so a place alone is looked up.
        known = {f"{{{place}}}": str(name) for place, name in enumerate(places)}

        def filled(text: str) -> str:
            if text in known:
                return known[text]
            return text.format(*places) if "{" in text else text

        return tuple(mapped(code, filled) for code in self.form)


@dataclass(frozen=True)
class Skeleton:
    """What the training part needs to know. torchlean.ir.v1: 5.4."""

    output_is_loss: bool
    has_gradient: bool
    positive_input: bool


@dataclass(frozen=True)
class ModulePlan:
    """Everything a generated module says."""

    class_name: str
    dtype: str
    node_count: int
    input_shape: Shape
    output_shapes: tuple[Shape, ...]
    bindings: tuple[Binding, ...]
    steps: tuple[Step, ...]
    returns: tuple[str, ...]
    functions: tuple[Function, ...]
    skeleton: Skeleton | None
    weights_in_file: bool

    @property
    def parameter_count(self) -> int:
        return sum(numel(binding.shape) for binding in self.bindings if binding.learned)

    @cached_property
    def tables(self) -> tuple[Binding, ...]:
        """The bindings whose entries stand in the source."""
        return tuple(
            binding
            for binding in self.bindings
            if numel(binding.shape)
            and (binding.mask or (binding.values is not None and not self.weights_in_file))
        )

    @property
    def stored(self) -> tuple[Binding, ...]:
        """The bindings whose numbers stand outside `__init__`: in tables or in a weight file."""
        return tuple(binding for binding in self.bindings if binding.values is not None)
