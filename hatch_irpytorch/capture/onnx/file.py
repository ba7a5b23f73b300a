"""An ONNX file: read, its functions counted, its inputs sorted out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from hatch_irpytorch.capture.budget import Budget, budget_of
from hatch_irpytorch.capture.builder import InexpressibleError, first_line
from hatch_irpytorch.capture.onnx.assignment import require_single_assignment
from hatch_irpytorch.capture.onnx.external import load_external, unknown_type
from hatch_irpytorch.capture.onnx.inputs import (
    declared_extents,
    fits,
    input_shape,
    only_input,
    precision_notes,
    require_bound,
    require_known,
)
from hatch_irpytorch.capture.onnx.local_functions import Key, require_bounded
from hatch_irpytorch.capture.onnx.reshaping import fixed_reshapes
from hatch_irpytorch.capture.onnx.tensors import Constant
from hatch_irpytorch.capture.onnx.validity import Verdict, verdict
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem, fail, shown
from hatch_irpytorch.ir.shapes import numel
from hatch_irpytorch.source.reading import MAX_BYTES, read_bytes

OLDEST_OPSET = 7
LATEST_OPSET = 1000
"""No version of any set of operators is later."""
MAX_FILE = 1 << 31
"""How many bytes an ONNX file may have; its external data may have `MAX_BYTES` together."""
_MAIN_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class OnnxFile:
    """A model ready to convert. `constants` are initializers and what inputs are bound to.

    `is_as_declared` says that the input has the extents that the file fixes.
    """

    name: str
    graph: onnx.GraphProto
    functions: Mapping[Key, onnx.FunctionProto]
    opsets: Mapping[str, int]
    constants: Mapping[str, Constant]
    initializers: frozenset[str]
    input_name: str
    input_kind: int
    input_shape: tuple[int, ...]
    integers: int | None
    notes: tuple[Problem, ...]
    budget: Budget
    verdict: Verdict
    is_as_declared: bool


def read_file(
    path: Path,
    shapes: Mapping[str, Sequence[int]],
    bind: Mapping[str, Constant],
    tokens: int | None = None,
) -> OnnxFile:
    """The model in a file, whose input holds whole numbers below `tokens` or reals.

    Raises `IRPyTorchError`: `missing-file`, `too-large`, `capture-failed`.
    """
    place = Place(path.as_posix())
    try:
        return _read(path, shapes, bind, tokens, place)
    except InexpressibleError as error:
        raise fail("too-large", place, str(error)) from None
    except IRPyTorchError:
        raise
    except Exception as error:  # `onnx` and `protobuf` raise what their code comes upon
        message = f"not an ONNX file that can be read: {first_line(error)}"
        raise fail("capture-failed", place, message) from None


def _read(
    path: Path,
    shapes: Mapping[str, Sequence[int]],
    bind: Mapping[str, Constant],
    tokens: int | None,
    place: Place,
) -> OnnxFile:
    data = read_bytes(path, place.file, MAX_FILE)
    model = _parsed(data, place)
    size = len(data)
    del data  # the model is a copy, and as large
    size += _complete(model, path.parent, place)
    opsets = opsets_of(model.opset_import)
    version = opsets.get("", OLDEST_OPSET)
    if version < OLDEST_OPSET or max(opsets.values(), default=0) > LATEST_OPSET:
        message = f"the opset must be {OLDEST_OPSET} or later, found {version}"
        raise fail("capture-failed", place, message)
    require_single_assignment(model, place)
    graph = model.graph
    constants = {t.name: array_of(t, place) for t in graph.initializer}
    initializers = frozenset(constants)
    inputs = {v.name: v for v in graph.input if v.name not in constants}
    require_known(inputs, (*shapes, *bind), place)
    require_bound(inputs, shapes, bind, place)
    constants |= bind
    only = only_input([value for value in inputs.values() if value.name not in bind], tokens, place)
    shape, notes = input_shape(only, shapes.get(only.name), place)
    size += sum(array.nbytes for array in bind.values())
    budget = budget_of(size, numel(shape))
    require_bounded(model, budget, place)
    bound = {name: array.shape for name, array in bind.items()}
    found = verdict(model, {only.name: shape, **bound}, place)
    declared = declared_extents(only, place)
    as_declared = declared is None or fits(declared, shape)
    first = declared[0] if declared and not as_declared else None
    if isinstance(first, int) and shape[0] != first:
        before = verdict(model, bound, place).types
        stuck = fixed_reshapes(graph, (first, shape[0]), before, found.types, place)
        found = replace(found, errors=(*stuck, *found.errors))
    return OnnxFile(
        place.file,
        graph,
        {(f.domain, f.name, f.overload): f for f in model.functions},
        opsets,
        constants,
        initializers,
        only.name,
        only.type.tensor_type.elem_type,
        shape,
        tokens,
        (*notes, *precision_notes(only, place), *found.notes),
        budget,
        found,
        as_declared,
    )


def _parsed(data: bytes, place: Place) -> onnx.ModelProto:
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        message = f"not an ONNX file: {first_line(error)}"
        raise fail("capture-failed", place, message) from None
    if not model.graph.node and not model.graph.output:
        raise fail("capture-failed", place, "not an ONNX file: it holds no graph")
    return model


def _complete(model: onnx.ModelProto, folder: Path, place: Place) -> int:
    """Look at every message once: text is text, no tensor is sparse, external ones are loaded.

    Returns how many bytes were loaded.
    """
    loaded = 0
    for message in _messages(model):
        if isinstance(message, onnx.SparseTensorProto):
            raise fail("capture-failed", place, "sparse tensors are not read")
        if isinstance(message, onnx.TensorProto):
            if any(extent < 0 for extent in message.dims):
                text = f"the tensor {shown(message.name)} has an extent below 0"
                raise fail("capture-failed", place, text)
            if message.data_location == onnx.TensorProto.EXTERNAL:
                loaded += load_external(message, folder, place, MAX_BYTES - loaded)
    return loaded


def _messages(message: Any) -> Iterator[Any]:
    """A message and all inside it; raises `UnicodeDecodeError` for text that is not UTF-8."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in value if hasattr(value, "append") else (value,):
                yield from _messages(part)
        elif field.type == field.TYPE_STRING and hasattr(value, "append"):
            list(value)


def array_of(tensor: onnx.TensorProto, place: Place) -> Constant:
    """The numbers of a tensor. Raises `IRPyTorchError` (`capture-failed`)."""
    if tensor.data_type not in onnx.TensorProto.DataType.values():
        raise unknown_type(tensor.data_type, tensor.name, place)
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:  # whatever NumPy says of data that fits no shape or type
        message = f"the tensor {shown(tensor.name)} cannot be read: {first_line(error)}"
        raise fail("capture-failed", place, message) from None


def opsets_of(imports: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """The version of each set of operators that a model or a function uses."""
    return {"" if o.domain in _MAIN_DOMAINS else o.domain: int(o.version) for o in imports}


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node as Python values; text is decoded."""
    result = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        result[attribute.name] = (
            value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        )
    return result


def is_real(array: Constant) -> bool:
    return bool(np.issubdtype(array.dtype, np.floating))
