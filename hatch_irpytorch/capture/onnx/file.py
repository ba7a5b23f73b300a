"""An ONNX file: read, its own functions inlined, its inputs sorted out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from hatch_irpytorch.capture.builder import first_line
from hatch_irpytorch.capture.onnx.tensors import Constant
from hatch_irpytorch.errors import Place, Problems, fail, nearest, shown

OLDEST_OPSET = 7
_MAIN_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class OnnxFile:
    """A model ready to convert. `constants` are initializers and what inputs are bound to."""

    name: str
    graph: onnx.GraphProto
    opsets: Mapping[str, int]
    constants: Mapping[str, Constant]
    initializers: frozenset[str]
    input_name: str
    input_shape: tuple[int, ...]


def read_file(
    path: Path, shapes: Mapping[str, Sequence[int]], bind: Mapping[str, Constant]
) -> OnnxFile:
    """The model in a file. Raises `IRPyTorchError`: `missing-file`, `capture-failed`."""
    name = path.as_posix()
    place = Place(name)
    model = _load(path, place)
    opsets = {_domain(o.domain): int(o.version) for o in model.opset_import}
    if opsets.get("", OLDEST_OPSET) < OLDEST_OPSET:
        message = f"the opset must be {OLDEST_OPSET} or later, found {opsets['']}"
        raise fail("capture-failed", place, message)
    constants: dict[str, Constant] = {}
    try:
        base = str(path.parent)
        for tensor in model.graph.initializer:
            constants[tensor.name] = numpy_helper.to_array(tensor, base)
    except (ValueError, TypeError, OSError, onnx.checker.ValidationError) as error:
        message = f"an initializer cannot be read: {first_line(error)}"
        raise fail("capture-failed", place, message) from None
    if model.graph.sparse_initializer:
        raise fail("capture-failed", place, "sparse initializers are not read")
    initializers = frozenset(constants)
    inputs = {v.name: v for v in model.graph.input if v.name not in constants}
    problems = Problems()
    for given in (*shapes, *bind):
        if given not in inputs:
            message = f"the model has no input {shown(given)}"
            problems.add("capture-failed", place, message, nearest(given, inputs))
    problems.raise_if_any()
    constants |= bind
    open_inputs = [value for value in inputs.values() if value.name not in bind]
    only = _only_input(open_inputs, place)
    shape = _shape(only, shapes.get(only.name), place)
    return OnnxFile(name, model.graph, opsets, constants, initializers, only.name, shape)


def _load(path: Path, place: Place) -> onnx.ModelProto:
    from google.protobuf.message import DecodeError

    try:
        with path.open("rb") as stream:
            data = stream.read()
        model = onnx.load_model_from_string(data)
        onnx.load_external_data_for_model(model, os.fspath(path.parent))
    except FileNotFoundError as error:
        missing = place if error.filename in (None, str(path)) else Place(str(error.filename))
        raise fail("missing-file", missing, "the file does not exist") from None
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        message = f"not an ONNX file: {first_line(error)}"
        raise fail("capture-failed", place, message) from None
    if not model.graph.node and not model.graph.output:
        raise fail("capture-failed", place, "not an ONNX file: it holds no graph")
    if model.functions:
        from onnx import inliner

        model = inliner.inline_local_functions(model)
    return model


def _domain(domain: str) -> str:
    return "" if domain in _MAIN_DOMAINS else domain


def _only_input(inputs: list[onnx.ValueInfoProto], place: Place) -> onnx.ValueInfoProto:
    if len(inputs) != 1:
        names = ", ".join(shown(value.name) for value in inputs) or "none"
        message = f"a graph has one real input, the model has {len(inputs)}: {names}"
        hint = "bind the others to constants with `--bind NAME=file.npy`" if inputs else ""
        raise fail("capture-failed", place, message, hint)
    (only,) = inputs
    kind = only.type.tensor_type.elem_type
    real = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    if kind not in real:
        found = onnx.TensorProto.DataType.Name(kind).lower()
        message = f"the input {shown(only.name)} must be of float or double, found {found}"
        raise fail("capture-failed", place, message)
    return only


def _shape(
    value: onnx.ValueInfoProto, given: Sequence[int] | None, place: Place
) -> tuple[int, ...]:
    """The declared extents, with `given` ones or 1 where the file leaves them open."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        if given is None:
            message = f"the file does not declare the shape of {shown(value.name)}"
            hint = f"give it: `--shape {value.name}=...`"
            raise fail("capture-failed", place, message, hint)
        return tuple(given)
    declared = [
        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None
        for d in tensor.shape.dim
    ]
    if given is None:
        return tuple(1 if extent is None else int(extent) for extent in declared)
    fits = len(given) == len(declared) and all(
        own in (None, told) for own, told in zip(declared, given, strict=False)
    )
    if not fits:
        text = ", ".join("?" if extent is None else str(extent) for extent in declared)
        message = f"the shape of {shown(value.name)} must fit ({text}), found {tuple(given)}"
        raise fail("capture-failed", place, message)
    return tuple(given)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node as Python values; text is decoded."""
    result = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        result[attribute.name] = (
            value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        )
    return result


def count_users(nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> Counter[str]:
    """How often each tensor name is read."""
    users: Counter[str] = Counter(outputs)
    for node in nodes:
        users.update(name for name in node.input if name)
    return users


def is_real(array: Constant) -> bool:
    return bool(np.issubdtype(array.dtype, np.floating))
