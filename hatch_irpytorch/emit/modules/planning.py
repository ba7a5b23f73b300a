"""From a model to the classes of its modules: every decision, no layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from hatch_irpytorch.axes.free import FreeModel
from hatch_irpytorch.emit.consts import bind_const, layer_norm_affine
from hatch_irpytorch.emit.fusion.ops import Part as ChildOfLinears
from hatch_irpytorch.emit.layout import flat
from hatch_irpytorch.emit.modules.chains import is_chain, with_sequences
from hatch_irpytorch.emit.modules.classes import Classes
from hatch_irpytorch.emit.modules.forms import ORDERED, ClassForm, Form, Held
from hatch_irpytorch.emit.modules.general import generalised
from hatch_irpytorch.emit.modules.layers import calls_layer, constructor, without_arrays
from hatch_irpytorch.emit.modules.lines import Lines, with_loops
from hatch_irpytorch.emit.modules.members import Members, is_numbered
from hatch_irpytorch.emit.modules.names import unique_names
from hatch_irpytorch.emit.modules.places import outside, places_of
from hatch_irpytorch.emit.modules.scopes import Scope, scope_tree
from hatch_irpytorch.emit.modules.writing import Reader, Signature, Writer, without_aliases
from hatch_irpytorch.emit.options import RESERVED_NAMES, EmitOptions
from hatch_irpytorch.emit.plan import ClassTree, Tensor
from hatch_irpytorch.emit.templates import Templates
from hatch_irpytorch.emit.zero_signs import need_right_zeros
from hatch_irpytorch.ir.graph import Graph, Node, ParamStore
from hatch_irpytorch.ir.keys import IN_PYTORCH, Keys, Path, place_of, state_keys
from hatch_irpytorch.ir.ops import Const, LayerNorm
from hatch_irpytorch.ir.ops.code import Call, Code, call
from hatch_irpytorch.ir.shapes import numel
from hatch_irpytorch.ir.symbolic import SymbolicShape

SHORT = 60
"""How long the constructors of a chain of named parts are that needs no class."""

GAP = call("nn.Identity")
"""Stands where the source has a part that computes nothing."""


def class_tree(
    free: FreeModel, nodes: Sequence[Node], original: Graph, options: EmitOptions
) -> ClassTree:
    """The classes of a model's live nodes. Keys are those of the graph before any rewriting."""
    keys = dict(state_keys(original))
    signed = need_right_zeros(free.model, nodes, options.dtype)
    tensors = dict(_tensors(free, nodes, keys, options))
    planner = _Planner(free, nodes, keys, tensors, signed, options)
    classes, model = generalised(*planner.run(), options.class_name)
    made = (tensor.code for tensor in tensors.values() if tensor.code is not None)
    functions = (*planner.constructors, *planner.writer.codes, *made)
    return ClassTree(classes, model, tuple(tensors.values()), functions)


def _tensors(
    free: FreeModel, nodes: Sequence[Node], keys: dict[tuple[int, str], str], options: EmitOptions
) -> Iterator[tuple[str, Tensor]]:
    """What the classes hold, by key. Tensors that no graph stores get keys of their own."""
    model, graph = free.model, free.model.graph
    affine = layer_norm_affine(graph, nodes)
    whole = replace(options, compress_broadcast_params=False)
    templates = Templates(free, options.dtype)
    for node in nodes:
        slots = {slot.name: slot.field for slot in graph.slots(node)}
        if isinstance(node.op, Const):
            _, made = bind_const(node, model.params[node.id, "values"], node.id in affine, whole)
        else:
            made = templates.tensors(node)
        for held in made:
            name = held.declaration.suffix
            if name not in slots:
                key = keys[node.id, name] = _new_key(node, name, keys)
                yield (
                    key,
                    Tensor(node.id, held.declaration, code=held.code, mask=held.mask, key=key),
                )
                continue
            field = slots[name]
            if _is_left_out(graph, node, field, model.params):
                continue
            key = keys[node.id, field]
            saved = held.learned or bool(node.keys) or not isinstance(node.op, Const)
            declaration = replace(held.declaration, saved=saved)
            yield key, Tensor(node.id, declaration, model.params[node.id, field], key=key)


def _new_key(node: Node, name: str, keys: Mapping[tuple[int, str], str]) -> str:
    """The key of a tensor that follows from the attributes of a node."""
    taken, number = set(keys.values()), 1
    place = outside(place_of(node), {tuple(key.split(".")) for key in taken})
    while (key := ".".join((*place, f"{name}{number}"))) in taken:
        number += 1
    return key


def _is_left_out(graph: Graph, node: Node, field: str, params: ParamStore) -> bool:
    """Whether an array is zeros to add that nothing learns and the source does not name."""
    shift = "beta" if isinstance(node.op, LayerNorm) else "bias"
    if field != shift or field in dict(node.keys):
        return False
    learned = any(slot.learned for slot in graph.slots(node) if slot.field == field)
    return not learned and not np.any(params[node.id, field])


class _Planner:
    """The classes of one graph while they are found, innermost first."""

    def __init__(
        self,
        free: FreeModel,
        nodes: Sequence[Node],
        keys: Keys,
        tensors: Mapping[str, Tensor],
        signed: frozenset[int],
        options: EmitOptions,
    ) -> None:
        self.free = free
        self.graph = graph = free.model.graph
        self.keys = keys
        self.tensors = tensors
        learned = {
            tensor.node_id
            for tensor in tensors.values()
            if tensor.learned and isinstance(graph.nodes[tensor.node_id].op, Const)
        }
        live = {place: key for place, key in keys.items() if key in tensors}
        templates = Templates(free, options.dtype)
        codes = {
            node.id: templates.of(node, len(graph.slots(node)), node.id in signed).expressions
            for node in nodes
            if node.op.tag != ChildOfLinears.tag
        }
        self.made = {
            node_id: made
            for node_id, code in codes.items()
            if (made := without_arrays(code)) is not None
        }
        single = {node_id for node_id, code in codes.items() if len(code) == 1}
        layers = {node_id for node_id, code in codes.items() if self._is_layer(node_id, code)}
        self.places = places_of(graph, nodes, live, learned, layers, single)
        self.reader = Reader(graph, self.places, live)
        self.writer = Writer(self.reader, templates, signed)
        self.classes = Classes(RESERVED_NAMES | {options.class_name})
        self.dtype = options.dtype
        self.constructors: list[Code] = []
        self.scopes: dict[Path, Scope] = {}
        self.layers = {path: node_id for node_id, path in self.places.layers.items()}

    def _is_layer(self, node_id: int, code: tuple[Code, ...]) -> bool:
        """Whether a layer may compute a node: none does whose arrays have no entries."""
        slots = self.graph.slots(self.graph.nodes[node_id])
        if not slots:
            return node_id in self.made
        return calls_layer(code) and all(numel(slot.held) for slot in slots)

    def run(self) -> tuple[list[ClassForm], Form]:
        parents = {i: self.graph.nodes[i].parents for i in self.places.of}
        root = scope_tree(self.places.of, parents, self.places.dissolved)
        self._note(root)
        form = self._form(())
        return self.classes.forms(), form

    def _note(self, scope: Scope) -> None:
        self.scopes[scope.path] = scope
        for child in scope.children.values():
            self._note(child)

    @cached_property
    def _inside(self) -> Mapping[Path, Sequence[str]]:
        """By path, the names of the modules inside."""
        paths = {*self.scopes, *self.layers}
        paths |= {tuple(key.split("."))[:-1] for key in self.tensors}
        found: dict[Path, dict[str, None]] = {}
        for path in sorted(paths, key=self._first):
            for end in range(len(path)):
                found.setdefault(path[:end], {}).setdefault(path[end])
        return {path: list(names) for path, names in found.items()}

    @cached_property
    def _sequences(self) -> frozenset[Path]:
        """The modules that hold numbered parts and nothing else."""
        holders = {tuple(key.split("."))[:-1] for key in self.tensors}
        found = {
            path
            for path, names in self._inside.items()
            if path and path not in self.scopes and all(name.isdecimal() for name in names)
        }
        root = {()} if is_numbered(self._inside.get((), ())) else set()
        return frozenset(found - holders | root)

    def _first(self, path: Path) -> tuple[int, int, Path]:
        """Modules in the order in which they are first computed."""
        if path in self.layers:
            return self.layers[path], 1, path
        scope = self.scopes.get(path)
        nodes = list(scope.nodes()) if scope is not None else []
        return min(nodes, default=len(self.graph.nodes)), 0, path

    def _construct(self, path: Path) -> Code:
        """What constructs the module at a path."""
        if path in self.layers:
            node = self.graph.nodes[self.layers[path]]
            x = self.graph.nodes[node.parents[0]].shape
            made = self.made.get(node.id)
            shift = "beta" if isinstance(node.op, LayerNorm) else "bias"
            has_bias = self.keys.get((node.id, shift)) in self.tensors
            code = constructor(node, x, has_bias) if made is None else made
            self.constructors.append(code)
            return code
        names = self._inside.get(path, ())
        if path in self._sequences:
            count = 1 + max(map(int, names))
            parts = [
                self._construct((*path, str(i))) if str(i) in names else GAP for i in range(count)
            ]
            return Call("nn.Sequential", tuple(parts))
        form = self._form(path)
        if form.parts and not form.returns and path in self.scopes:
            return call("nn.Sequential", Call(ORDERED, (), form.parts))
        return call(self.classes.name(form, path))

    def _form(self, path: Path) -> Form:
        parts = tuple((name, self._construct((*path, name))) for name in self._inside.get(path, ()))
        held = tuple(self._held(path))
        scope = self.scopes.get(path)
        frozen = tuple(self._frozen(path))
        if scope is None:
            return Form(parts, held, frozen, (), (), ())
        signature = self.reader.signature(scope)
        if not path:
            signature = Signature((self.graph.input_id,), (), self.graph.output_ids)
        passed = unique_names(signature.keys)
        parameters = {key for key, tensor in self.tensors.items() if tensor.learned}
        members = Members(path, parameters, passed, self._sequences)
        steps, outputs = without_aliases(self.writer.steps(scope, members), signature.outputs)
        signature = replace(signature, outputs=outputs)
        fixed = (value for value in outputs if not self.reader.is_value(value))
        steps += [self.writer.constant(value, members) for value in dict.fromkeys(fixed)]
        inside = partial(self._parts_of, path)
        steps = with_sequences(steps, signature.outputs, inside, members.module)
        is_plain = bool(path) and not held and not frozen and not signature.keys
        names = [name for name, _ in parts]
        if is_plain and _is_short(parts) and is_chain(steps, names, signature.outputs):
            return Form(parts, (), (), (), (), ())
        lines = Lines(steps, signature.outputs, self._shapes, passed.values())
        inputs = [lines.names.argument(value, i) for i, value in enumerate(signature.inputs)]
        body = with_loops(lines.write(), lambda over: len(self._numbers(path, over)))
        returns = tuple(lines.names.of[value] for value in signature.outputs)
        return Form(parts, held, frozen, (*inputs, *passed.values()), tuple(body), returns)

    def _parts_of(self, path: Path, over: Path) -> list[int]:
        """The numbers of the parts of a sequence inside a module; none for any other."""
        if over not in self._sequences or len(over) <= len(path) or over[: len(path)] != path:
            return []
        return sorted(map(int, self._inside[over]))

    def _numbers(self, path: Path, over: str) -> list[int]:
        """The numbers of the parts of a sequence, as the module at a path reaches it."""
        inside = (*path, *over.split(".")[1:])
        return sorted(int(name) for name in self._inside.get(inside, ()) if name.isdecimal())

    def _held(self, path: Path) -> Iterator[Held]:
        for key, tensor in self.tensors.items():
            *owner, name = key.split(".")
            if tuple(owner) == path:
                saved = tensor.declaration.saved
                dtype = self.dtype if tensor.mask is None else "bool"
                yield Held(name, tuple(map(str, tensor.shape)), tensor.learned, saved, dtype)

    def _frozen(self, path: Path) -> Iterator[str]:
        """The parameters of the layers of a module that are not learned."""
        for name in self._inside.get(path, ()):
            node_id = self.layers.get((*path, name))
            if node_id is None:
                continue
            for field in ("weight", "bias", "gamma", "beta"):
                tensor = self.tensors.get(self.keys.get((node_id, field), ""))
                if tensor is not None and not tensor.learned:
                    yield f"{name}.{IN_PYTORCH.get(field, field)}"

    @cached_property
    def _shapes(self) -> Mapping[int, SymbolicShape]:
        return {node.id: self.free.shape(node.id) for node in self.graph.nodes}


def _is_short(parts: Sequence[tuple[str, Code]]) -> bool:
    """Whether named parts are better said where they stand than by a class of their own."""
    codes = {code for _, code in parts}
    return len(codes) < len(parts) or sum(len(flat(code)) for code in codes) <= SHORT
