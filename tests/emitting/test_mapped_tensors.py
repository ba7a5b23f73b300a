"""What a module reads of its weight file is what safetensors reads, and the file stays as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from documents import namespace, with_weight_file
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from hatch_irpytorch.emit.options import DTYPES

READERS: dict[str, Callable[[Path], dict[str, torch.Tensor]]] = {
    dtype: namespace(with_weight_file(dtype).source)["mapped_tensors"] for dtype in DTYPES
}
NAMES = st.sampled_from(["linear_1_W", "const_2", "conv2d_30_kernel", "a\u00e9", 'b"'])
SHAPES = st.lists(st.integers(0, 3), max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@settings(max_examples=100, deadline=None)
@given(
    dtype=st.sampled_from(DTYPES),
    shapes=st.dictionaries(NAMES, SHAPES, min_size=1),
    metadata=st.none() | st.dictionaries(st.text("abc", min_size=1), st.text("abc")),
)
def test_tensors_are_those_of_the_library(
    folder: Path, dtype: str, shapes: dict[str, list[int]], metadata: dict[str, str] | None
) -> None:
    kind = getattr(torch, dtype)
    tensors = {name: torch.randn(shape).to(kind) for name, shape in shapes.items()}
    file = folder / "some.safetensors"
    save_file(tensors, file, metadata)
    found, wanted = READERS[dtype](file), load_file(file)
    assert found.keys() == {name for name, tensor in wanted.items() if tensor.numel()}
    for name, tensor in found.items():
        other = wanted[name]
        assert (tensor.shape, tensor.dtype, tensor.stride()) == (other.shape, kind, other.stride())
        assert torch.equal(tensor, other)
        assert tensor.untyped_storage().nbytes() == other.untyped_storage().nbytes()
        assert tensor.storage_offset() == 0 and tensor.is_contiguous()


def stored(file: Path, header: dict[str, Any], data: bytes, padding: int = 0) -> Path:
    text = json.dumps(header).encode() + b" " * padding
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return file


@pytest.mark.parametrize("padding", range(8))
def test_data_may_start_anywhere(tmp_path: Path, padding: int) -> None:
    """The library pads its header to eight bytes; the format does not ask for that."""
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    values = torch.tensor([1.5, -2.0])
    file = stored(tmp_path / "a", {"w": entry}, values.numpy().tobytes(), padding)
    assert torch.equal(READERS["float32"](file)["w"], values)


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        ({"dtype": "F16", "shape": [4]}, ValueError, "w is F16, not F32: .*weights"),
        ({"dtype": "F32", "shape": [3]}, RuntimeError, "shape '\\[3\\]' is invalid"),
        ({"dtype": "F32", "shape": [4]}, ValueError, "requested buffer length"),
    ],
    ids=["another dtype", "another shape", "cut short"],
)
def test_a_file_that_does_not_fit_is_an_error(
    tmp_path: Path, entry: dict[str, Any], error: type[Exception], message: str
) -> None:
    end = 8 if entry["shape"] == [3] else 16
    header = {"w": {**entry, "data_offsets": [0, end]}}
    file = stored(tmp_path / "weights", header, bytes(8))
    with pytest.raises(error, match=message):
        READERS["float32"](file)


def open_files() -> int:
    """How many files this process has open, where the system tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_a_trained_module_leaves_its_file_alone_and_lets_go_of_it(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_file({"w": torch.ones(3)}, file)
    before, handles = file.read_bytes(), open_files()
    tensors = READERS["float32"](file)
    tensors["w"].mul_(2.0)
    assert file.read_bytes() == before
    assert torch.equal(tensors["w"], torch.full((3,), 2.0))
    del tensors
    assert open_files() == handles


def test_a_module_with_a_file_needs_torch_alone(tmp_path: Path) -> None:
    """Neither safetensors nor numpy, and on whatever device tensors are made by default."""
    emitted = with_weight_file()
    (tmp_path / "net.py").write_text(emitted.source, encoding="utf-8")
    (tmp_path / "net.safetensors").write_bytes(bytes(emitted.weights or b""))
    program = (
        "import sys, torch; sys.path.insert(0, sys.argv[1])\n"
        "sys.modules['safetensors'] = sys.modules['numpy'] = None\n"
        "from net import ExportedIRModel\n"
        "with torch.device('meta'):\n"
        "    model = ExportedIRModel()\n"
        "print(model(torch.ones(4, 2)).isfinite().all().item())"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("True", 0), result.stderr[-2000:]
