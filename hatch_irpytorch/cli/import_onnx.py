"""`irpytorch import-onnx`: an ONNX file as a graph with its parameters and a manifest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.cli.capture import add_output, read_shape
from hatch_irpytorch.cli.command import new_command, print_notes
from hatch_irpytorch.errors import Place, fail, shown
from hatch_irpytorch.source.reading import read_bytes

if TYPE_CHECKING:
    import numpy as np

_EXAMPLE = "irpytorch import-onnx net.onnx --shape input=1,3,32,32 -o models/net"


def add_to(subparsers: Any, doc: str) -> None:
    parser = new_command(subparsers, run, "import-onnx", doc, _EXAMPLE)
    parser.add_argument("file", type=Path, metavar="FILE", help="the ONNX file")
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=1,3,32,32",
        help="the shape of an input that the file leaves open; open extents are 1 unless told",
    )
    parser.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="NAME=FILE.npy",
        help="make an input the constant in a file",
    )
    add_output(parser)


def run(options: argparse.Namespace) -> int:
    from hatch_irpytorch.capture import from_onnx
    from hatch_irpytorch.capture.files import write_captured
    from hatch_irpytorch.manifest import default_class_name

    shapes = {name: read_shape(text, "--shape") for name, text in _pairs(options.shape, "--shape")}
    bind = {name: _array(Path(text)) for name, text in _pairs(options.bind, "--bind")}
    model = from_onnx(options.file, shapes=shapes, bind=bind)
    print_notes(model.notes)
    output: Path = options.output
    for path in write_captured(model, output, default_class_name(output.name), "float32"):
        print(path.as_posix())
    return 0


def _pairs(texts: list[str], option: str) -> list[tuple[str, str]]:
    """`NAME=VALUE` texts; a name may hold `=` itself, a value may not."""
    pairs = []
    for text in texts:
        name, equals, value = text.rpartition("=")
        if not equals or not name:
            raise fail("bad-option", Place(option), f"expected `NAME=VALUE`, found {shown(text)}")
        pairs.append((name, value))
    return pairs


def _array(path: Path) -> np.ndarray[Any, Any]:
    from io import BytesIO

    import numpy as np

    from hatch_irpytorch.capture.builder import first_line

    data = BytesIO(read_bytes(path, path.as_posix()))
    try:
        array: np.ndarray[Any, Any] = np.load(data, allow_pickle=False)
    except Exception as error:  # headers of .npy and .zip files make NumPy raise many things
        message = f"not a .npy file of numbers: {first_line(error)}"
        raise fail("bad-params", Place(path.as_posix()), message) from None
    if not isinstance(array, np.ndarray):
        raise fail("bad-params", Place(path.as_posix()), "the file holds several arrays")
    return array
