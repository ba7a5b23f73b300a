"""The code of nodes and the tensors that they hold, found once for nodes that are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hatch_irpytorch.axes.free import FreeModel
from hatch_irpytorch.emit.plan import Declaration, Template, Tensor
from hatch_irpytorch.emit.values import held, read_value
from hatch_irpytorch.ir.graph import Node
from hatch_irpytorch.ir.ops import Site
from hatch_irpytorch.ir.ops.base import Tile
from hatch_irpytorch.ir.shapes import numel
from hatch_irpytorch.ir.symbolic import SymbolicShape, declared, is_free, symbolic_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


def shape_comment(shape: SymbolicShape) -> str:
    """What the comment of a node says of its shape."""
    text = symbolic_text(shape)
    if len(text) <= 60:
        return text
    values = "" if any(map(is_free, shape)) else f", {numel(declared(shape))} values"
    return f"rank {len(shape)}{values}"


class Templates:
    """The templates of a model's nodes, by signature."""

    def __init__(self, free: FreeModel, dtype: str) -> None:
        model, shapes = free.model, free.shapes
        self.graph = model.graph
        self.shapes = shapes
        self.tiles = free.tiles
        self.signatures = model.graph.signatures
        self.forms = self.signatures if shapes is None else shapes.forms
        self.params = model.params
        self.dtype = dtype
        self._known: dict[tuple[int, int, bool, tuple[Tile, ...]], Template] = {}
        self._declared: dict[int, dict[str, Declaration]] = {}

    def of(self, node: Node, tensors: int, zero_sign_matters: bool) -> Template:
        """The code of a node that holds so many tensors."""
        tiles = self.tiles.get(node.id, ())
        alike = (self.forms[node.id], tensors, zero_sign_matters, tiles)
        found = self._known.get(alike)
        if found is None:
            op = node.op
            code = op.torch(self._site(node, zero_sign_matters))
            expressions = tuple(code) if isinstance(code, list) else (code,)
            if zero_sign_matters and op.gives_positive_zero:
                expressions = (*expressions, "{0} + 0.0")
            comment = shape_comment(node.shape if self.shapes is None else self.shapes[node.id])
            if op.domain:
                comment = f"{comment}, defined for {{2}} {op.domain}"
            found = Template(expressions, comment, partial=bool(op.domain))
            if not op.code_reads_payload:
                self._known[alike] = found
        return found

    def tensors(self, node: Node) -> list[Tensor]:
        """The payload that a node has, and what its code reads besides."""
        found = []
        if node.op.payload_fields:
            for field, declaration in self._declarations(node).items():
                values = self.params.get((node.id, field))
                if values is not None:
                    found.append(self._tensor(node, declaration, values))
        if node.op.has_buffers:
            for buffer in node.op.buffers(self._site(node, False)):
                shape = node.shape if buffer.table is None else buffer.table.shape
                declaration = Declaration(node.op.prefix, buffer.name, shape, False, False)
                tensor = Tensor(node.id, declaration, code=buffer.code, mask=buffer.table)
                found.append(tensor)
        return found

    def _tensor(self, node: Node, declaration: Declaration, values: Array) -> Tensor:
        if declaration.learned:
            return Tensor(node.id, declaration, values)
        return held(node.id, declaration, read_value(values), self.dtype)

    def _declarations(self, node: Node) -> dict[str, Declaration]:
        signature = self.signatures[node.id]
        found = self._declared.get(signature)
        if found is None:
            prefix = node.op.prefix
            found = self._declared[signature] = {
                slot.field: Declaration(prefix, slot.name, slot.held, slot.learned)
                for slot in self.graph.slots(node)
            }
        return found

    def _site(self, node: Node, zero_sign_matters: bool) -> Site:
        keys = [(node.id, slot.field) for slot in self.graph.slots(node)]
        stored = {key[1]: self.params[key] for key in keys if key in self.params}
        shapes = self.graph.parent_shapes(node)
        site = Site(node.op.prefix, shapes, node.shape, stored, self.dtype, zero_sign_matters)
        if self.shapes is None:
            return site
        free = tuple([self.shapes[parent] for parent in node.parents])
        tiles = self.tiles.get(node.id, ())
        return site._replace(free_shapes=free, free_out=self.shapes[node.id], tiles=tiles)
