"""One network through both doors: captured or imported, emitted, run, judged."""

from __future__ import annotations

import copy
import importlib.util
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from hatch_irpytorch import EmitOptions, IRPyTorchError, Model, emit_module
from hatch_irpytorch.capture import from_onnx, from_torch
from peers.zoo.criterion import judged, require_alike, tensors_of
from peers.zoo.network import Network, draw_constants

Report = Callable[[dict[str, Any]], None]

DOORS = ("capture", "import-onnx")


def check(network: Network, doors: tuple[str, ...], report: Report) -> None:
    """Put a network through the doors. `report` is told what is known, again after each step."""
    record: dict[str, Any] = {"name": network.name}
    torch.manual_seed(0)
    try:
        module, example = network.make()
        draw_constants(module.eval())
        with torch.no_grad():
            single = tensors_of(module(example.clone()))
            exact = in_double_precision(module, example)
        require_alike(single, exact)
    except Exception as error:  # a library may raise anything
        report({**record, "failed": _said(error)})
        return
    record["parameters"] = sum(parameter.numel() for parameter in module.parameters())
    for door in doors:
        with TemporaryDirectory() as folder:
            outcome = record[door] = {"stage": "start"}
            report(record)
            started = time.monotonic()
            try:
                model = _come_in(door, module, example, network.tokens, Path(folder), outcome)
                outcome["nodes"] = len(model.graph.nodes)
                outcome["stage"] = "emit"
                report(record)
                net = _emitted(model, Path(folder))
                outcome["stage"] = "run"
                with torch.no_grad():
                    verdict = judged(tensors_of(net(example.float())), single, exact)
                outcome |= {"stage": "done", **vars(verdict)}
            except IRPyTorchError as error:
                outcome |= {"stage": "refused", "problems": [p.message for p in error.problems]}
            except Exception as error:  # an exporter, or a fault of ours
                outcome["error"] = _said(error)
            outcome["seconds"] = round(time.monotonic() - started, 1)
            report(record)


def in_double_precision(module: nn.Module, example: torch.Tensor) -> list[torch.Tensor]:
    """What a module returns when it computes in float64, with the constants of its own as well."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        given = example.double() if example.is_floating_point() else example
        return tensors_of(copy.deepcopy(module).double()(given.clone()))
    finally:
        torch.set_default_dtype(usual)


def _come_in(
    door: str,
    module: nn.Module,
    example: torch.Tensor,
    tokens: int | None,
    folder: Path,
    outcome: dict[str, Any],
) -> Model:
    if door == "capture":
        outcome["stage"] = "capture"
        return from_torch(module, example.clone(), tokens=tokens)
    outcome["stage"] = "torch.onnx.export"
    path = folder / "network.onnx"
    # Where gradients are wanted, the exporter takes two attention kernels of other strides for one.
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()), torch.no_grad():
        program: Any = torch.onnx.export(module, (example.clone(),), dynamo=True, verbose=False)
        program.save(path)
    outcome["stage"] = "import-onnx"
    try:
        return from_onnx(path, tokens=tokens)
    except IRPyTorchError:
        outcome["onnxruntime"] = _runs_elsewhere(path, example)
        raise


def _runs_elsewhere(path: Path, example: torch.Tensor) -> bool:
    """Whether ONNX Runtime runs what torch's exporter wrote."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    try:
        session = onnxruntime.InferenceSession(path)
        session.run(None, {session.get_inputs()[0].name: example.numpy()})
    except Exception:  # ONNX Runtime's own
        return False
    return True


def _emitted(model: Model, folder: Path) -> nn.Module:
    weights = folder / "network.safetensors"
    options = EmitOptions(class_name="Network", weights="safetensors")
    made = emit_module(model, options, weights_file=weights.name)
    source = folder / "network.py"
    source.write_text(made.source, encoding="utf-8")
    if made.weights is not None:
        weights.write_bytes(bytes(made.weights))
    spec = importlib.util.spec_from_file_location("network", source)
    assert spec is not None and spec.loader is not None
    generated = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generated)
    net: nn.Module = generated.Network().eval()
    return net


def _said(error: BaseException) -> str:
    """The innermost cause: exporters wrap theirs."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}".strip().split("\n")[0][:300]
