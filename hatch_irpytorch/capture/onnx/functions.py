"""Ops that the ONNX standard defines by other ops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx

from hatch_irpytorch.capture.onnx.file import is_real
from hatch_irpytorch.capture.onnx.scope import Scope


def function_body(
    node: onnx.NodeProto,
    opsets: Mapping[str, int],
    types: Mapping[str, tuple[int, tuple[int, ...]]] | None = None,
) -> onnx.FunctionProto | None:
    """The standard's definition of a node by other nodes, or None when it has none.

    Some definitions depend on element types and shapes of the inputs, given as `types`: without
    them such a definition is empty.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = opsets.get(domain, 1)
    schema: Any
    try:
        schema = onnx.defs.get_schema(node.op_type, version, domain)
    except onnx.defs.SchemaError:
        return None
    if schema.has_context_dependent_function and types is not None:
        return _for_types(schema, node, types)
    if schema.has_function or schema.has_context_dependent_function:
        body: onnx.FunctionProto = schema.function_body
        return body
    return None


def input_types(node: onnx.NodeProto, scope: Scope) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Element type and shape of each input that is known."""
    given = {name: scope.find(name) for name in node.input if name}
    return {
        name: (named.kind, tuple(named.tensor.shape))
        for name, named in given.items()
        if named is not None and named.tensor is not None
    }


def are_parameters(node: onnx.NodeProto, scope: Scope) -> bool:
    """Whether all real numbers that a node is given are parameters, as they are."""
    given = [scope.named(name) for name in node.input if name]
    real = [n for n in given if not isinstance(n.tensor, np.ndarray) or is_real(n.tensor)]
    return bool(real) and all(named.trainable for named in real)


def _for_types(
    schema: Any,
    node: onnx.NodeProto,
    types: Mapping[str, tuple[int, tuple[int, ...]]],
) -> onnx.FunctionProto | None:
    described = []
    for name in node.input:
        proto = onnx.TypeProto()
        if name:
            kind, shape = types[name]
            proto = onnx.helper.make_tensor_type_proto(kind, shape)
        described.append(proto.SerializeToString())
    versions = schema.context_dependent_function_opset_versions
    body = (
        schema.get_context_dependent_function(node.SerializeToString(), described)
        if versions
        else b""
    )
    return onnx.FunctionProto.FromString(body) if body else None


def given_attributes(
    node: onnx.NodeProto, body: onnx.FunctionProto, opsets: Mapping[str, int]
) -> dict[str, onnx.AttributeProto]:
    """What a node says, then what its definition says, then what the standard says."""
    found = {value.name: value for value in _defaults(node, opsets)}
    found |= {value.name: value for value in body.attribute_proto}
    return found | {value.name: value for value in node.attribute}


def _defaults(node: onnx.NodeProto, opsets: Mapping[str, int]) -> Iterable[onnx.AttributeProto]:
    """What the standard gives attributes that a node leaves out."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
    except onnx.defs.SchemaError:
        return []
    defaults = (attribute.default_value for attribute in schema.attributes.values())
    return [value for value in defaults if value.type]
