"""The ParamStore of a graph: inline payload and parameter file, matched to the nodes' slots."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from msgspec import UNSET, Raw

from hatch_irpytorch.errors import Place, Problem, Problems, nearest, shown
from hatch_irpytorch.ir.arrays import describe_tensor, tensor, tensors
from hatch_irpytorch.ir.attributes import ValueFormError
from hatch_irpytorch.ir.graph import Graph, Node, ParamStore
from hatch_irpytorch.ir.keys import Keys, state_keys
from hatch_irpytorch.ir.lower import Lowered
from hatch_irpytorch.ir.ops import Const, Slot, attribute_name
from hatch_irpytorch.ir.ops.convolution import Conv, pack_kernel
from hatch_irpytorch.ir.shapes import Shape, shape_text
from hatch_irpytorch.ir.stores import DTYPES, Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


MAX_EXTRA = 20
"""How many entries without a node are named one by one."""


@dataclass(frozen=True)
class StoreFile:
    """A parameter file: its display name and its entries."""

    file: str
    entries: Mapping[str, Entry]


COUNTS = ".num_batches_tracked"
"""What the entries end in that batch norm counts with in training; no graph has them."""

COMPRESSED = "vec"
"""What the name of a compressed const ends in: `const_3_vec`. torchlean.ir.v1: 5.3."""


def bind_params(
    lowered: Lowered,
    sound: Collection[int],
    store: StoreFile | None,
    problems: Problems,
    base: ParamStore | None = None,
) -> tuple[ParamStore, tuple[Problem, ...]]:
    """Arrays for the slots of every sound node, and notes on what is legal but odd.

    An entry of the file takes the place of an inline value. Its entries are called as in a module
    of `layout: graph`, or all as in one of `layout: modules`; such a state dict has the learned
    arrays and statistics alone, and `base` holds the others. A node that no output depends on may
    lack its payload; entries that belong to no node are a problem.
    """
    graph = lowered.graph
    whole = 0 < len(sound) == len(graph.nodes)
    binder = _Binder(lowered, store, base or {})
    live = graph.live_ids() if whole else ()
    alike: dict[int, list[Node]] = {
        signature: []
        for signature, node in enumerate(graph.signature_nodes)
        if node.op.payload_fields
    }
    for node, signature in zip(graph.nodes, graph.signatures, strict=True):
        if signature in alike and node.id in sound:
            alike[signature].append(node)
    rest = [nodes for nodes in alike.values() if nodes and not binder.bind_alike(nodes)]
    for node in sorted(chain.from_iterable(rest), key=lambda node: node.id):
        binder.bind(node, node.id in live)
    if whole:
        binder.report_extra()
    problems.extend(binder.problems)
    return binder.params, () if len(problems) else tuple(binder.notes)


_ZERO = np.zeros(())
"""Stands for a value that is not sound."""


def is_repeated(stored: Shape, shape: Shape) -> bool:
    """Whether a const of `shape` is stored once for an axis: so a module of any batch holds one."""
    if len(stored) != len(shape) or stored == shape:
        return False
    return all(a in (1, b) for a, b in zip(stored, shape, strict=True))


def _slots(graph: Graph, node: Node) -> tuple[Slot, ...]:
    return graph.slots(node) if node.op.payload_fields else ()


def _names(node: Node, slot: Slot) -> list[str]:
    """What the attribute of a slot is called, in modules of both dialects."""
    prefixes = (node.op.prefix, *node.op.other_prefixes)
    return [attribute_name(prefix, node.id, slot.name) for prefix in prefixes]


class _Binder:
    def __init__(self, lowered: Lowered, store: StoreFile | None, base: ParamStore) -> None:
        self.lowered = lowered
        self.graph = lowered.graph
        self.store = store
        self.base = base
        self.problems = Problems()
        self.notes: list[Problem] = []
        self.params: dict[tuple[int, str], Array] = {}
        self.used: set[str] = set()
        self.known: set[str] = set()
        self.keys = self._keys()

    def _keys(self) -> Keys:
        """The keys that the file calls its entries by; none where it has names of attributes."""
        if self.store is None:
            return {}
        nodes = self.graph.nodes
        names = {
            name
            for node in nodes
            for slot in _slots(self.graph, node)
            for name in _names(node, slot)
        }
        others = [entry for entry in self.store.entries if entry not in names]
        keys = state_keys(self.graph) if others else {}
        own = set(keys.values())
        if own.isdisjoint(others):
            return {}
        attributes = [entry for entry in self.store.entries if entry in names and entry not in own]
        if attributes:
            first = next(entry for entry in others if entry in own)
            message = (
                f"{shown(attributes[0])} is a name of `layout: graph`, "
                f"{shown(first)} one of `layout: modules`"
            )
            self.problems.add("mixed-names", Place(self.store.file), message, "keep to one of them")
        return keys

    def bind_alike(self, nodes: Sequence[Node]) -> bool:
        """Bind nodes of one signature together, where the document holds all they need."""
        op, slots = nodes[0].op, self.graph.slots(nodes[0])
        if any(slot.packed for slot in slots):
            return False
        if self.store is not None or [*op.payload_problems(frozenset(s.field for s in slots))]:
            return False
        ids = [node.id for node in nodes]
        found = []
        for slot in slots:
            texts = [self.lowered.value(node_id, slot.field) for node_id in ids]
            if not all(isinstance(text, Raw) for text in texts):
                return False
            try:
                arrays = tensors(cast("list[Raw]", texts), slot.shape, isinstance(op, Const))
            except ValueFormError:
                return False
            found.append((slot.field, arrays))
        for field, arrays in found:
            self.params.update(zip([(node_id, field) for node_id in ids], arrays, strict=True))
        return True

    def bind(self, node: Node, live: bool) -> None:
        slots = self.graph.slots(node)
        if not slots:
            return
        before = len(self.problems)
        missing = [slot for slot in slots if not self._bind_slot(node, slot)]
        if len(self.problems) > before:
            return
        present = frozenset([slot.field for slot in slots if slot not in missing])
        optional = not present and (node.op.optional_payload() or not live)
        if optional:
            return
        for slot in missing:
            self._tell_missing(node, slot)
        for error in node.op.payload_problems(present):
            message = f"`{error.field}` must be {error.expected}, found {error.found}"
            self.problems.add("missing-payload", self.graph.place(node), message)

    def _tell_missing(self, node: Node, slot: Slot) -> None:
        name = self.lowered.name(node.id, slot.field)
        wanted = f"`{name}` of shape {shape_text(slot.shape)} is missing"
        where = "neither the graph nor the parameters hold it"
        attribute = attribute_name(node.op.prefix, node.id, slot.name)
        hint = f"the parameter file would call it `{attribute}`"
        place = self.graph.place(node)
        self.problems.add("missing-payload", place, f"{wanted}: {where}", hint)

    def _bind_slot(self, node: Node, slot: Slot) -> bool:
        """Whether the slot has a value; an ill-formed one counts and is reported."""
        array = self._from_file(node, slot) if self.store is not None else None
        if array is None:
            array = self._from_document(node, slot)
        if array is None and self.keys:
            array = self.base.get((node.id, slot.field))
        if array is None:
            return False
        if slot.packed is not None and array.shape == slot.shape:
            array = self._blocks(node, array)
        self.params[node.id, slot.field] = array
        return True

    def _blocks(self, node: Node, dense: Array) -> Array:
        """A grouped kernel without what no output reads, which is noted where it is not 0."""
        assert isinstance(node.op, Conv)
        packed = pack_kernel(dense, node.op.groups)
        outside = np.count_nonzero(dense) - np.count_nonzero(packed)
        if outside:
            blocks = f"the {node.op.groups} blocks"
            message = f"{outside} weights outside {blocks} are not 0 and never read"
            self.notes.append(Problem("unused-weight", self.graph.place(node), message))
        return packed

    def _from_document(self, node: Node, slot: Slot) -> Array | None:
        fill = self.lowered.fills.get(node.id)
        if fill is not None:
            return np.broadcast_to(np.float64(fill), slot.shape)
        value = self.lowered.value(node.id, slot.field)
        if value is UNSET:
            return None
        try:
            return tensor(value, slot.shape, isinstance(node.op, Const))
        except ValueFormError as problem:
            self._bad_payload(node, slot, problem)
            return _ZERO

    def _bad_payload(self, node: Node, slot: Slot, problem: ValueFormError) -> None:
        name = self.lowered.name(node.id, slot.field)
        flat = isinstance(node.op, Const)
        hint = "write nested arrays flat, in row-major order" if flat else ""
        expected = f"{describe_tensor(slot.shape, flat)}: {problem.expected}"
        place = self.graph.place(node)
        self.problems.mismatch("bad-payload", place, name, expected, problem.found, hint)

    def _from_file(self, node: Node, slot: Slot) -> Array | None:
        if self.store is None:
            return None
        entries = self.store.entries
        key = self.keys.get((node.id, slot.field))
        names = _names(node, slot) if key is None else [key]
        name = next((name for name in names if name in entries), names[0])
        self.known.add(name)
        if isinstance(node.op, Const) and len(slot.shape) == 2 and key is None:
            vector = f"{name}_{COMPRESSED}"
            if vector in entries and name not in entries:
                self.used.add(vector)
                row = self._read(node, vector, (slot.shape[1:],))
                return None if row is None else np.broadcast_to(row, slot.shape)
        if name not in entries:
            return None
        self.used.add(name)
        shapes = (slot.shape,) if slot.packed is None else (slot.shape, slot.packed)
        if isinstance(node.op, Const) and is_repeated(entries[name].shape, slot.shape):
            once = self._read(node, name, (entries[name].shape,))
            return None if once is None else np.broadcast_to(once, slot.shape)
        return self._read(node, name, shapes)

    def _read(self, node: Node, name: str, shapes: tuple[Shape, ...]) -> Array | None:
        """The entry `name` with one of `shapes`; a zero stands for one that is reported."""
        assert self.store is not None
        entry = self.store.entries[name]
        place = self.graph.place(node)
        expected = " or ".join(shape_text(shape) for shape in shapes)
        if entry.shape not in shapes:
            inputs = self.graph.parent_shapes(node)
            source = f" for an input of {shape_text(inputs[0])}" if inputs else ""
            found = shape_text(entry.shape)
            message = f"`{name}` must be {expected}{source}, `{self.store.file}` has {found}"
            self._mismatch(place, name, message, expected, found)
            return _ZERO
        if entry.dtype not in DTYPES:
            allowed = ", ".join(DTYPES)
            message = f"`{name}` must be one of {allowed}, `{self.store.file}` has {entry.dtype}"
            self._mismatch(place, name, message, allowed, entry.dtype)
            return _ZERO
        try:
            return entry.read()
        except ValueFormError as problem:
            message = (
                f"`{name}` must be {problem.expected}, `{self.store.file}` has {problem.found}"
            )
            self._mismatch(place, name, message, problem.expected, problem.found)
            return _ZERO

    def _mismatch(self, place: Place, name: str, message: str, expected: str, found: str) -> None:
        problem = Problem("shape-mismatch", place, message, "", name, expected, found)
        self.problems.extend([problem])

    def report_extra(self) -> None:
        if self.store is None:
            return
        extra = sorted(
            name
            for name in self.store.entries
            if name not in self.used and not (self.keys and name.endswith(COUNTS))
        )
        unused = self.known - self.used
        for name in extra[:MAX_EXTRA]:
            hint = nearest(name, unused)
            message = f"the entry {shown(name)} belongs to no node of `{self.graph.file}`"
            self.problems.add("extra-payload", Place(self.store.file), message, hint)
        if len(extra) > MAX_EXTRA:
            message = f"{len(extra) - MAX_EXTRA} more entries belong to no node"
            self.problems.add("extra-payload", Place(self.store.file), message)
