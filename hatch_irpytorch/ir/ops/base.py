"""What an op is: attributes, payload slots, shape rule, PyTorch code and reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec

from hatch_irpytorch.ir.ops.code import Call, Code, Function, call
from hatch_irpytorch.ir.regrouping import origins, repeated, untold_axis
from hatch_irpytorch.ir.shapes import DeclaredShape, Shape, numel, shape_text
from hatch_irpytorch.ir.symbolic import Product, SymbolicShape, only_symbols

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Reals = NDArray[np.floating[Any]]
else:
    Array = Reals = Any

__all__ = [
    "Array",
    "Buffer",
    "Call",
    "Code",
    "Function",
    "Mask",
    "Op",
    "Reals",
    "RuleError",
    "Shape",
    "Site",
    "Slot",
    "attribute_name",
    "call",
    "numel",
    "require_axis",
    "require_same",
    "require_shape",
    "shape_text",
]


class RuleError(Exception):
    """A shape rule is broken: which field, what was found, what was expected."""

    def __init__(self, field: str, found: object, expected: str) -> None:
        self.field = field
        self.found = shape_text(found) if isinstance(found, tuple) else str(found)
        self.expected = expected
        super().__init__(f"{field}: expected {expected}, found {self.found}")


def require_axis(axis: int, x: Shape, field: str = "axis") -> None:
    if axis >= len(x):
        raise RuleError(
            field, axis, f"smaller than the rank {len(x)} of the parent {shape_text(x)}"
        )


def require_same(a: Shape, b: Shape) -> None:
    if a != b:
        raise RuleError("parents", f"{shape_text(a)} and {shape_text(b)}", "two equal shapes")


def require_shape(field: str, found: Shape, expected: Shape) -> None:
    if found != expected:
        raise RuleError(field, found, shape_text(expected))


class Slot(NamedTuple):
    """One payload tensor of a node.

    `field` is its JSON name, `name` its part of the attribute name in a generated module. `shape`
    is that of the JSON; `packed` the one without the zeros of a grouped kernel, if it is another.
    """

    field: str
    name: str
    shape: Shape
    learned: bool = True
    packed: Shape | None = None

    @property
    def held(self) -> Shape:
        """The shape of its array in a model and in a generated module."""
        return self.shape if self.packed is None else self.packed


class Mask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A boolean tensor of `shape` in row-major order. torchlean.ir.v1: 2.6."""

    shape: DeclaredShape
    allowed: tuple[bool, ...]


class Buffer(NamedTuple):
    """A tensor that follows from the attributes alone: built in `__init__`, never saved.

    Its value is `code`, or a table of booleans of the shape `table.shape`.
    """

    name: str
    code: Code | None = None
    table: Mask | None = None


class Tile(NamedTuple):
    """A parent whose axis holds one block of entries for a free extent."""

    place: int
    axis: int
    extent: Product


class Site(NamedTuple):
    """Where a node's code will stand: the shapes of its parents and its own, what its attributes
    start with, its stored arrays by field.

    Its names are places, `{0}` for the node, `{1}` for its id, `{2}` for its first parent, so that
    the code serves all nodes that are alike: it is made from them and never asks what they are.
    """

    prefix: str
    shapes: tuple[Shape, ...]
    out: Shape
    payload: Mapping[str, Reals]
    dtype: str
    zero_sign_matters: bool = False
    free_shapes: tuple[SymbolicShape, ...] = ()
    """Those of the parents, in which extents may be free; empty where none is."""
    free_out: SymbolicShape = ()
    tiles: tuple[Tile, ...] = ()
    """Parents that hold one block of entries for a free extent, which repeats it."""

    @property
    def parent_shapes(self) -> tuple[SymbolicShape, ...]:
        """The shapes of the parents, repeated where they are."""
        shapes = list(self.free_shapes or self.shapes)
        for place, axis, extent in self.tiles:
            shapes[place] = (*shapes[place][:axis], extent, *shapes[place][axis + 1 :])
        return tuple(shapes)

    @property
    def result_shape(self) -> SymbolicShape:
        return self.free_out or self.out

    def sizes(self, shape: SymbolicShape) -> tuple[Code | int, ...]:
        """The extents of a view, as code: -1 for one that torch can tell."""
        unknown = untold_axis(shape, self.parent_shapes)
        return tuple(
            -1 if axis == unknown else extent if isinstance(extent, int) else self.size(extent)
            for axis, extent in enumerate(shape)
        )

    def view(self, shape: SymbolicShape) -> Code:
        """A tuple of the `sizes` of a view."""
        return _tuple(self.sizes(shape))

    def shape(self, shape: SymbolicShape) -> Code:
        """A tuple of the `extents` of a shape."""
        return _tuple(self.extents(shape))

    def extents(self, shape: SymbolicShape) -> tuple[Code | int, ...]:
        """The extents of a shape, as code."""
        return tuple(extent if isinstance(extent, int) else self.size(extent) for extent in shape)

    def size(self, extent: Product) -> str:
        """A free extent as code: a product of extents of the parents."""
        tiled = {tile.place for tile in self.tiles}
        shapes = [() if i in tiled else shape for i, shape in enumerate(self.parent_shapes)]
        terms = origins(extent, shapes)
        assert terms is not None
        return " * ".join([term.code(self._names) for term in terms])

    @property
    def name(self) -> str:
        return "{0}"

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple([f"{{{place}}}" for place in range(2, len(self.shapes) + 2)])

    @property
    def parents(self) -> tuple[str, ...]:
        names = list(self._names)
        for place, axis, extent in self.tiles:
            rank = len(self.shapes[place])
            count = self.size(only_symbols(extent))
            names[place] = repeated(names[place], rank, axis, extent, count)
        return tuple(names)

    @property
    def x(self) -> str:
        return self.parents[0] if self.tiles else "{2}"

    @property
    def y(self) -> str:
        return self.parents[1] if self.tiles else "{3}"

    def slot(self, name: str) -> str:
        """The attribute of a payload slot or buffer, as seen in `forward`."""
        return f"self.{attribute_name(self.prefix, '{1}', name)}"


def _tuple(items: tuple[Code | int, ...]) -> Code:
    """A tuple of numbers is a literal; one with code has two items or more."""
    if any(isinstance(item, str) for item in items):
        return call("", *items)
    return str(items)


def attribute_name(prefix: str, node_id: int | str, name: str) -> str:
    """`linear_3_W`, or `const_3` for a slot without a name of its own."""
    return f"{prefix}_{node_id}_{name}" if name else f"{prefix}_{node_id}"


def _no_payload(op: object, *shapes: Shape) -> tuple[Slot, ...]:
    return ()


class Op:
    """One operation. A subclass is a frozen dataclass whose fields are its JSON attributes.

    Fields named in `from_node` are taken from the node itself instead of its attributes.
    `infer` gets the parents' shapes and returns the node's shape, or raises `RuleError`.
    `reference` gets the parents' float64 arrays and the payload by field name.
    """

    tag: ClassVar[str]
    parents: ClassVar[int | None] = 1
    """How many parents the op has; None: two or more."""
    prefix: ClassVar[str]
    """What its attributes start with in a generated module."""
    other_prefixes: ClassVar[tuple[str, ...]] = ()
    """What they start with in parameter files of the other dialect."""
    from_node: ClassVar[frozenset[str]] = frozenset()
    repeated_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields of the inline payload that repeat what shapes and attributes say already."""
    hides_zero_sign: ClassVar[bool] = False
    """Whether it makes no difference which sign a zero of a parent has. torchlean.ir.v1: 6.6."""
    gives_positive_zero: ClassVar[bool] = False
    """Whether a zero of its result is +0, where torch may give either; it hides the sign then."""
    domain: ClassVar[str] = ""
    """The values of the parent for which the op is defined, when not all are."""

    infer: ClassVar[Callable[..., Shape]]
    payload: ClassVar[Callable[..., tuple[Slot, ...]]] = _no_payload
    """The payload slots for parents of the shapes it is called with."""
    payload_fields: ClassVar[tuple[str, ...]] = ()
    """The fields of all slots that there are for some shapes."""
    has_buffers: ClassVar[bool] = False
    """Whether the code reads tensors that follow from the attributes alone."""
    code_reads_payload: ClassVar[bool] = False
    """Whether the code of a node depends on the numbers of its payload."""
    reference: ClassVar[Callable[..., Array]]
    infer_symbolic: ClassVar[Callable[..., list[SymbolicShape]]]
    """Symbolic shape inference: the node's declared shape and the parents' symbolic ones give what
    the node's may be, the likeliest first. Raises `NotFreeError` where the op does more with a free
    extent than it may.
    """

    def __init_subclass__(cls, *, tag: str = "", prefix: str = "") -> None:
        super().__init_subclass__()
        cls.has_buffers = cls.buffers is not Op.buffers
        if tag:
            cls.tag = tag
            cls.prefix = prefix or tag

    def optional_payload(self) -> bool:
        """Whether the node has a meaning without its payload."""
        return False

    def payload_problems(self, present: frozenset[str]) -> Iterable[RuleError]:
        """What is wrong with the payload fields that are present, beyond missing ones."""
        return ()

    def repeats(self, parent: SymbolicShape, out: SymbolicShape) -> tuple[tuple[int, Product], ...]:
        """The axes of a parent whose number stands for a free extent of the result, and that."""
        return ()

    def passes_gradient(self, *shapes: Shape) -> bool:
        """Whether a gradient can reach the parents through the code of this node."""
        return True

    def buffers(self, at: Site) -> tuple[Buffer, ...]:
        """Tensors that the code of this node reads besides its payload."""
        return ()

    def torch(self, at: Site) -> Code | list[Code]:
        """The node in PyTorch: one expression, or several that each rebind `at.name`."""
        raise AssertionError(f"{self.tag} has no code of its own")
