"""Tensors whose numbers stand in other files: regular files in the folder of the model."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path, PurePosixPath

import onnx

from hatch_irpytorch.errors import IRPyTorchError, Place, fail, shown
from hatch_irpytorch.source.reading import opened, reason

MAX_LOCATION = 1000
"""How many characters the location of an external data file may have."""


def load_external(tensor: onnx.TensorProto, folder: Path, place: Place, limit: int) -> int:
    """Put the numbers of an external tensor into it; returns how many bytes that were.

    At most `limit` bytes are read. Raises `IRPyTorchError`: `missing-file`, `too-large`,
    `capture-failed` for a location outside of the folder or a part that the file does not have.
    """
    said = {entry.key: entry.value for entry in tensor.external_data}
    location = said.get("location", "")
    path = _inside(location, folder, place)
    offset = _natural(said.get("offset", "0"), "offset", location, place)
    wanted = _byte_count(tensor, place)
    length = _natural(said.get("length", str(wanted)), "length", location, place)
    if length != wanted:
        message = f"the tensor {shown(tensor.name)} needs {wanted} bytes, {length} are declared"
        raise fail("capture-failed", place, message)
    if length > limit:
        message = f"the tensor {shown(tensor.name)} has {length} bytes, {limit} are left to read"
        raise fail("too-large", place, message)
    tensor.raw_data = _part(path, location, offset, length, place)
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.DEFAULT
    return length


def _inside(location: str, folder: Path, place: Place) -> Path:
    """The file of a location, which no link, drive or step upwards leads out of the folder."""
    message = f"the external data file {shown(location)} must be named by a path inside the folder"
    parts = PurePosixPath(location).parts
    strange = not parts or "\\" in location or ":" in location or "\0" in location
    if strange or len(location) > MAX_LOCATION or ".." in parts or location.startswith("/"):
        raise fail("capture-failed", place, f"{message} of the model")
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            hint = f"{shown(path.relative_to(folder).as_posix())} is a link"
            raise fail("capture-failed", place, f"{message} of the model", hint)
    return path


def _natural(text: str, name: str, location: str, place: Place) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        message = f"`{name}` of the external data file {shown(location)} must be a natural number"
        raise fail("capture-failed", place, f"{message}, found {shown(text)}")
    return int(text)


def _byte_count(tensor: onnx.TensorProto, place: Place) -> int:
    if tensor.data_type == onnx.TensorProto.STRING:
        raise fail("capture-failed", place, "text cannot stand in an external data file")
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except KeyError:
        raise unknown_type(tensor.data_type, tensor.name, place) from None
    packed = onnx.TensorProto.DataType.Name(tensor.data_type)
    bits = 4 if packed.endswith("INT4") or packed.startswith("FLOAT4") else dtype.itemsize * 8
    bits = 2 if packed.endswith("INT2") else bits
    return -(-math.prod(int(extent) for extent in tensor.dims) * int(bits) // 8)


def unknown_type(kind: int, name: str, place: Place) -> IRPyTorchError:
    """The error for a tensor of an element type that the installed `onnx` does not know."""
    message = f"the tensor {shown(name)} has the element type {kind}, which is not known"
    return fail("capture-failed", place, message)


def _part(path: Path, location: str, offset: int, length: int, place: Place) -> bytes:
    try:
        with opened(path) as descriptor:
            size = os.fstat(descriptor).st_size
            if offset + length > size:
                message = f"the external data file {shown(location)} has {size} bytes, "
                raise fail("capture-failed", place, f"{message}{offset + length} are needed")
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                stream.seek(offset)
                return stream.read(length)
    except FileNotFoundError:
        message = f"the external data file {shown(location)} does not exist"
        raise fail("missing-file", place, message) from None
    except (OSError, ValueError) as error:
        code = "too-large" if getattr(error, "errno", 0) == errno.EFBIG else "missing-file"
        message = f"the external data file {shown(location)} cannot be read: {reason(error)}"
        raise fail(code, place, message) from None
