"""Golden files: inputs and outputs of a model as the NumPy reference computes them.

They stand in the repository, so that a check compares torch with something torch did not compute.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hatch_irpytorch.build.content import digest, same_text
from hatch_irpytorch.build.files import folder_names, output_bytes
from hatch_irpytorch.build.outputs import Difference
from hatch_irpytorch.build.ownership import is_regular
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem, fail
from hatch_irpytorch.ir.graph import Model
from hatch_irpytorch.ir.ops.sources import draw_key, draws
from hatch_irpytorch.ir.reference import evaluate
from hatch_irpytorch.ir.shapes import Shape, numel
from hatch_irpytorch.names import import_name_problem
from hatch_irpytorch.source.json_text import parse_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

FOLDER = "tests/golden"
FORMAT = "irpytorch.golden.v1"

WRITTEN = "written"
"""A field of the root: the digest of the text without this field, as it was written."""

_WRITTEN = re.compile(rb', "written": "(sha256:[0-9a-f]{64})"(\}\r?\n)\Z')
SAME = 1e-9
"""Outputs this close are the same: NumPy sums in another order on another machine."""

_VALUES_PER_LINE = 5
_CASES = 3
_LARGE = 1000
_NOT_FINITE = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}
_ENDING = ".json"
_OURS = re.compile(rb'\s*\{\s*"format"\s*:\s*"' + re.escape(FORMAT.encode()) + rb'"')


@dataclass(frozen=True)
class GoldenCase:
    """One input and the outputs of the graph for it, all float64."""

    input: Array
    outputs: tuple[Array, ...]


def golden_path(module: str) -> str:
    return f"{FOLDER}/{module}{_ENDING}"


def golden_input(shape: Shape, seed: int, positive: bool, integers: int | None = None) -> Array:
    """Multiples of 1/64 in [-2, 2), or in (0, 2]: every dtype holds them exactly.

    With `integers` whole numbers below it, from 0, or from 1 where there is another.
    """
    drawn = draws(draw_key(seed, 0), shape)
    if integers is not None:
        first = int(positive and integers > 1)
        return first + np.minimum(
            np.floor(drawn * (integers - first) / 2**32), integers - first - 1
        )
    u = np.floor(drawn / 2**25)
    return (u + 1.0) / 64.0 if positive else u / 32.0 - 2.0


def make_golden(model: Model) -> tuple[GoldenCase, ...]:
    """The golden cases of a model; none when no trial input lies in the domain of its `log`s."""
    shape, integers = model.graph.input_shape, model.graph.integers
    count = _CASES if numel(shape) <= _LARGE else 1
    for positive in (False, True):
        inputs = [golden_input(shape, seed, positive, integers) for seed in range(count)]
        try:
            return tuple(GoldenCase(x, evaluate(model, x)) for x in inputs)
        except IRPyTorchError as error:
            if any(problem.code != "domain" for problem in error.problems):
                raise
    return ()


def golden_note(module: str) -> Problem:
    message = "no trial input lies where every `log` of the graph is defined: the file has no case"
    return Problem("domain", Place(golden_path(module)), message)


def encode_golden(cases: Iterable[GoldenCase]) -> bytes:
    """JSON text with a few values a line, always the same for the same numbers."""
    texts = []
    for case in cases:
        outputs = ",\n".join(_tensor_text(output) for output in case.outputs)
        texts.append(f'{{"input":\n{_tensor_text(case.input)},\n"outputs": [\n{outputs}\n]}}')
    listed = ",\n".join(texts)
    whole = f'{{"format": "{FORMAT}", "cases": [\n{listed}\n]}}\n'.encode("ascii")
    return whole[:-2] + f', "{WRITTEN}": "{digest(whole)}"}}\n'.encode("ascii")


def is_as_written(data: bytes) -> bool:
    """Whether a golden file is as we wrote it: the digest in it is that of the rest."""
    found = _WRITTEN.search(data)
    return found is not None and digest(_unmarked(data)).encode("ascii") == found[1]


def _unmarked(data: bytes) -> bytes:
    return _WRITTEN.sub(rb"\2", data)


def _tensor_text(array: Array) -> str:
    values = [_value_text(value) for value in array.reshape(-1).tolist()]
    rows = range(0, len(values), _VALUES_PER_LINE)
    lines = ",\n".join("  " + ", ".join(values[row : row + _VALUES_PER_LINE]) for row in rows)
    return f'{{"shape": {list(array.shape)}, "values": [\n{lines}\n]}}'


def _value_text(value: float) -> str:
    return repr(value) if math.isfinite(value) else json.dumps(repr(value))


def read_golden(data: bytes, file: str) -> tuple[GoldenCase, ...]:
    """The cases in a golden file. Raises `bad-golden`, `bad-json`."""
    value = parse_json(data, file)
    try:
        if not isinstance(value, dict) or value["format"] != FORMAT:
            raise ValueError
        if not isinstance(value["cases"], list):
            raise ValueError
        return tuple(
            GoldenCase(
                _read_tensor(case["input"]), tuple(_read_tensor(out) for out in case["outputs"])
            )
            for case in value["cases"]
        )
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
        message = f"the file is not a golden file of the format `{FORMAT}`"
        raise fail("bad-golden", Place(file), message, "run `irpytorch regen`") from None


def _read_tensor(value: dict[str, list[object]]) -> Array:
    shape, values = value["shape"], value["values"]
    numbers = [_NOT_FINITE[v] if isinstance(v, str) else v for v in values]
    if any(type(extent) is not int or extent < 0 for extent in shape):
        raise ValueError
    if any(type(number) not in (int, float) for number in numbers):
        raise ValueError
    return np.array(numbers, dtype=np.float64).reshape(shape)  # type: ignore[arg-type]


class GoldenFile(NamedTuple):
    """What a golden file has to hold, and how many cases that is."""

    data: bytes
    cases: int


def golden_file(root: Path, module: str, cases: tuple[GoldenCase, ...]) -> GoldenFile:
    """The golden file of a module: its present bytes when they say the same numbers."""
    path = golden_path(module)
    before = output_bytes(root, path)
    if before is not None:
        try:
            found = read_golden(before, path)
            if not cases_difference(found, cases):
                marked = encode_golden(found)
                is_unmarked = same_text(before, _unmarked(marked))
                return GoldenFile(marked if is_unmarked else before, len(cases))
        except IRPyTorchError:
            pass
    return GoldenFile(encode_golden(cases), len(cases))


def cases_difference(found: tuple[GoldenCase, ...], wanted: tuple[GoldenCase, ...]) -> str:
    """What first tells golden cases from those that a model gives; nothing when it is rounding."""
    if len(found) != len(wanted):
        return f"the file has {len(found)} cases, the model gives {len(wanted)}"
    for number, (one, two) in enumerate(zip(found, wanted, strict=True)):
        if not np.array_equal(one.input, two.input):
            return f"case {number} has another input than the model is given"
        if [y.shape for y in one.outputs] != [y.shape for y in two.outputs]:
            return f"case {number} has outputs of other shapes than the model gives"
        for position, (x, y) in enumerate(zip(one.outputs, two.outputs, strict=True)):
            same = np.isclose(x, y, rtol=SAME, atol=SAME, equal_nan=True)
            if not same.all():
                index = tuple(int(i) for i in np.argwhere(~same)[0])
                place = f"case {number}: output {position} at {index}"
                return f"{place} is {x[index]}, the model gives {y[index]}"
    return ""


def golden_differences(root: Path, wanted: Mapping[str, bytes], prune: bool) -> list[Difference]:
    """The golden files to write, by module, and with `prune` those of no manifest.

    A file is ours when it is a regular one with the name of a module and our format. It is removed
    only when it is as we wrote it: those have a `before`.
    Raises `not-ours` for another one in the place of a golden file.
    """
    found = []
    problems = []
    for module, after in sorted(wanted.items()):
        path = golden_path(module)
        before = output_bytes(root, path)
        if before is not None and not _is_ours(before):
            message = "a file that is not a golden file stands where one belongs"
            problems.append(Problem("not-ours", Place(path), message, "move it away"))
        elif before != after:
            found.append(Difference(path, "stale" if before else "missing", before, after))
    if problems:
        raise IRPyTorchError(problems)
    for name in folder_names(root, FOLDER) if prune else ():
        module = name.removesuffix(_ENDING)
        named = name.endswith(_ENDING) and not import_name_problem(module)
        if module in wanted or not named or not is_regular(root / FOLDER / name):
            continue
        data = output_bytes(root, golden_path(module))
        if data is not None and _is_ours(data):
            before = data if is_as_written(data) else None
            found.append(Difference(golden_path(module), "orphaned", before))
    return found


def _is_ours(data: bytes) -> bool:
    """By the format, which stands first: so a file that was cut or merged badly is ours too."""
    return _OURS.match(data) is not None
