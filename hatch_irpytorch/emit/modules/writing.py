"""From the modules of a graph to their forms: what each holds, takes, computes and returns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hatch_irpytorch.emit.fusion.ops import FusedAttention, FusedLinears
from hatch_irpytorch.emit.layout import flat
from hatch_irpytorch.emit.modules.expressions import filled, joined, mentions
from hatch_irpytorch.emit.modules.layers import called
from hatch_irpytorch.emit.modules.members import Members
from hatch_irpytorch.emit.modules.places import Places
from hatch_irpytorch.emit.modules.scopes import Item, Scope
from hatch_irpytorch.emit.templates import Templates
from hatch_irpytorch.ir.graph import Graph, Node
from hatch_irpytorch.ir.keys import Keys, Path
from hatch_irpytorch.ir.ops import Const, attribute_name
from hatch_irpytorch.ir.ops.code import Call, Code, call, mapped

SHORT = 50
"""How long the steps of a node are at most that become one expression."""


@dataclass(frozen=True)
class Step:
    """A node or a module as code over the values that it reads, each in the place of its id.

    `module` is the one that is called with one value alone. `hint` is what its result may be
    called, `roles` what that calls which it reads.
    """

    values: tuple[int, ...]
    code: Code
    tag: str
    is_numbered: bool
    hint: str = ""
    roles: tuple[tuple[int, str], ...] = ()
    steps: tuple[Code, ...] = ()
    module: Path | None = None


@dataclass(frozen=True)
class Signature:
    """What a module is given from outside, values and keys of arrays, and what it returns."""

    inputs: tuple[int, ...]
    keys: tuple[str, ...]
    outputs: tuple[int, ...]


class Reader:
    """Which values and arrays the modules of a graph read from outside."""

    def __init__(self, graph: Graph, places: Places, keys: Keys) -> None:
        self.graph = graph
        self.places = places
        self.keys = keys
        self._held: dict[int, list[str]] = {}
        for (node_id, _), key in keys.items():
            self._held.setdefault(node_id, []).append(key)
        self.users: dict[int, list[int]] = {}
        for node_id in places.of:
            for parent in graph.nodes[node_id].parents:
                self.users.setdefault(parent, []).append(node_id)

    def is_value(self, node_id: int) -> bool:
        return node_id in self.places.of or node_id == self.graph.input_id

    def signature(self, scope: Scope) -> Signature:
        nodes = list(scope.nodes())
        inside = set(nodes)
        inputs: dict[int, None] = {}
        keys: dict[str, None] = {}
        for node_id in nodes:
            for parent in self.graph.nodes[node_id].parents:
                if self.is_value(parent) and parent not in inside:
                    inputs.setdefault(parent)
            for key in self.arrays(node_id):
                if tuple(key.split("."))[: len(scope.path)] != scope.path:
                    keys.setdefault(key)
        outputs = [
            node_id
            for node_id in sorted(inside)
            if node_id in self.graph.output_ids
            or any(user not in inside for user in self.users.get(node_id, ()))
        ]
        return Signature(tuple(inputs), tuple(keys), tuple(outputs))

    def arrays(self, node_id: int) -> list[str]:
        """The keys of the arrays that a node is computed with, but for those of a layer."""
        found = [] if node_id in self.places.layers else list(self._held.get(node_id, ()))
        for parent in self.graph.nodes[node_id].parents:
            if not self.is_value(parent):
                found += self.arrays(parent)
        return found


class Writer:
    """The steps of a scope."""

    def __init__(self, reader: Reader, templates: Templates, signed: frozenset[int]) -> None:
        self.reader = reader
        self.graph = reader.graph
        self.places = reader.places
        self.keys = reader.keys
        self.templates = templates
        self.signed = signed
        self.codes: dict[Code, None] = {}
        """Every code that was asked for, before it is put into other code."""

    def steps(self, scope: Scope, members: Members) -> list[Step]:
        return [self._step(item, scope, members) for item in scope.items]

    def _step(self, item: Item, scope: Scope, members: Members) -> Step:
        if isinstance(item, int):
            return self._of_node(self.graph.nodes[item], members)
        signature = self.reader.signature(scope.children[item])
        arguments = [f"{{{value}}}" for value in signature.inputs]
        arguments += [members.array(key) for key in signature.keys]
        code = call(members.module(item), *arguments)
        hint = hint_of(item)
        single = len(signature.outputs) == len(arguments) == 1
        module = item if single and not signature.keys else None
        return Step(signature.outputs, code, "", item[-1].isdecimal(), hint, module=module)

    def _of_node(self, node: Node, members: Members) -> Step:
        code = self.code(node, members)
        layer = self.places.layers.get(node.id)
        hint = "" if layer is None else hint_of(layer)
        if isinstance(node.op, FusedLinears):
            return Step(node.op.children, code[0], node.op.tag, True)
        (whole, *others) = code
        if others:
            return Step((node.id,), code[-1], node.op.tag, False, hint, steps=code)
        numbered = layer is not None and layer[-1].isdecimal()
        roles: tuple[tuple[int, str], ...] = ()
        if isinstance(node.op, FusedAttention):
            roles = tuple(zip(node.parents, ("q", "k", "v"), strict=False))
        module = layer if layer is not None and _calls(whole, members.module(layer)) else None
        return Step((node.id,), whole, node.op.tag, numbered, hint, roles, module=module)

    def code(self, node: Node, members: Members) -> tuple[Code, ...]:
        """The expression of a node over the ids that it reads, or several that rebind its own."""
        held = len(self.graph.slots(node))
        template = self.templates.of(node, held, node.id in self.signed)
        slots = {
            f"self.{attribute_name(node.op.prefix, '{1}', slot.name)}": self._slot(
                node, slot.field, members
            )
            for slot in self.graph.slots(node)
        }
        for field in (
            (field for node_id, field in self.keys if node_id == node.id)
            if node.op.has_buffers
            else ()
        ):
            name = attribute_name(node.op.prefix, "{1}", field)
            slots[f"self.{name}"] = members.array(self.keys[node.id, field])
        layer = self.places.layers.get(node.id)
        given: dict[int, Code] = {0: f"{{{node.id}}}"}
        for place, parent in enumerate(node.parents):
            given[place + 2] = self._operand(parent, members)
        found = []
        for code in template.expressions:
            self.codes.setdefault(code)
            made = called(code, members.module(layer)) if layer is not None else None
            if made is None:
                made = _without_none(mapped(code, lambda text: slots.get(text, text)))
            found.append(made)
        whole = joined(tuple(found))
        if whole is not None and (len(found) == 1 or len(flat(whole)) <= SHORT):
            found = [whole]
        return tuple(filled(code, given) for code in found)

    def _slot(self, node: Node, field: str, members: Members) -> str:
        if node.id in self.places.layers:
            return ""
        if (node.id, field) not in self.keys:
            return "None"
        return members.array(self.keys[node.id, field])

    def constant(self, node_id: int, members: Members) -> Step:
        """A value that is made of constants."""
        tag = self.graph.nodes[node_id].op.tag
        return Step((node_id,), self._operand(node_id, members), tag, is_numbered=False)

    def _operand(self, node_id: int, members: Members) -> Code:
        """A value by its id, or the code of what is made of constants."""
        if self.reader.is_value(node_id):
            return f"{{{node_id}}}"
        node = self.graph.nodes[node_id]
        if isinstance(node.op, Const):
            return members.array(self.keys[node_id, "values"])
        (whole,) = self.code(node, members)
        return whole


def _without_none(code: Code) -> Code:
    """A call without a last argument that is None, as its default is."""
    if isinstance(code, str) or not code.arguments or code.arguments[-1] != "None":
        return code
    return Call(code.function, code.arguments[:-1], code.keywords)


def _calls(code: Code, function: str) -> bool:
    """Whether code calls a function with one argument alone."""
    if isinstance(code, str) or code.function != function:
        return False
    return len(code.arguments) == 1 and not code.keywords


def without_aliases(
    steps: Sequence[Step], returned: Sequence[int]
) -> tuple[list[Step], tuple[int, ...]]:
    """The steps but those that give what they read, which is read in their place."""
    same: dict[int, int] = {}
    found = []
    for step in steps:
        places = {v: f"{{{same.get(v, v)}}}" for v in mentions(step.code)}
        for part in step.steps:
            places.update({v: f"{{{same.get(v, v)}}}" for v in mentions(part)})
        code = filled(step.code, places)
        alias = _ALIAS.fullmatch(code) if isinstance(code, str) and not step.steps else None
        if alias is not None and len(step.values) == 1:
            same[step.values[0]] = int(alias[1])
            continue
        parts = tuple(filled(part, places) for part in step.steps)
        roles = tuple((same.get(value, value), role) for value, role in step.roles)
        found.append(replace(step, code=code, steps=parts, roles=roles))
    return found, tuple(same.get(value, value) for value in returned)


_ALIAS = re.compile(r"\{(\d+)\}")


def hint_of(path: Path) -> str:
    """What the result of a module may be called; nothing where its name says how it is computed."""
    name = path[-1].removesuffix("_proj")
    stem = name.rstrip("0123456789_")
    return "" if not stem or stem in _OPERATIONS else name


_OPERATIONS = frozenset(
    [
        "attn",
        "bn",
        "conv",
        "dense",
        "downsample",
        "fc",
        "layer",
        "layer_norm",
        "layernorm",
        "linear",
        "ln",
        "mlp",
        "norm",
        "part",
    ]
)
