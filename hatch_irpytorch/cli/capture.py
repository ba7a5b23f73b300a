"""`irpytorch capture`: an `nn.Module` as a graph with its parameters and a manifest."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.cli.command import new_command, print_notes
from hatch_irpytorch.errors import Place, fail, shown

if TYPE_CHECKING:
    from torch import nn

_EXAMPLE = "irpytorch capture nets:SmallCNN --shape 1,1,8,8 -o models/small_cnn"


def add_to(subparsers: Any) -> None:
    doc = "write an nn.Module as a graph, its parameters and a manifest; needs torch"
    parser = new_command(subparsers, run, "capture", doc, _EXAMPLE)
    parser.add_argument(
        "factory",
        metavar="MODULE:FACTORY",
        help="a module, or what returns one when called, by import path from here",
    )
    parser.add_argument(
        "--shape", required=True, metavar="1,3,32,32", help="the shape of the one input"
    )
    parser.add_argument(
        "--state-dict", type=Path, metavar="FILE", help="a safetensors file to load before"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="torch's seed before the call; default 0"
    )
    add_output(parser)


def add_output(parser: argparse.ArgumentParser) -> None:
    text = "the name of the three files without their endings"
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="models/NAME", help=text
    )


def read_shape(text: str, option: str) -> tuple[int, ...]:
    """`1,3,32,32` as a shape; an empty text is that of a scalar."""
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in parts):
        message = f"a shape is natural numbers with commas, found {shown(text)}"
        raise fail("bad-option", Place(option), message)
    return tuple(int(part) for part in parts)


def run(options: argparse.Namespace) -> int:
    from hatch_irpytorch.verify.models import require_torch

    shape = read_shape(options.shape, "--shape")
    require_torch()
    import torch

    from hatch_irpytorch.capture import from_torch
    from hatch_irpytorch.capture.files import write_captured
    from hatch_irpytorch.emit.options import normal_dtype

    torch.manual_seed(options.seed)
    module = _load(options.factory)
    if options.state_dict is not None:
        _load_state(module, options.state_dict)
    tensors = [*module.parameters(), *module.buffers()]
    kinds = [tensor.dtype for tensor in tensors if tensor.dtype.is_floating_point]
    dtype = kinds[0] if kinds else torch.float32
    model = from_torch(module, torch.rand(shape, dtype=dtype))
    print_notes(model.notes)
    name = normal_dtype(str(dtype)) or "float32"
    for path in write_captured(model, options.output, type(module).__name__, name):
        print(path.as_posix())
    return 0


def _load(factory: str) -> nn.Module:
    """The module that `package.module:attribute` names. The user's own errors pass through."""
    from torch import nn

    place = Place("MODULE:FACTORY")
    name, colon, attribute = factory.partition(":")
    if not colon or not all(part.isidentifier() for part in (*name.split("."), attribute)):
        message = f"expected `package.module:Factory`, found {shown(factory)}"
        raise fail("bad-option", place, message)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(import_module(name), attribute)
    except (ImportError, AttributeError) as error:
        raise fail("import-failed", place, str(error)) from None
    if isinstance(found, nn.Module):
        return found
    module = found() if callable(found) else found
    if not isinstance(module, nn.Module):
        message = f"{shown(factory)} gives {type(module).__name__}, not a torch.nn.Module"
        raise fail("bad-option", place, message)
    return module


def _load_state(module: nn.Module, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        module.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        first = str(error).strip().replace("\n", " ")[:300]
        raise fail("bad-params", Place(path.as_posix()), first) from None
