"""What the `onnx` package says of a file: its checker, and its inference of types and shapes.

Both see the file without its large tensors, and with the shapes that its inputs get.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx

from hatch_irpytorch.capture.builder import first_line
from hatch_irpytorch.capture.onnx.inputs import declared_extents, extents_text, fits
from hatch_irpytorch.capture.onnx.kinds import UNTOLD
from hatch_irpytorch.errors import Place, Problem, shown
from hatch_irpytorch.ir.shapes import numel

Types = Mapping[str, tuple[int, tuple[int, ...] | None]]
"""The element type of a name, and its shape where all of it is known."""

LARGE = 1 << 10
"""How many entries of a tensor may tell of shapes; of larger ones the type is shown alone."""

TOLERATED = (
    (
        "Field 'shape' of 'type' is required but missing",
        "the file leaves the shape of an output open: tools that write no shapes (onnx.helper)",
    ),
    (
        "No opset import for domain",
        "nodes of a domain that the file does not import: files of onnxruntime's own tools",
    ),
    (
        "opset_import",
        "a file of IR version 1 or 2, which has no sets of operators: the oldest exporters",
    ),
    (
        "One and only one of the attributes 'value', 'value_*' or 'sparse_value' must be specified",
        "an op whose definition has a Constant of an attribute: MeanVarianceNormalization",
    ),
    (
        "Unrecognized attribute: mode for operator SpaceToDepth",
        "an attribute of a later standard than the installed `onnx` has",
    ),
)
"""What the checker refuses and ONNX Runtime runs, and which files need it: a note, no error."""

_WHERE = re.compile(r"\(op_type:([^,)]*)(?:, node name: ([^)]*))?\): ?")
_TAGS = re.compile(r"^(?:\[\w+\] ?|Inference error\(s\): ?)+")


@dataclass(frozen=True)
class Verdict:
    """Errors, notes, and what is known of each name."""

    errors: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    types: Types


def verdict(
    model: onnx.ModelProto,
    shapes: Mapping[str, tuple[int, ...]],
    place: Place,
) -> Verdict:
    """What stands against a file whose inputs have these shapes."""
    seen = _without_numbers(model, shapes)
    found: list[Problem] = []
    types: Types = {}
    inferred = seen
    try:
        inferred = _inferred(seen)
        known = (*inferred.graph.value_info, *inferred.graph.output)
        types = types_of({value.name: value.type for value in known})
    except Exception as error:  # what its C++ code raises
        found.append(_problem(str(error), model, place))
    try:
        _with_outputs(seen, inferred)
        onnx.checker.check_model(seen)
    except Exception as error:  # as above
        found.append(_problem(str(error), model, place))
    errors = [problem for problem in found if _tolerated(problem) is None]
    notes = [
        Problem("capture-failed", place, f"the checker of `onnx` refuses it: {why}")
        for why in map(_tolerated, found)
        if why is not None
    ]
    return Verdict(tuple(errors[:1]), tuple(notes), types)


def other_shapes(
    graph: onnx.GraphProto, found: Mapping[str, tuple[int, ...]], place: Place
) -> Iterator[str]:
    """What to say of each output whose shape is not the declared one; ONNX Runtime warns too."""
    for declared in graph.output:
        extents = declared_extents(declared, place)
        shape = found.get(declared.name)
        if shape is not None and extents is not None and not fits(extents, shape):
            said = f"the file declares {extents_text(extents)}, it is {extents_text(shape)}"
            yield f"the output {shown(declared.name)}: {said}"


def _inferred(seen: onnx.ModelProto) -> onnx.ModelProto:
    """With numbers of shapes followed through the nodes, which fails for names of two branches."""
    infer = onnx.shape_inference.infer_shapes
    try:
        return infer(seen, check_type=True, strict_mode=True, data_prop=True)
    except Exception:  # the second run says whether the file is at fault
        return infer(seen, check_type=True, strict_mode=True, data_prop=False)


def _without_numbers(
    model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]
) -> onnx.ModelProto:
    """The model with small tensors alone, and without the shapes that it declares of results."""
    seen = onnx.ModelProto()
    seen.ir_version = model.ir_version
    seen.opset_import.extend(model.opset_import)
    seen.functions.extend(model.functions)
    graph = seen.graph
    graph.name = model.graph.name or "graph"
    graph.node.extend(model.graph.node)
    for value in model.graph.input:
        added = graph.input.add()
        added.CopyFrom(value)
        if value.name in shapes:
            _declare(added, shapes[value.name])
    named = {value.name for value in graph.input}
    for value in model.graph.output:
        added = graph.output.add()
        added.CopyFrom(value)
        added.type.tensor_type.ClearField("shape")
    for tensor in model.graph.initializer:
        if numel(tuple(tensor.dims)) <= LARGE:  # what a message has in bytes takes a copy of it
            graph.initializer.add().CopyFrom(tensor)
        elif tensor.name not in named:
            added = graph.input.add()
            added.name = tensor.name
            added.type.tensor_type.elem_type = tensor.data_type
            _declare(added, tuple(tensor.dims))
    return seen


def _declare(value: onnx.ValueInfoProto, shape: Sequence[int]) -> None:
    del value.type.tensor_type.shape.dim[:]
    value.type.tensor_type.shape.SetInParent()
    for extent in shape:
        value.type.tensor_type.shape.dim.add().dim_value = extent


def _with_outputs(seen: onnx.ModelProto, inferred: onnx.ModelProto) -> None:
    """Declare of the outputs what was inferred of them."""
    for value, known in zip(seen.graph.output, inferred.graph.output, strict=True):
        if known.type.HasField("tensor_type"):
            value.CopyFrom(known)


def types_of(found: Mapping[str, onnx.TypeProto]) -> Types:
    """The types of tensors, by name, as `Types` has them."""
    result: dict[str, tuple[int, tuple[int, ...] | None]] = {}
    for name, proto in found.items():
        tensor = proto.tensor_type
        shape = tuple(int(d.dim_value) for d in tensor.shape.dim if d.HasField("dim_value"))
        whole = tensor.HasField("shape") and len(shape) == len(tensor.shape.dim)
        result[name] = tensor.elem_type or UNTOLD, shape if whole else None
    return result


def _problem(said: str, model: onnx.ModelProto, place: Place) -> Problem:
    """An error at the node that it names, where it names one that the file has."""
    where = _WHERE.search(said)
    text = _TAGS.sub("", first_line(ValueError(_WHERE.sub("", said))))
    if where is None:
        return Problem("capture-failed", place, f"not a valid ONNX file: {text}")
    op, name = where.group(1), where.group(2) or ""
    for position, node in enumerate(model.graph.node):
        if (node.op_type, node.name) == (op, name):
            at = Place(place.file, node=position, kind=op[:200])
            label = shown(name or next(iter(node.output), ""))
            return Problem("capture-failed", at, f"{label}: {shown(op)} is not valid: {text}")
    return Problem("capture-failed", place, f"not a valid ONNX file: {shown(op)}: {text}")


def _tolerated(problem: Problem) -> str | None:
    return next((why for said, why in TOLERATED if said in problem.message), None)
