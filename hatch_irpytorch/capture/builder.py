"""A graph under construction: nodes are appended, shapes inferred, unused nodes dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.capture.budget import Budget
from hatch_irpytorch.capture.inexpressible import InexpressibleError
from hatch_irpytorch.capture.intervals import Interval
from hatch_irpytorch.capture.limits import require_attributes, require_payload, require_shape
from hatch_irpytorch.errors import text_of
from hatch_irpytorch.ir.graph import Graph, Model, Node
from hatch_irpytorch.ir.ops import Const, Input, Op, RuleError
from hatch_irpytorch.ir.ops.movement import BroadcastTo, Concat, Permute, Reshape, Transpose
from hatch_irpytorch.ir.shapes import Shape, numel
from hatch_irpytorch.names import dotted_name

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

__all__ = ["UNFIT", "Builder", "InexpressibleError", "Padded", "Reals", "Value", "first_line"]

Reals = np.ndarray[tuple[Any, ...], np.dtype[np.floating[Any]]]
"""Numbers as a file or a module has them."""

LARGEST = float(2.0**127)
"""What stands for an infinity in a constant: JSON has none, and float32 holds this one."""


UNFIT = (
    *(RuleError, ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
)
"""What a handler raises for arguments that its op does not take: no file or module is trusted."""


def first_line(error: BaseException) -> str:
    """What an exception of unknown origin says, cut to a phrase."""
    said = text_of(error).strip().split("\n")[0][:200]
    return said or type(error).__name__


def as_stored(numbers: ArrayLike) -> Reals:
    """Numbers in the dtype they are stored in: float32 for it and narrower ones, else float64."""
    given = np.asarray(numbers)
    if given.dtype.name in ("float32", "float16", "bfloat16"):
        return np.asarray(given, dtype=np.float32)
    return np.asarray(given, dtype=np.float64)


@dataclass(frozen=True)
class Value:
    """A node of the graph under construction."""

    id: int
    shape: Shape

    @property
    def rank(self) -> int:
        return len(self.shape)


@dataclass(frozen=True)
class _Draft:
    op: Op
    parents: tuple[int, ...]
    shape: Shape
    payload: Mapping[str, Reals]
    origin: str
    keys: tuple[tuple[str, str], ...]
    constant: bool
    learned: bool


@dataclass(frozen=True)
class Source:
    """An array that the source holds, and its key there."""

    array: Reals
    key: str


@dataclass(frozen=True)
class Padded:
    """How a value came from another by zeros around its axes: (before, after) for each."""

    source: Value
    pads: tuple[tuple[int, int], ...]


@dataclass
class Builder:
    """Nodes in order of creation. `origin` is what the nodes that follow are named after.

    `dtype` is that of the source's input. `padded`, `erf_of` and
    `sign_of` tell of the result of a formula what it was made of. Nodes and the numbers of
    constants are taken out of the budget, which raises `OverBudgetError`.
    `sources` are arrays of the source by their `id`, which they keep while they are held here.
    `guarded` are softmaxes whose rows that are masked whole are cared for. A builder that
    `evaluates` is asked for numbers alone: they may be NaN or infinite, as no file is to hold them.
    """

    origin: str = ""
    file: str = "<captured>"
    dtype: str = "float32"
    budget: Budget = field(default_factory=Budget)
    evaluates: bool = False
    padded: dict[int, Padded] = field(default_factory=dict)
    bounds: dict[int, Interval] = field(default_factory=dict)
    erf_of: dict[int, Value] = field(default_factory=dict)
    guarded: set[int] = field(default_factory=set)
    sign_of: dict[int, Value] = field(default_factory=dict)
    notes: dict[tuple[str, str], None] = field(default_factory=dict)
    sources: dict[int, Source] = field(default_factory=dict)
    _drafts: list[_Draft] = field(default_factory=list)
    _known: dict[object, Value] = field(default_factory=dict)
    _arrays: dict[int, Array] = field(default_factory=dict)
    _starts: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    def named(self, array: Reals, key: str) -> Reals:
        """The array, which nodes that hold it as it is say to be that of the source."""
        self.sources[id(array)] = Source(array, key)
        return array

    def note(self, code: str, message: str) -> None:
        """Keep a remark about what is legal but not quite what the source says."""
        self.notes.setdefault((code, message))

    def input(self, shape: Sequence[int], integers: int | None = None) -> Value:
        """The one run-time input: with `integers` of whole numbers below it."""
        return self.node(Input(tuple(shape), integers))

    def node(self, op: Op, *parents: Value, payload: Mapping[str, Any] | None = None) -> Value:
        """Append a node, or find the one that computes the same. Raises `RuleError`."""
        ids = tuple(parent.id for parent in parents)
        key = (op, ids)
        if not payload and key in self._known:
            return self._known[key]
        value = self._append(op, parents, payload or {})
        if not payload:
            self._known[key] = value
        return value

    def _append(
        self, op: Op, parents: tuple[Value, ...], payload: Mapping[str, Any], name: str = ""
    ) -> Value:
        self.budget.spend(nodes=1)
        drafts = [self._drafts[parent.id] for parent in parents]
        shape = tuple(int(i) for i in op.infer(*(parent.shape for parent in parents)))
        require_shape(shape)
        require_attributes(op)
        constant = not isinstance(op, Input) and all(draft.constant for draft in drafts)
        learned = any(draft.learned for draft in drafts)
        if isinstance(op, Const):
            learned = bool(op.learnable) if op.learnable is not None else True
        ids = tuple(parent.id for parent in parents)
        arrays = {name: as_stored(array) for name, array in payload.items()}
        finite = not self.evaluates
        require_payload(op, tuple(parent.shape for parent in parents), arrays, finite=finite)
        if arrays and not isinstance(op, Const):
            slots = op.payload(*(parent.shape for parent in parents))
            learned = learned or any(slot.learned for slot in slots)
        origin = dotted_name(name) or dotted_name(self.origin)
        named = [(name, self.sources.get(id(array))) for name, array in arrays.items()]
        keys = tuple((name, source.key) for name, source in named if source is not None)
        self._drafts.append(_Draft(op, ids, shape, arrays, origin, keys, constant, learned))
        return Value(len(self._drafts) - 1, shape)

    def const(self, array: ArrayLike, learnable: bool | None = False, *, name: str = "") -> Value:
        """A stored tensor; equal ones that are not learnable are stored once.

        `name` is what the source calls a parameter.
        """
        size = int(np.size(array))
        self.budget.spend_for_a_while(size)
        values = as_stored(array)
        if self.evaluates:
            return self._append(Const(values.shape, learnable=False), (), {"values": values})
        if not np.isfinite(values).all():
            if np.isnan(values).any():
                raise InexpressibleError("a constant that holds NaN")
            message = "an infinity among the constants is stored as 2**127, since JSON has none"
            self.note("infinite-constant", message)
            values = np.clip(values, -LARGEST, LARGEST)
        shape = tuple(int(i) for i in values.shape)
        op = Const(shape, learnable=learnable)
        if learnable is not False:
            self.budget.spend(entries=size)
            return self._append(op, (), {"values": values}, name)
        key = (shape, sha256(np.asarray(values, np.float64).tobytes()).digest())
        if key not in self._known:
            self.budget.spend(entries=size)
            self._known[key] = self._append(op, (), {"values": values}, name)
        return self._known[key]

    def full(self, shape: Shape, value: float) -> Value:
        """A tensor filled with one number."""
        return self.broadcast(self.const(value), shape)

    def is_constant(self, value: Value) -> bool:
        """Whether the value does not depend on the input."""
        return self._drafts[value.id].constant

    def is_learned(self, value: Value) -> bool:
        """Whether the value depends on a tensor that training may change."""
        return self._drafts[value.id].learned

    def op(self, value: Value) -> Op:
        return self._drafts[value.id].op

    def parents(self, value: Value) -> tuple[Value, ...]:
        ids = self._drafts[value.id].parents
        return tuple(Value(i, self._drafts[i].shape) for i in ids)

    def parent(self, value: Value, position: int) -> Value:
        """One of the parents, of which a `concat` may have many."""
        found = self._drafts[value.id].parents[position]
        return Value(found, self._drafts[found].shape)

    def starts(self, value: Value, axis: int) -> NDArray[np.int64]:
        """Where along an axis each parent of a `concat` begins, found once."""
        if value.id not in self._starts:
            extents = [parent.shape[axis] for parent in self.parents(value)]
            self._starts[value.id] = np.cumsum([0, *extents[:-1]])
        return self._starts[value.id]

    def payload(self, value: Value) -> Mapping[str, Reals]:
        return self._drafts[value.id].payload

    def array(self, value: Value) -> Array:
        """The numbers of a value that does not depend on the input."""
        found = self._arrays.get(value.id)
        if found is None:
            draft = self._drafts[value.id]
            size = numel(draft.shape)
            self.budget.spend(entries=size, steps=size * self._terms(draft))
            inputs = [self.array(parent) for parent in self.parents(value)]
            payload = {name: np.asarray(a, np.float64) for name, a in draft.payload.items()}
            with np.errstate(all="ignore"):
                result = draft.op.reference(*inputs, **payload)
            found = self._arrays[value.id] = np.asarray(result, dtype=np.float64)
        return found

    def _terms(self, draft: _Draft) -> int:
        """At most how many terms an entry of a draft sums up."""
        if draft.op.tag not in ("matmul", "linear", "conv"):
            return 1 + len(draft.parents)
        parts = [draft.payload["weight"].shape[1:]] if "weight" in draft.payload else []
        parts.extend(self._drafts[parent].shape[-1:] for parent in draft.parents)
        return max(numel(tuple(part)) for part in parts)

    # Movement: what does nothing is not written, and what repeats is joined.

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        shape = tuple(int(i) for i in shape)
        if shape == x.shape and shape.count(1) < 2:
            return x
        if isinstance(self.op(x), Reshape):
            (x,) = self.parents(x)
            return self.reshape(x, shape)
        return self.node(Reshape(x.shape, shape), x)

    def broadcast(self, x: Value, shape: Sequence[int]) -> Value:
        shape = tuple(int(i) for i in shape)
        return x if shape == x.shape else self.node(BroadcastTo(x.shape, shape), x)

    def permute(self, x: Value, perm: Sequence[int]) -> Value:
        perm = tuple(int(axis) % max(x.rank, 1) for axis in perm)
        op = self.op(x)
        if isinstance(op, Permute | Transpose):
            before = op.perm if isinstance(op, Permute) else swapped(x.rank, op.axis1, op.axis2)
            (x,) = self.parents(x)
            perm = tuple(before[axis] for axis in perm)
        moved = [axis for axis in range(len(perm)) if perm[axis] != axis]
        if not moved:
            return x
        if len(moved) == 2:
            return self.node(Transpose(*moved), x)
        return self.node(Permute(perm), x)

    def transpose(self, x: Value, a: int, b: int) -> Value:
        return self.permute(x, swapped(x.rank, a % x.rank, b % x.rank)) if x.rank else x

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """The values that are not empty along `axis`, joined."""
        axis %= values[0].rank
        full = [value for value in values if value.shape[axis]] or list(values[:1])
        return full[0] if len(full) == 1 else self.node(Concat(axis), *full)

    def finish(self, outputs: Sequence[Value]) -> Model:
        """The model of the nodes that the outputs depend on, numbered anew, input first."""
        live = self._live(outputs)
        ids: dict[int, int] = {}
        nodes: list[Node] = []
        params: dict[tuple[int, str], Reals] = {}
        for old, draft in enumerate(self._drafts):
            if old not in live:
                continue
            new = ids[old] = len(nodes)
            parents = tuple(ids[parent] for parent in draft.parents)
            op = draft.op
            node = Node(new, op, parents, draft.shape, new, op.tag, draft.origin, draft.keys)
            nodes.append(node)
            for name, array in draft.payload.items():
                params[new, name] = array
        (input_id,) = (node.id for node in nodes if isinstance(node.op, Input))
        graph = Graph(tuple(nodes), input_id, tuple(ids[o.id] for o in outputs), self.file)
        return Model(graph, params)

    def live(self, outputs: Sequence[Value]) -> Iterator[Value]:
        """The values that outputs depend on."""
        return (Value(i, self._drafts[i].shape) for i in sorted(self._live(outputs)))

    def _live(self, outputs: Sequence[Value]) -> set[int]:
        waiting = [output.id for output in outputs]
        live = {i for i, draft in enumerate(self._drafts) if isinstance(draft.op, Input)}
        while waiting:
            current = waiting.pop()
            if current not in live:
                live.add(current)
                waiting.extend(self._drafts[current].parents)
        return live


def swapped(rank: int, a: int, b: int) -> tuple[int, ...]:
    perm = list(range(rank))
    perm[a], perm[b] = perm[b], perm[a]
    return tuple(perm)


def split_at(shape: Shape, axis: int) -> tuple[int, int, int]:
    """(entries before, extent, entries after) of an axis: the shape as one of rank 3."""
    return numel(shape[:axis]), shape[axis], numel(shape[axis + 1 :])
