"""`irpytorch import-onnx`: an ONNX file as a graph with its parameters and a manifest."""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.cli.capture import add_output, read_shape
from hatch_irpytorch.cli.command import add_patterns, new_command, print_notes
from hatch_irpytorch.errors import Place, fail, shown
from hatch_irpytorch.source.reading import read_bytes

if TYPE_CHECKING:
    import numpy as np

_NUMBERS = "biufc"
"""The kinds of dtype that numbers have."""

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
    add_patterns(parser)
    add_output(parser)


def run(options: argparse.Namespace) -> int:
    from hatch_irpytorch.capture import from_onnx
    from hatch_irpytorch.capture.files import manifest_notes, require_output, write_captured
    from hatch_irpytorch.cli.kinds import told_by_kind
    from hatch_irpytorch.ir.freezing import with_learned
    from hatch_irpytorch.manifest import default_class_name

    output: Path = options.output
    require_output(output, force=options.force)
    shapes = {name: read_shape(text, "--shape") for name, text in _pairs(options.shape, "--shape")}
    bind = {name: _array(Path(text)) for name, text in _pairs(options.bind, "--bind")}
    with told_by_kind(options.file, "import-onnx"):
        model = from_onnx(options.file, shapes=shapes, bind=bind)
    model = with_learned(model, options.freeze, options.learn)
    print_notes(model.notes)
    class_name, force = default_class_name(output.name), options.force
    for path in write_captured(model, output, class_name, "float32", force=force):
        print(path.as_posix())
    print_notes(manifest_notes(model, output, "float32"))
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
    """The array in a `.npy` file, whose size is looked at before it is made."""
    from hatch_irpytorch.ir.npy import read_npy_data, read_npy_header

    place = Place(path.as_posix())
    data = read_bytes(path, place.file)
    stream = BytesIO(data)
    try:
        header = read_npy_header(stream)
        if header.dtype.kind not in _NUMBERS or header.size > len(data) - stream.tell():
            raise ValueError("its data is not what its header says")
        return read_npy_data(stream, header)
    except ValueError as error:
        raise fail("bad-params", place, f"not a .npy file of numbers: {error}") from None
