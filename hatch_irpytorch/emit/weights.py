"""Tensors as safetensors bytes: what the plan of a module stores, or a whole ParamStore.

The format is a length, a JSON header and the data. It is written here because the library's own
writer changed its interface and its order of tensors between versions, and outputs must not. A
module reads it by itself: so it needs nothing but torch, and maps a file in the time of a library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hatch_irpytorch.emit.literals import rounded
from hatch_irpytorch.emit.marks import GENERATED, WEIGHTS_KEY, tensors_digest, weights_mark
from hatch_irpytorch.emit.plan import ModulePlan
from hatch_irpytorch.ir.digest import graph_digest
from hatch_irpytorch.ir.ops import attribute_name
from hatch_irpytorch.ir.ops.code import Function
from hatch_irpytorch.ir.ops.convolution import Conv, unpack_kernel
from hatch_irpytorch.ir.shapes import numel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hatch_irpytorch.ir.graph import Model
    from hatch_irpytorch.ir.shapes import Shape

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


class Held(NamedTuple):
    """The values of a tensor and the dtype that it has in a file.

    A kernel of several `groups` is written dense, and made so when its turn comes.
    """

    values: Array
    dtype: str
    groups: int = 1

    @property
    def shape(self) -> Shape:
        if self.groups == 1:
            return self.values.shape
        outputs, inputs, *kernel = self.values.shape
        return (outputs, inputs * self.groups, *kernel)

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the tensor, rounded to its dtype piece by piece."""
        whole = unpack_kernel(self.values, self.groups) if self.groups > 1 else self.values
        flat = whole.reshape(-1)
        for start in range(0, len(flat), _PIECE):
            yield _encoded(rounded(flat[start : start + _PIECE], self.dtype), self.dtype)


class TensorFile:
    """A safetensors file that is not in memory: a header, and arrays that may be mapped."""

    def __init__(self, header: bytes, tensors: Sequence[Held]) -> None:
        self.header = header
        self.tensors = tuple(tensors)

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the file, some megabytes at a time."""
        yield self.header
        yield from _data(self.tensors)

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces())


def _data(tensors: Sequence[Held]) -> Iterator[bytes]:
    for tensor in tensors:
        yield from tensor.pieces()


def weights_file(plan: ModulePlan, graph: str) -> TensorFile:
    """What a plan has in a file, in its dtype; `graph` is the digest of its graph."""
    tensors = {}
    for tensor in plan.in_file:
        assert tensor.values is not None
        tensors[tensor.name] = Held(tensor.values, plan.dtype)
    return _file(tensors, weights_mark(GENERATED, graph))


def store_file(model: Model, maker: str, *, packed: bool, graph: str | None = None) -> TensorFile:
    """A model's parameters by attribute name, each in the narrowest dtype that holds them.

    `packed` leaves the zeros of grouped kernels out; torchlean.ir.v1: 4.2 has them dense. `maker`
    is one of `emit.marks`. The file says which graph it belongs to, by the digest `graph` or by
    that of the model, and the digest of its tensors.
    """
    tensors = _held(model, packed=packed)
    entries, parts = _entries(tensors)
    owner = graph or graph_digest(model.graph)
    marked = weights_mark(maker, owner, tensors_digest(entries, _data(parts)))
    return _file(tensors, marked)


def _held(model: Model, *, packed: bool) -> dict[str, Held]:
    tensors: dict[str, Held] = {}
    for node in model.graph.nodes:
        for slot in model.graph.slots(node):
            array = model.params.get((node.id, slot.field))
            if array is None:
                continue
            groups = 1
            if slot.packed is not None and not packed:
                assert isinstance(node.op, Conv)
                groups = node.op.groups
            name = attribute_name(node.op.prefix, node.id, slot.name)
            tensors[name] = Held(array, _narrowest(array), groups)
    return tensors


def _narrowest(array: Array) -> str:
    if array.dtype != np.float64:
        return "float32"
    same = np.array_equal(rounded(array, "float32"), array, equal_nan=True)
    return "float32" if same else "float64"


def _file(tensors: Mapping[str, Held], marked: str) -> TensorFile:
    """Arrays by name, each with its dtype, as safetensors: sorted by name, little-endian.

    `marked` is what the file says of its maker.
    """
    entries, parts = _entries(tensors)
    header = {"__metadata__": {WEIGHTS_KEY: marked}, **entries}
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % _ALIGNMENT)
    return TensorFile(len(text).to_bytes(8, "little") + text, parts)


def _entries(tensors: Mapping[str, Held]) -> tuple[dict[str, object], list[Held]]:
    """What the header says of each tensor, and the tensors in the order of their bytes."""
    entries: dict[str, object] = {}
    parts: list[Held] = []
    end = 0
    for name, tensor in sorted(tensors.items()):
        start, end = end, end + numel(tensor.shape) * _SIZES[tensor.dtype]
        shape, code = list(tensor.shape), _CODES[tensor.dtype]
        entries[name] = {"dtype": code, "shape": shape, "data_offsets": [start, end]}
        parts.append(tensor)
    return entries, parts


def _encoded(values: Array, dtype: str) -> bytes:
    if dtype == "bfloat16":
        words = values.astype("<f4").view("<u4") >> np.uint32(16)
        return words.astype("<u2").tobytes()
    return values.astype(np.dtype(dtype).newbyteorder("<"), copy=False).tobytes()
