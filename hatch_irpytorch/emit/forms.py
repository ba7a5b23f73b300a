"""What nodes say and what they hold, made once for those that are alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from hatch_irpytorch.emit.plan import Attribute, Binding, Form
from hatch_irpytorch.ir.graph import Model, Node, ParamStore, arrays_by_field
from hatch_irpytorch.ir.ops import Op, Site
from hatch_irpytorch.ir.ops.convolution import Conv, pack_kernel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


class Usual(NamedTuple):
    """The form of nodes that are alike, each attribute that they have with the arrays of its field
    by node, and the arrays of fields that they lack.
    """

    form: Form
    has_payload: bool
    held: tuple[tuple[Attribute, Mapping[int, Array]], ...]
    absent: tuple[Mapping[int, Array], ...]

    def bind(self, node_id: int) -> list[Binding] | None:
        """The bindings of one of the nodes; None where it is not like the others in that."""
        for arrays in self.absent:
            if node_id in arrays:
                return None
        try:
            return [Binding(node_id, attribute, arrays[node_id]) for attribute, arrays in self.held]
        except KeyError:
            return None


class Forms:
    """The forms of a model's nodes. `made` has all of them in order of first use."""

    def __init__(self, model: Model, dtype: str) -> None:
        self.graph = model.graph
        self.params: ParamStore = model.params
        self.arrays = arrays_by_field(model.params)
        self.dtype = dtype
        self.made: dict[Form, Form] = {}
        self.usual: dict[int, Usual] = {}
        """By signature, what nodes say and hold where the sign of 0 is not seen."""
        self._known: dict[tuple[int, int, bool], Form] = {}
        self._given: dict[int, tuple[Form, Form]] = {}
        self._attributes: dict[int, dict[str, Attribute]] = {}
        self._with_id: dict[int, Form] = {}

    def add(self, form: Form) -> Form:
        """Note a form that was made elsewhere; returns the first that says the same."""
        given = self._given.get(id(form))
        if given is None:
            given = self._given[id(form)] = form, self.made.setdefault(form, form)
        return given[1]

    def of(self, node: Node, zero_sign_matters: bool) -> tuple[Form, list[Binding]]:
        """What a node says and holds."""
        payload = self._payload(node) if node.op.payload_fields else []
        signature = self.graph.signatures[node.id]
        alike = (signature, len(payload), zero_sign_matters)
        form = self._known.get(alike)
        if form is None:
            form = self._made(node, zero_sign_matters)
            form = self.made.setdefault(form, form)
            if not node.op.code_reads_payload and self.graph.is_repeated(node):
                self._known[alike] = form
                if not zero_sign_matters:
                    self._note_usual(node, form, payload)
        return form, payload + self._buffers(node) if node.op.has_buffers else payload

    def _note_usual(self, node: Node, form: Form, payload: list[Binding]) -> None:
        if node.op.has_buffers or _is_grouped(node):
            return
        given = {binding.attribute for binding in payload}
        slots = self._slots_of(node) if node.op.payload_fields else {}
        held = tuple([(a, self.arrays[field]) for field, a in slots.items() if a in given])
        absent = [self.arrays.get(field) for field, a in slots.items() if a not in given]
        lacking = tuple([arrays for arrays in absent if arrays])
        self.usual[self.graph.signatures[node.id]] = Usual(form, bool(slots), held, lacking)

    def with_id(self, form: Form) -> Form:
        """The form for nodes that have the name of a parent."""
        found = self._with_id.get(id(form))
        if found is None:
            found = self._with_id[id(form)] = form._replace(says_id=True)
        return found

    def _made(self, node: Node, zero_sign_matters: bool) -> Form:
        op = node.op
        code = op.torch(self._site(node, zero_sign_matters))
        expressions = tuple(code) if isinstance(code, list) else (code,)
        return Form(expressions, f"defined for {{2}} {op.domain}" if op.domain else "")

    def _site(self, node: Node, zero_sign_matters: bool) -> Site:
        keys = [(node.id, slot.field) for slot in self.graph.slots(node)]
        stored = {key[1]: self.params[key] for key in keys if key in self.params}
        shapes = self.graph.parent_shapes(node)
        return Site(node.op.prefix, shapes, node.shape, stored, self.dtype, zero_sign_matters)

    def _payload(self, node: Node) -> list[Binding]:
        """The bindings of the payload that a node has."""
        node_id, params = node.id, self.params
        bound = [
            Binding(node_id, attribute, params[node_id, field])
            for field, attribute in self._slots_of(node).items()
            if (node_id, field) in params
        ]
        return [_packed(binding, node.op) for binding in bound] if _is_grouped(node) else bound

    def _slots_of(self, node: Node) -> dict[str, Attribute]:
        """The attribute of each payload field, the same one for nodes that are alike."""
        signature = self.graph.signatures[node.id]
        found = self._attributes.get(signature)
        if found is None:
            prefix = node.op.prefix
            found = self._attributes[signature] = {
                slot.field: Attribute(prefix, slot.name, slot.packed or slot.shape, slot.learned)
                for slot in self.graph.slots(node)
            }
        return found

    def _buffers(self, node: Node) -> list[Binding]:
        """The bindings of what the code of a node reads besides its payload."""
        bound = []
        for buffer in node.op.buffers(self._site(node, False)):
            shape = node.shape if buffer.table is None else buffer.table.shape
            attribute = Attribute(node.op.prefix, buffer.name, shape, False, False)
            bound.append(Binding(node.id, attribute, code=buffer.code, mask=buffer.table))
        return bound


def _is_grouped(node: Node) -> bool:
    return isinstance(node.op, Conv) and node.op.groups > 1


def _packed(binding: Binding, op: Op) -> Binding:
    """A binding of a grouped convolution, a kernel without the zeros outside its blocks."""
    values = binding.values
    if values is None or values.shape == binding.shape:
        return binding
    assert isinstance(op, Conv)
    return binding._replace(values=pack_kernel(values, op.groups))
