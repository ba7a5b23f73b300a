"""Mutated and made-up files: only our own error comes out, soon, and without much memory."""

from __future__ import annotations

import io
import json
import math
import random
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Counts
from documents import document, op
from hostile_files import BIG, GRAPHS, affine, legacy, mutated, transformer

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.ir.npy import read_npy_data, read_npy_header
from hatch_irpytorch.ir.params import StoreFile
from hatch_irpytorch.ir.read import build_model
from hatch_irpytorch.ir.stores import read_store
from hatch_irpytorch.manifest import read_manifest

SECONDS = 2.0
FLOOR = 24 << 20
"""Memory that any input may take: modules that load on first use, and the readers' own buffers."""

FACTOR = 10


GRAPH = document([2, 3], op("linear", [0], [2, 4], out_dim=4, in_dim=3))
ARRAYS = {"linear_1_W": np.arange(12.0).reshape(4, 3), "linear_1_b": np.arange(4.0)}


def npz(compressed: bool) -> bytes:
    stream = io.BytesIO()
    save: Any = np.savez_compressed if compressed else np.savez
    save(stream, **ARRAYS)
    return stream.getvalue()


def safetensors() -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, array in ARRAYS.items():
        size = array.size * 8
        header[name] = {"dtype": "F64", "shape": array.shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(a.tobytes() for a in ARRAYS.values())


def json_store() -> bytes:
    return json.dumps({name: array.tolist() for name, array in ARRAYS.items()}).encode()


def long_json_store() -> bytes:
    wide = {**ARRAYS, "linear_1_W": np.linspace(0, 1, 600).reshape(4, 150)}
    return json.dumps({name: array.tolist() for name, array in wide.items()}).encode()


def manifest() -> bytes:
    return (
        b"ir: affine.ir.json\nparams: p.npz\nmodule: nets\nemit:\n  class_name: Net\n"
        b"  dtype: float32\n  weights: inline\n  learnable_consts: true\ngolden:\n  rtol: 1.0e-5\n"
    )


def store_reader(ending: str) -> Callable[[bytes, Path], object]:
    def read(data: bytes, folder: Path) -> object:
        path = folder / f"params{ending}"
        path.write_bytes(data)
        store = StoreFile(path.name, read_store(path, path.name))
        return build_model(json.dumps(GRAPH).encode(), "graph.json", store)

    return read


Reader = Callable[[bytes, Path], object]
READERS: dict[str, tuple[Reader, tuple[Callable[[], bytes], ...]]] = {
    "manifest": (lambda data, folder: read_manifest(data, "models/m.yaml"), (manifest,)),
    "graph": (
        lambda data, folder: build_model(data, "graph.json"),
        (affine, legacy, transformer),
    ),
    "safetensors": (store_reader(".safetensors"), (safetensors,)),
    "npz": (store_reader(".npz"), (lambda: npz(False), lambda: npz(True))),
    "json": (store_reader(".json"), (json_store, long_json_store)),
}


def outcome(reader: Reader, data: bytes, folder: Path) -> str:
    """`read` or `refused`; anything else that comes out is the test's failure."""
    try:
        reader(data, folder)
    except IRPyTorchError as error:
        assert error.problems
        assert all(str(problem).isprintable() for problem in error.problems)
        return "refused"
    return "read"


@pytest.mark.parametrize("name", READERS)
def test_mutated_files_are_read_or_refused(name: str, counts: Counts, tmp_path: Path) -> None:
    reader, makers = READERS[name]
    seeds = [make() for make in makers]
    rng = random.Random(f"{name} {counts.first_seed}")
    outcomes = {"read": 0, "refused": 0}
    for _ in range(counts.inputs // len(READERS)):
        data = mutated(rng.choice(seeds), rng, seeds)
        start = time.process_time()
        try:
            outcomes[outcome(reader, data, tmp_path)] += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error} for {data[:3000]!r}") from error
        assert time.process_time() - start < SECONDS, data[:3000]
    assert min(outcomes.values()) > 0, outcomes


MANIFESTS: dict[str, bytes] = {
    "aliases that explode": b"a: &a [x,x]\n"
    + b"".join(b"%c: &%c [*%c,*%c]\n" % (i + 1, i + 1, i, i) for i in range(97, 120)),
    "a merge": b"x: &x {ir: a}\n<<: *x\n",
    "a tag": b"ir: !!python/object/apply:os.system ['true']\n",
    "nested deep": b"[" * 16_000,
    "mappings nested deep": b"{a: " * 4_000,
    "indented deep": b"".join(b" " * i + b"a:\n" for i in range(150)),
    "a class name of 10 MB": b"ir: a\nemit:\n  class_name: " + b"A" * 10_000_000,
    "a class name of 16 kB": b"ir: a\nemit:\n  class_name: " + b"A" * 16_000,
    "keys": b"".join(b"k%d: 1\n" % i for i in range(1_600)),
    "quotes": b'"' * 16_000,
    "carriage returns": manifest().replace(b"\n", b"\r") * 2,
    "two documents": b"ir: a\n---\nir: b\n",
    "NUL": b"ir: a\0b\n",
    "a list": b"- ir: a\n",
    "a number": b"17\n",
    "invalid UTF-8": b"ir: \xff\n",
    "a byte order mark": b"\xef\xbb\xbfir: a.json\n",
    "question marks": b"? " * 8_000,
    "dashes": b"- " * 8_000,
}


def bomb(size: int, name: str = "linear_1_W", shape: tuple[int, ...] = (4, 3)) -> bytes:
    """A zip whose one array claims a shape and unpacks to `size` zeros."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as member,
    ):
        member.write(stream.getvalue())
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    return packed.getvalue()


def many_members(count: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for index in range(count):
            archive.writestr(f"{index}.npy", b"")
    return packed.getvalue()


def array(header: str) -> bytes:
    """An array of 12 numbers with a header of this text."""
    text = header.encode("latin-1")
    return b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + bytes(96)


def npz_of(header: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("linear_1_W.npy", array(header))
        archive.writestr("linear_1_b.npy", array(NPY.format("(4,)")))
    return packed.getvalue()


NPY = "{{'descr': '<f8', 'fortran_order': False, 'shape': {}, }}"
BAD_HEADERS = {
    "a list as a key": "{[]:1}",
    "a bracket that stays open": "{(\n",
    "a text that stays open": "'''\n",
    "a line too far in": "{}\n  {}",
    "no Python": "{'shape' 'descr'}",
    "nine thousand signs": "-" * 9_000 + "1",
    "nine thousand brackets": "{" + "(" * 9_000 + ")" * 9_000 + "}",
    "no comma": NPY.format("(4, 3)").replace(", 'shape'", " 'shape'"),
    "a key twice": NPY.format("(4, 3)").replace("}", "'shape': (4, 3)}"),
    "a fourth key": NPY.format("(4, 3)").replace("}", "'more': True}"),
    "a key less": "{'descr': '<f8', 'shape': (4, 3)}",
    "an extent below 0": NPY.format("(4, -3)"),
    "an extent of 30 digits": NPY.format("(" + "9" * 30 + ",)"),
    "a number for a shape": NPY.format("(12)"),
    "a shape of text": NPY.format("('4', 3)"),
    "an order that is none": NPY.format("(4, 3)").replace("False", "(0)"),
    "a dtype of fields": NPY.format("(4, 3)").replace("'<f8'", "[('a', '<f8')]"),
    "a dtype nobody knows": NPY.format("(4, 3)").replace("<f8", "<f3"),
    "a longer header than any": NPY.format("(4, 3)") + " " * 10_000,
}


@pytest.mark.parametrize("name", BAD_HEADERS)
@pytest.mark.filterwarnings("error")
def test_a_header_of_an_array_that_is_none(name: str, tmp_path: Path) -> None:
    data = npz_of(BAD_HEADERS[name])
    with pytest.raises(IRPyTorchError, match=r"^params\.npz: error\[bad-params\]"):
        store_reader(".npz")(data, tmp_path)


@pytest.mark.parametrize("shape", ["(4, 3)", "(4,3,)", "( 4L, 3L )"])
@pytest.mark.filterwarnings("error")
def test_headers_as_others_write_them(shape: str, tmp_path: Path) -> None:
    """Python 2 wrote `4L`, of which numpy warns; other libraries use other quotes and spaces."""
    for header in (NPY.format(shape), NPY.format(shape).replace("'", '"').replace(": ", ":")):
        assert store_reader(".npz")(npz_of(header), tmp_path)


def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    shapes: tuple[tuple[int, ...], ...] = ((), (0,), (2, 0, 3), (7,), (4, 3), (2, 3, 4))
    for shape in shapes:
        for dtype in ("<f8", ">f8", "<f4", ">f2", "<i8", "|b1", "<c16"):
            for order in ("C", "F"):
                data = np.arange(math.prod(shape)).reshape(shape).astype(dtype, order=order)
                np.save(tmp_path / "a.npy", data)
                with (tmp_path / "a.npy").open("rb") as stream:
                    found = read_npy_data(stream, read_npy_header(stream))
                assert found.dtype == data.dtype.newbyteorder("=") and found.shape == shape
                np.testing.assert_array_equal(found, data)


def header_length(length: int, rest: bytes = b"") -> bytes:
    return length.to_bytes(8, "little") + rest


def tensors(**fields: object) -> bytes:
    text = json.dumps(fields).encode()
    return header_length(len(text), text)


def packed_by(method: int) -> bytes:
    """An archive whose data is not what it says, packed as numpy packs none."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("linear_1_W.npy", array(NPY.format("(4, 3)")))
    data = packed.getvalue()
    return data[:50] + b"\xff" * 8 + data[58:]


STORES: dict[str, tuple[str, bytes]] = {
    "an archive by lzma": (".npz", packed_by(zipfile.ZIP_LZMA)),
    "an archive by bz2": (".npz", packed_by(zipfile.ZIP_BZIP2)),
    "a bomb": (".npz", bomb(1 << 30)),
    "a bomb with its shape": (".npz", bomb(1 << 29, shape=(8192, 8192))),
    "many members": (".npz", many_members(20_000)),
    "a shape of 10^15": (".npz", bomb(0, shape=(10**15,))),
    "half a zip": (".npz", npz(True)[:200]),
    "a header of 2 GB": (".safetensors", header_length(2 << 30, b"{}")),
    "a header of 2^64": (".safetensors", b"\xff" * 8 + b"{}"),
    "nothing": (".safetensors", b""),
    "a shape of 10^18": (
        ".safetensors",
        tensors(linear_1_W={"dtype": "F32", "shape": [10**9] * 2, "data_offsets": [0, 0]}),
    ),
    "offsets backwards": (
        ".safetensors",
        tensors(linear_1_W={"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}),
    ),
    "a dtype nobody knows": (
        ".safetensors",
        tensors(linear_1_W={"dtype": "F\n3", "shape": [0], "data_offsets": [0, 0]}),
    ),
    "names": (".json", json.dumps({f"n{i}": 1 for i in range(BIG // 8)}).encode()),
    "deep values": (".json", b'{"linear_1_W":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "numbers too large": (".json", b'{"linear_1_W":[' + b"1e999," * 300 + b"1]}"),
    "numbers without commas": (".json", b'{"linear_1_W":[' + b"1 2 3 " * 300 + b"]}"),
    "numbers beside arrays": (".json", b'{"linear_1_W":[' + b"[1,2,3]" * 100 + b"]}"),
}


def assert_refused_cheaply(read: Callable[[], object], size: int) -> None:
    """Refused with few short problems, within 2 s of processor time and 10 times the memory."""
    start = time.process_time()
    with pytest.raises(IRPyTorchError) as caught:
        read()
    assert time.process_time() - start < SECONDS
    tracemalloc.start()
    try:
        with pytest.raises(IRPyTorchError):
            read()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < FLOOR + FACTOR * size
    assert all(len(str(problem)) < 1_000 for problem in caught.value.problems)
    assert len(caught.value.problems) < 10_000


@pytest.mark.parametrize("name", GRAPHS)
def test_a_hostile_graph(name: str) -> None:
    data = GRAPHS[name]
    assert_refused_cheaply(lambda: build_model(data, "graph.json"), len(data))


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_hostile_manifest(name: str) -> None:
    data = MANIFESTS[name]
    assert_refused_cheaply(lambda: read_manifest(data, "models/m.yaml"), len(data))


@pytest.mark.parametrize("name", STORES)
def test_a_hostile_parameter_file(name: str, tmp_path: Path) -> None:
    ending, data = STORES[name]
    read = store_reader(ending)
    assert_refused_cheaply(lambda: read(data, tmp_path), len(data))


def test_line_ends_of_windows_are_read() -> None:
    assert build_model(affine().replace(b"\n", b"\r\n"), "graph.json")
    assert read_manifest(manifest().replace(b"\n", b"\r\n"), "models/m.yaml")
