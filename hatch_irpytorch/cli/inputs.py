"""What both doors are told of inputs and outputs on the command line."""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatch_irpytorch.cli.command import positive
from hatch_irpytorch.errors import Place, fail, shown
from hatch_irpytorch.source.reading import read_bytes

if TYPE_CHECKING:
    import numpy as np

_NUMBERS = "biufc"
"""The kinds of dtype that numbers have."""


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """`--tokens`, `--bind` and `--keep-output`."""
    parser.add_argument(
        "--tokens",
        type=positive,
        metavar="VOCABULARY",
        help="the one input holds whole numbers below this, such as ids of tokens",
    )
    parser.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="NAME=FILE.npy",
        help="make an input the constant in a file",
    )
    parser.add_argument(
        "--keep-output",
        action="append",
        default=[],
        metavar="NAME",
        help="an output to keep; default: all",
    )


def pairs(texts: list[str], option: str) -> list[tuple[str, str]]:
    """`NAME=VALUE` texts; a name may hold `=` itself, a value may not."""
    found = []
    for text in texts:
        name, equals, value = text.rpartition("=")
        if not equals or not name:
            raise fail("bad-option", Place(option), f"expected `NAME=VALUE`, found {shown(text)}")
        found.append((name, value))
    return found


def bound(texts: list[str]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of `--bind`."""
    return {name: _array(Path(text)) for name, text in pairs(texts, "--bind")}


def read_shape(text: str, option: str) -> tuple[int, ...]:
    """`1,3,32,32` as a shape; an empty text is that of a scalar."""
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in parts):
        message = f"a shape is natural numbers with commas, found {shown(text)}"
        raise fail("bad-option", Place(option), message)
    return tuple(int(part) for part in parts)


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
