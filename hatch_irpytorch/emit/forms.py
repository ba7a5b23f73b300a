"""What nodes say and what they hold, made once for those that are alike."""

from __future__ import annotations

from hatch_irpytorch.emit.plan import Attribute, Binding, Form
from hatch_irpytorch.ir.graph import Model, Node, ParamStore, Shape
from hatch_irpytorch.ir.ops import Op, Site
from hatch_irpytorch.ir.ops.convolution import Conv, pack_kernel

Slots = tuple[tuple[str, Attribute, bool], ...]
"""Of each payload slot the field, the attribute and whether a grouped kernel is packed there."""


class Forms:
    """The forms of a model's nodes. `made` has them in order of first use."""

    def __init__(self, model: Model, dtype: str) -> None:
        self.graph = model.graph
        self.params: ParamStore = model.params
        self.dtype = dtype
        self.made: list[Form] = []
        self.plain: dict[int, Form] = {}
        """By signature, the forms of nodes that hold nothing, where the sign of 0 is not seen."""
        self._known: dict[tuple[int, tuple[str, ...], bool], Form] = {}
        self._slots: dict[int, Slots] = {}
        self._with_id: dict[int, Form] = {}

    def add(self, form: Form) -> Form:
        """Note a form that was made elsewhere, or here."""
        if not self.made or self.made[-1] is not form:
            self.made.append(form)
        return form

    def of(self, node: Node, payload: tuple[str, ...], zero_sign_matters: bool) -> Form:
        """The form of a node with some payload fields."""
        signature = self.graph.signatures[node.id]
        alike = (signature, payload, zero_sign_matters)
        found = self._known.get(alike)
        if found is not None:
            return found
        form = self.add(self._made(node, payload, zero_sign_matters))
        if not node.op.code_reads_payload:
            self._known[alike] = form
            if not (node.op.has_payload or node.op.has_buffers or zero_sign_matters):
                self.plain[signature] = form
        return form

    def with_id(self, form: Form) -> Form:
        """The form for nodes that have the name of a parent."""
        found = self._with_id.get(id(form))
        if found is None:
            found = self._with_id[id(form)] = form._replace(says_id=True)
        return found

    def _made(self, node: Node, payload: tuple[str, ...], zero_sign_matters: bool) -> Form:
        op = node.op
        code = op.torch(self._site(node, payload, zero_sign_matters))
        expressions = tuple(code) if isinstance(code, list) else (code,)
        return Form(expressions, node.shape, f"defined for {{2}} {op.domain}" if op.domain else "")

    def _site(self, node: Node, payload: tuple[str, ...], zero_sign_matters: bool) -> Site:
        stored = {field: self.params[node.id, field] for field in payload}
        shapes = self.graph.parent_shapes(node)
        return Site(node.op.prefix, shapes, node.shape, stored, self.dtype, zero_sign_matters)

    def payload(self, node: Node) -> dict[str, Binding]:
        """The bindings of the payload that a node has, by field."""
        signature = self.graph.signatures[node.id]
        slots = self._slots.get(signature)
        if slots is None:
            slots = self._slots[signature] = self._attributes(node)
        node_id = node.id
        bound = {}
        for field, attribute, is_packed in slots:
            array = self.params.get((node_id, field))
            if array is not None:
                if is_packed:
                    array = pack_kernel(array, _groups(node.op))
                bound[field] = Binding(node_id, attribute, array)
        return bound

    def _attributes(self, node: Node) -> Slots:
        def attribute(name: str, shape: Shape, learned: bool) -> Attribute:
            return Attribute(node.op.prefix, name, shape, learned)

        return tuple(
            (
                slot.field,
                attribute(slot.name, slot.packed or slot.shape, slot.learned),
                slot.packed is not None,
            )
            for slot in self.graph.slots(node)
        )

    def buffers(self, node: Node, payload: tuple[str, ...]) -> list[Binding]:
        """The bindings of what the code of a node reads besides its payload."""
        bound = []
        for buffer in node.op.buffers(self._site(node, payload, False)):
            shape = node.shape if buffer.table is None else buffer.table.shape
            attribute = Attribute(node.op.prefix, buffer.name, shape, False, False)
            bound.append(Binding(node.id, attribute, code=buffer.code, mask=buffer.table))
        return bound


def _groups(op: Op) -> int:
    assert isinstance(op, Conv)
    return op.groups
