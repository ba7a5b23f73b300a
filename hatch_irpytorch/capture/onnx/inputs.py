"""The inputs that a file declares, and what it is told of them: shapes and bound arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import onnx

from hatch_irpytorch.capture.builder import InexpressibleError
from hatch_irpytorch.capture.limits import require_shape
from hatch_irpytorch.capture.onnx.tensors import Constant
from hatch_irpytorch.errors import Place, Problem, Problems, fail, shown

Inputs = Mapping[str, onnx.ValueInfoProto]
Declared = tuple[int | str, ...]
"""Extents, and for those that the file leaves open their names, or nothing."""

_SHOWN = 20

_HALF = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
_REAL = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, *_HALF)
_WHOLE = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)


def require_known(inputs: Inputs, names: Iterable[str], place: Place) -> None:
    """Raise `capture-failed` for every name that is no input."""
    problems = Problems()
    for name in names:
        if name not in inputs:
            message = f"the model has no input {shown(name)}"
            problems.add("capture-failed", place, message, f"it has {_listed(inputs)}")
    problems.raise_if_any()


def require_bound(
    inputs: Inputs, shapes: Mapping[str, Sequence[int]], bind: Mapping[str, Constant], place: Place
) -> None:
    """Raise `capture-failed` for every array that is not what its input is declared to be."""
    problems = Problems()
    for name, array in bind.items():
        what = f"the array bound to {shown(name)}"
        for wanted in (declared_extents(inputs[name], place), shapes.get(name)):
            if wanted is not None and not fits(wanted, array.shape):
                message = (
                    f"{what} must fit {extents_text(wanted)}, found {extents_text(array.shape)}"
                )
                problems.add("capture-failed", place, message)
        kind, found = inputs[name].type.tensor_type.elem_type, _kind(_array_type(array))
        if kind and _kind(_type_text(kind)) != found:
            message = f"{what} must be of {_type_text(kind)}, found {_array_type(array)}"
            problems.add("capture-failed", place, message)
    problems.raise_if_any()


def only_input(
    inputs: Sequence[onnx.ValueInfoProto], tokens: int | None, place: Place
) -> onnx.ValueInfoProto:
    """The input that is not bound: of reals or, with `tokens`, of whole numbers.

    Raises `capture-failed` where there is no such one.
    """
    if len(inputs) != 1:
        names = ", ".join(shown(value.name) for value in inputs) or "none"
        message = f"a graph has one run-time input, the model has {len(inputs)}: {names}"
        hint = "bind the others to constants with `--bind NAME=file.npy`" if inputs else ""
        raise fail("capture-failed", place, message, hint)
    (only,) = inputs
    kind = only.type.tensor_type.elem_type
    name, found = shown(only.name), _type_text(kind)
    if tokens is not None and kind not in _WHOLE:
        message = f"with `--tokens` the input {name} must be of int64 or int32, found {found}"
        raise fail("capture-failed", place, message)
    if tokens is None and kind not in _REAL:
        hint = "say what its ids are below with `--tokens`" if kind in _WHOLE else ""
        message = f"the input {name} must be of float or double, found {found}"
        raise fail("capture-failed", place, message, hint)
    return only


def precision_notes(only: onnx.ValueInfoProto, place: Place) -> tuple[Problem, ...]:
    """What is computed in half precision is not rounded to it."""
    kind = only.type.tensor_type.elem_type
    if kind not in _HALF:
        return ()
    message = f"the file computes in {_type_text(kind)}, the graph in the dtype of its module"
    return (Problem("precision", place, message),)


def input_shape(
    value: onnx.ValueInfoProto, given: Sequence[int] | None, place: Place
) -> tuple[tuple[int, ...], tuple[Problem, ...]]:
    """The declared extents, with `given` ones, or 1 where the file leaves them open.

    A note names the open ones, and another those that are not as the file fixes them.
    Raises `IRPyTorchError`: `capture-failed`, `too-large`.
    """
    shape, notes = _filled(value, given, place)
    try:
        require_shape(shape)
    except InexpressibleError as error:
        raise fail("too-large", place, f"the input {shown(value.name)} is {error}") from None
    return shape, notes


def _filled(
    value: onnx.ValueInfoProto, given: Sequence[int] | None, place: Place
) -> tuple[tuple[int, ...], tuple[Problem, ...]]:
    name, declared = shown(value.name), declared_extents(value, place)
    if declared is None:
        if given is None:
            message = f"the file does not declare the shape of {name}"
            hint = f"give it: `--shape {value.name}=...`"
            raise fail("capture-failed", place, message, hint)
        return tuple(given), ()
    if given is not None:
        if fits(declared, given):
            return tuple(given), ()
        if len(given) != len(declared) or 0 in declared:
            message = f"the shape of {name} must fit {extents_text(declared)}, "
            raise fail("capture-failed", place, f"{message}found {extents_text(given)}")
        message = f"{name} is {extents_text(given)}, the file fixes {extents_text(declared)}"
        return tuple(given), (Problem("bad-shape", place, f"{message}: shapes are inferred anew"),)
    shape = tuple(1 if isinstance(extent, str) else extent for extent in declared)
    if shape == declared:
        return shape, ()
    opened = [
        f"axis {axis} ({shown(extent)})" if extent else f"axis {axis}"
        for axis, extent in enumerate(declared)
        if isinstance(extent, str)
    ]
    message = f"open extents of the input {name} are taken as 1: {', '.join(opened)}"
    hint = f"set them with `--shape {value.name}={','.join(map(str, shape))}`"
    return shape, (Problem("bad-shape", place, message, hint),)


def declared_extents(value: onnx.ValueInfoProto, place: Place) -> Declared | None:
    """The extents of an input or output, or None where the file does not tell them."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    declared = tuple(
        int(d.dim_value) if d.HasField("dim_value") else str(d.dim_param) for d in tensor.shape.dim
    )
    negative = [extent for extent in declared if isinstance(extent, int) and extent < 0]
    if negative:
        message = f"the input {shown(value.name)} declares an extent of {negative[0]}"
        hint = "an extent is 0 or more, and an open one has a name or no value"
        raise fail("capture-failed", place, message, hint)
    return declared


def fits(declared: Sequence[int | str], shape: Sequence[int]) -> bool:
    """Whether a shape has every extent that is declared."""
    return len(shape) == len(declared) and all(
        isinstance(own, str) or own == told for own, told in zip(declared, shape, strict=True)
    )


def extents_text(extents: Sequence[int | str]) -> str:
    """A shape, in which an open extent is a question mark."""
    parts = ("?" if isinstance(extent, str) else str(extent) for extent in extents)
    return f"({', '.join(parts)}{',' if len(extents) == 1 else ''})"


def _listed(inputs: Inputs) -> str:
    names = [shown(name) for name in inputs]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN]) or 'none'}{more}"


def _type_text(kind: int) -> str:
    known: Any = onnx.TensorProto.DataType
    types = {number: text for text, number in known.items()}
    return str(types.get(kind, f"type {kind}")).lower()


def _array_type(array: Constant) -> str:
    return "string" if array.dtype.kind in "OSU" else str(array.dtype.name)


def _kind(name: str) -> str:
    """`float32`, `double` and `bfloat16` are of one kind, `int8` and `uint64` of another."""
    if name == "double" or "float" in name:
        return "float"
    return "int" if "int" in name else name.rstrip("0123456789")
