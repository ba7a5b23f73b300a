"""Other ways to a module that can be kept: time to make and to load, size, speed, same bytes."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import torch
from torch import nn

from benchmarks.forward import sample
from benchmarks.measure import repeated
from hatch_irpytorch import EmitOptions, emit_module
from hatch_irpytorch.capture import from_torch


@dataclass(frozen=True)
class Peer:
    """What one peer needed; `note` says why it has no figures."""

    name: str
    produce: float = 0.0
    load: float = 0.0
    size: int = 0
    forward: float = 0.0
    same_bytes: bool = False
    note: str = ""


Made = tuple[Callable[[Path], None], Callable[[Path], Any]]


def _imported(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"peer_{name}_{path.parent.name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(module)
    return module


def _ours(net: nn.Module, x: torch.Tensor, weights: str, fuse: bool) -> Made:
    def produce(folder: Path) -> None:
        options = EmitOptions(weights=weights, fuse=fuse)  # type: ignore[arg-type]
        emitted = emit_module(from_torch(net, x), options, weights_file="net.safetensors")
        (folder / "net.py").write_text(emitted.source)
        if emitted.weights is not None:
            (folder / "net.safetensors").write_bytes(bytes(emitted.weights))

    return produce, lambda folder: _imported(folder / "net.py", "ours").ExportedIRModel().eval()


def _fx(net: nn.Module, x: torch.Tensor) -> Made:
    def produce(folder: Path) -> None:
        traced = torch.fx.symbolic_trace(net)
        # `to_folder` writes the annotations of a typed `forward` by names it does not import.
        for node in traced.graph.nodes:
            node.type = None
        traced.recompile()
        traced.to_folder(folder, "Net")

    return produce, lambda folder: _fx_loaded(folder)


def _fx_loaded(folder: Path) -> Any:
    before = Path.cwd()
    os.chdir(folder.parent)
    sys.path.insert(0, str(folder.parent))
    try:
        return importlib.import_module(folder.name).Net().eval()
    finally:
        os.chdir(before)
        sys.path.pop(0)


def _export(net: nn.Module, x: torch.Tensor) -> Made:
    def produce(folder: Path) -> None:
        torch.export.save(torch.export.export(net, (x,)), folder / "net.pt2")

    return produce, lambda folder: torch.export.load(folder / "net.pt2").module()


def _stand_in(name: str, **held: object) -> None:
    """A module by that name, for a peer that imports something which is not there any more."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    module.__dict__.update(held)
    sys.modules[name] = module


def _onnx2torch(net: nn.Module, x: torch.Tensor) -> Made:
    # It calls torchvision to detect objects only, and the one on PyPI does not load beside a build
    # of torch for the CPU.
    _stand_in("torchvision")
    _stand_in("torchvision.ops", roi_align=None)
    from onnx2torch import convert

    def produce(folder: Path) -> None:
        torch.onnx.export(net, (x,), str(folder / "net.onnx"), dynamo=False)

    return produce, lambda folder: convert(str(folder / "net.onnx")).eval()


def _pnnx(net: nn.Module, x: torch.Tensor) -> Made:
    import pnnx

    def produce(folder: Path) -> None:
        pnnx.export(net, str(folder / "net.pt"), (x,))

    return produce, lambda folder: _imported(folder / "net_pnnx.py", "pnnx").Model().eval()


def _onnx_pytorch(net: nn.Module, x: torch.Tensor) -> Made:
    # onnx has no such table any more.
    kinds = [kind for kind in onnx.TensorProto.DataType.values() if kind]
    known = {kind: onnx.helper.tensor_dtype_to_np_dtype(kind) for kind in kinds}
    _stand_in("onnx.mapping", TENSOR_TYPE_TO_NP_TYPE=known)
    from onnx_pytorch import code_gen

    def produce(folder: Path) -> None:
        torch.onnx.export(net, (x,), str(folder / "net.onnx"), dynamo=False)
        code_gen.gen(str(folder / "net.onnx"), str(folder))

    return produce, lambda folder: _imported(folder / "model.py", "onnx_pytorch").Model().eval()


PEERS: dict[str, Callable[[nn.Module, torch.Tensor], Made]] = {
    "hatch-irpytorch, inline": lambda net, x: _ours(net, x, "inline", False),
    "hatch-irpytorch, safetensors": lambda net, x: _ours(net, x, "safetensors", False),
    "hatch-irpytorch, fuse": lambda net, x: _ours(net, x, "inline", True),
    "torch.fx to_folder": _fx,
    "torch.export save, load": _export,
    "onnx2torch (by way of ONNX)": _onnx2torch,
    "pnnx": _pnnx,
    "onnx-pytorch": _onnx_pytorch,
}


def peers(folder: Path) -> list[Peer]:
    """Each peer on a small CNN; what cannot run says why."""
    net, x, _ = sample(folder)
    found = []
    for name, make in PEERS.items():
        try:
            found.append(_measured(name, make(net, x), net, x, folder))
        except Exception as error:
            reason = (
                f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"
            )
            found.append(Peer(name, note=reason))
        print(found[-1], flush=True)
    return found


def _measured(name: str, made: Made, net: nn.Module, x: torch.Tensor, folder: Path) -> Peer:
    produce, load = made
    places, times, loads = [], [], []
    module: Any = None
    for turn in range(3):
        place = folder / f"peer_{''.join(filter(str.isalnum, name))}_{turn}"
        place.mkdir()
        start = time.perf_counter()
        produce(place)
        middle = time.perf_counter()
        module = load(place)
        loads.append(time.perf_counter() - middle)
        times.append(middle - start)
        places.append(place)
    with torch.no_grad():
        torch.testing.assert_close(module(x), net(x), rtol=1e-4, atol=1e-4)
        run, by_hand = repeated(lambda: module(x), 0.1), repeated(lambda: net(x), 0.1)
        ratio = statistics.median(run() / by_hand() for _ in range(9))
    size = sum(path.stat().st_size for path in _files(places[0]))
    same = _digest(places[0]) == _digest(places[1])
    produced, loaded = statistics.median(times), statistics.median(loads)
    return Peer(name, produced, loaded, size, ratio, same)


def _files(place: Path) -> list[Path]:
    return sorted(p for p in place.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _digest(place: Path) -> str:
    found = hashlib.sha256()
    for path in _files(place):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()
