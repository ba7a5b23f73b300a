"""ParamStore files: named arrays in `.safetensors`, `.npz` or JSON, none of them trusted."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.errors import Place, Problems, fail, shown
from hatch_irpytorch.ir.arrays import tensor
from hatch_irpytorch.ir.npy import NpyHeader, read_npy_data, read_npy_header
from hatch_irpytorch.ir.shapes import Shape, shape_text
from hatch_irpytorch.source.json_text import parse_json
from hatch_irpytorch.source.reading import read_bytes, require_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

DTYPES = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Entry:
    """One named array: its shape and dtype are known before its data is read.

    `read` returns the data in `dtype`, bfloat16 as float32; it may raise `ValueFormError`.
    """

    shape: Shape
    dtype: str
    read: Callable[[], Array]


def read_store(path: Path, file: str) -> Mapping[str, Entry]:
    """The entries of a parameter file by name, chosen by the file's ending.

    Raises `IRPyTorchError`: `missing-file`, `bad-params`, and those of JSON.
    """
    readers: dict[str, Callable[[Path, str], Mapping[str, Entry]]]
    readers = {".safetensors": _read_safetensors, ".npz": _read_npz, ".json": _read_json}
    reader = readers.get(path.suffix)
    if reader is None:
        expected = "a file that ends in `.safetensors`, `.npz` or `.json`"
        raise fail("bad-params", Place(file), f"parameters must be {expected}")
    return reader(path, file)


_LENGTH = 8
_SAFETENSORS_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def _read_safetensors(path: Path, file: str) -> dict[str, Entry]:
    """The library checks the header; the data stays in the file, mapped, until it is asked for."""
    import safetensors

    require_file(path, file)
    try:
        with safetensors.safe_open(path, framework="numpy"):
            pass
        mapped = np.memmap(path, dtype=np.uint8, mode="r")
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise fail("bad-params", Place(file), f"not a safetensors file: {_reason(error)}") from None
    size = int.from_bytes(mapped[:_LENGTH].tobytes(), "little")
    header = parse_json(mapped[_LENGTH : _LENGTH + size].tobytes(), file)
    assert isinstance(header, dict)
    data = mapped[_LENGTH + size :]
    entries: dict[str, Entry] = {}
    for name, info in header.items():
        if name != "__metadata__":
            start, end = info["data_offsets"]
            dtype = _SAFETENSORS_DTYPES.get(info["dtype"], str(info["dtype"]).lower())
            shape = tuple(info["shape"])
            entries[name] = Entry(shape, dtype, partial(_view, data[start:end], dtype, shape))
    return entries


def _view(data: NDArray[np.uint8], dtype: str, shape: Shape) -> Array:
    if dtype == "bfloat16":
        words = data.view("<u2").astype(np.uint32) << np.uint32(16)
        return words.view(np.float32).reshape(shape)
    little_endian: Any = np.dtype(dtype).newbyteorder("<")
    return np.asarray(data.view(little_endian), dtype=np.dtype(dtype)).reshape(shape)


_BAD_NPZ = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
)
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Those that numpy writes; the others have errors of their own."""


def _read_npz(path: Path, file: str) -> dict[str, Entry]:
    """Shapes come from the array headers; data is read only for entries the graph asks for."""
    entries: dict[str, Entry] = {}
    data = read_bytes(path, file)
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                member = info.filename
                name = member.removesuffix(".npy")
                if name == member or name in entries:
                    message = f"the member {shown(member)} is not a single array"
                    raise fail("bad-params", Place(file), message)
                header = _member_header(archive, info, file)
                if header.dtype.hasobject:
                    message = f"{shown(name)} holds Python objects, which are never loaded"
                    raise fail("bad-params", Place(file), message)
                read = partial(_read_member, path, file, member, header)
                entries[name] = Entry(header.shape, header.dtype.name, read)
    except _BAD_NPZ as error:
        hint = "the file may be cut off" if data.startswith(b"PK") else ""
        raise fail("bad-params", Place(file), f"not a .npz file: {_reason(error)}", hint) from None
    return entries


def _member_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: str) -> NpyHeader:
    member = shown(info.filename)
    if info.compress_type not in _COMPRESSIONS:
        message = f"the array {member} is compressed in a way that numpy does not write"
        raise fail("bad-params", Place(file), message)
    with archive.open(info) as stream:
        try:
            return read_npy_header(stream)
        except ValueError as error:
            message = f"the member {member} is not an array: {_reason(error)}"
            raise fail("bad-params", Place(file), message) from None


def _read_member(path: Path, file: str, member: str, header: NpyHeader) -> Array:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            if read_npy_header(stream) != header:
                raise ValueError("it changed while it was read")
            return read_npy_data(stream, header)
    except _BAD_NPZ as error:
        message = f"the array {shown(member)} cannot be read: {_reason(error)}"
        raise fail("bad-params", Place(file), message, "the file may be cut off") from None


def _read_json(path: Path, file: str) -> Mapping[str, Entry]:
    value = parse_json(read_bytes(path, file), file)
    if not isinstance(value, dict):
        message = f"the root must be an object of arrays by name, found {shown(value)}"
        raise fail("bad-params", Place(file), message)
    params = value.get("params")
    if not isinstance(params, dict):
        return _JsonEntries(value)
    entries = _JsonEntries(params)
    problems = Problems()
    for name in value.keys() - {"params", "meta"}:
        message = f"beside `params` there may be `meta`, found {shown(name)}"
        problems.add("bad-params", Place(file), message)
    _check_meta(entries, value.get("meta", {}), Place(file), problems)
    problems.raise_if_any()
    return entries


def _check_meta(
    entries: Mapping[str, Entry], meta: object, place: Place, problems: Problems
) -> None:
    """What a state-dict JSON says of its arrays has to be so. torchlean.ir.v1: 4.2, 6.39."""
    if not isinstance(meta, dict):
        problems.mismatch("bad-params", place, "meta", "an object by name", shown(meta))
        return
    for name, told in meta.items():
        field = f"meta.{name}"
        if name not in entries or not isinstance(told, dict):
            expected = "an object for an entry of `params`"
            found = shown(told) if name in entries else "no such entry"
            problems.mismatch("bad-params", place, field, expected, found)
            continue
        dtype, shape = told.get("dtype", "float32"), list(entries[name].shape)
        if not isinstance(dtype, str) or dtype.removeprefix("torch.") not in DTYPES:
            expected = f"one of {', '.join(DTYPES)}"
            problems.mismatch("bad-params", place, f"{field}.dtype", expected, shown(dtype))
        if told.get("shape", shape) != shape:
            expected = f"{shape_text(entries[name].shape)}, the shape of its numbers"
            problems.mismatch("bad-params", place, f"{field}.shape", expected, shown(told["shape"]))


class _JsonEntries(Mapping[str, Entry]):
    """Entries made when they are asked for: a file may hold many that no node names."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Entry:
        value = self._values[name]
        shape = _nested_shape(value)
        return Entry(shape, "float64", partial(tensor, value, shape))

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _nested_shape(value: object) -> Shape:
    """The shape that the first entries of nested arrays suggest."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _reason(error: Exception) -> str:
    return str(error).split("\n")[0][:200] or type(error).__name__
