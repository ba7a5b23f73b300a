"""Tensors as safetensors bytes: what the plan of a module stores, or a whole ParamStore.

The format is a length, a JSON header and the data. It is written here because the library's own
writer changed its interface and its order of tensors between versions, and outputs must not. A
module reads it by itself: so it needs nothing but torch, and maps a file in the time of a library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hatch_irpytorch.emit.literals import rounded
from hatch_irpytorch.emit.marks import GENERATED, WEIGHTS_KEY, tensors_digest, weights_mark
from hatch_irpytorch.emit.plan import ModulePlan
from hatch_irpytorch.ir.digest import graph_digest
from hatch_irpytorch.ir.ops import attribute_name
from hatch_irpytorch.ir.ops.code import Function
from hatch_irpytorch.ir.ops.convolution import Conv, pack_kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hatch_irpytorch.ir.graph import Model

    Array = NDArray[np.floating[Any]]

_CODES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_SIZES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
_ALIGNMENT = 8
_PIECE = 1 << 20


def _mapped_tensors(dtype: str) -> Function:
    return Function(
        "mapped_tensors",
        f'''\
def mapped_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file that have entries; a page is read when it is used."""
    with path.open("rb") as file:
        data = mmap(file.fileno(), 0, access=ACCESS_COPY)
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    tensors = {{}}
    for name, entry in header.items():
        if entry["dtype"] != "{_CODES[dtype]}":
            raise ValueError(f"{{name}} is {{entry['dtype']}}, not {_CODES[dtype]}: {{path}}")
        first, last = entry["data_offsets"]
        if first < last:
            at, count = start + first, (last - first) // {_SIZES[dtype]}
            flat = torch.frombuffer(data, dtype=torch.{dtype}, count=count, offset=at)
            tensors[name] = flat.view(entry["shape"])
    return tensors
''',
        imports=(
            "import json",
            "from mmap import ACCESS_COPY, mmap",
            "from pathlib import Path",
        ),
    )


MAPPED_TENSORS = {dtype: _mapped_tensors(dtype) for dtype in _CODES}
"""What maps the weight file of a module, by dtype. Each tensor has a storage of its own, as with
`safetensors`: one that is saved alone takes its own bytes, not the whole file's."""


class TensorFile:
    """A safetensors file that is not in memory: a header, and arrays that may be mapped.

    Each array is rounded to its dtype piece by piece.
    """

    def __init__(self, header: bytes, tensors: Sequence[tuple[Array, str]]) -> None:
        self.header = header
        self.tensors = tuple(tensors)

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the file, some megabytes at a time."""
        yield self.header
        yield from _data(self.tensors)

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces())


def _data(tensors: Sequence[tuple[Array, str]]) -> Iterator[bytes]:
    for values, dtype in tensors:
        flat = values.reshape(-1)
        for start in range(0, len(flat), _PIECE):
            yield _encoded(rounded(flat[start : start + _PIECE], dtype), dtype)


def weights_file(plan: ModulePlan, graph: str) -> TensorFile:
    """What a plan has in a file, in its dtype; `graph` is the digest of its graph."""
    tensors = {}
    for tensor in plan.in_file:
        assert tensor.values is not None
        tensors[tensor.name] = tensor.values, plan.dtype
    return tensor_file(tensors, weights_mark(GENERATED, graph))


def store_bytes(model: Model, maker: str, *, packed: bool) -> bytes:
    """A model's parameters by attribute name, each in the narrowest dtype that holds them.

    `packed` leaves the zeros of grouped kernels out; torchlean.ir.v1: 4.2 has them dense. `maker`
    is one of `emit.marks`. The file says which graph it belongs to, and the digest of its tensors.
    """
    tensors = store_tensors(model, packed=packed)
    entries, parts = _entries(tensors)
    marked = weights_mark(maker, graph_digest(model.graph), tensors_digest(entries, _data(parts)))
    return bytes(tensor_file(tensors, marked))


def store_tensors(model: Model, *, packed: bool) -> dict[str, tuple[Array, str]]:
    """What `store_bytes` writes: arrays by name, each with its dtype."""
    tensors: dict[str, tuple[Array, str]] = {}
    for node in model.graph.nodes:
        for slot in model.graph.slots(node):
            array = model.params.get((node.id, slot.field))
            if array is None:
                continue
            if packed and slot.packed is not None:
                assert isinstance(node.op, Conv)
                array = pack_kernel(array, node.op.groups)
            name = attribute_name(node.op.prefix, node.id, slot.name)
            tensors[name] = array, _narrowest(array)
    return tensors


def _narrowest(array: Array) -> str:
    same = np.array_equal(rounded(array, "float32"), array, equal_nan=True)
    return "float32" if same else "float64"


def tensor_file(tensors: Mapping[str, tuple[Array, str]], marked: str) -> TensorFile:
    """Arrays by name, each with its dtype, as safetensors: sorted by name, little-endian.

    `marked` is what the file says of its maker.
    """
    entries, parts = _entries(tensors)
    header = {"__metadata__": {WEIGHTS_KEY: marked}, **entries}
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % _ALIGNMENT)
    return TensorFile(len(text).to_bytes(8, "little") + text, parts)


def _entries(
    tensors: Mapping[str, tuple[Array, str]],
) -> tuple[dict[str, object], list[tuple[Array, str]]]:
    """What the header says of each tensor, and the tensors in the order of their bytes."""
    entries: dict[str, object] = {}
    parts: list[tuple[Array, str]] = []
    end = 0
    for name, (values, dtype) in sorted(tensors.items()):
        start, end = end, end + values.size * _SIZES[dtype]
        shape = list(values.shape)
        entries[name] = {"dtype": _CODES[dtype], "shape": shape, "data_offsets": [start, end]}
        parts.append((values, dtype))
    return entries, parts


def _encoded(values: Array, dtype: str) -> bytes:
    if dtype == "bfloat16":
        words = values.astype("<f4").view("<u4") >> np.uint32(16)
        return words.astype("<u2").tobytes()
    return values.astype(np.dtype(dtype).newbyteorder("<"), copy=False).tobytes()
