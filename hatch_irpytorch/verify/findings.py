"""What a worker's answer says of a module: its import, its run as a program, its numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hatch_irpytorch.build.golden import GoldenCase
from hatch_irpytorch.errors import Place, Problem
from hatch_irpytorch.ir.shapes import numel
from hatch_irpytorch.verify.numbers import Limits, Output, Outputs, differences
from hatch_irpytorch.verify.worker import Header, Message, last_line

_STEP = re.compile(r"step \d+: loss (\S+)")


class Run(NamedTuple):
    """Cases that a module has to reproduce, how closely, and what to say where it does not.

    One that `may_refuse` a case is wrong only where it answers.
    """

    code: str
    cases: tuple[GoldenCase, ...]
    limits: Limits
    hint: str = ""
    may_refuse: bool = False


def request_inputs(runs: Sequence[Run]) -> tuple[Header, bytes]:
    """The part of a request that says what a module is run on."""
    inputs = [case.input for run in runs for case in run.cases]
    header = {
        "runs": [[run.limits.dtype, len(run.cases)] for run in runs],
        "inputs": [list(x.shape) for x in inputs],
    }
    return header, b"".join(x.astype("<f8").tobytes() for x in inputs)


def problems_of(answer: Message, name: str, file: str, runs: Sequence[Run]) -> list[Problem]:
    """The findings of an answer for the module `name`, whose path is `file`."""
    header, data = answer
    imported = header["import"]
    if imported["error"]:
        message = f"importing `{name}` failed: {imported['error']}"
        return [Problem("import-failed", Place(file), message)]
    if imported["printed"]:
        message = f"importing `{name}` printed: {last_line(imported['printed'])}"
        return [Problem("import-failed", Place(file), message)]
    found = []
    if "smoke" in header:
        message = smoke_problem(name, header["smoke"])
        if message:
            found.append(Problem("smoke-failed", Place(file), message))
    outputs = _outputs(header["runs"], data)
    for run in runs:
        pairs = [(next(outputs), case) for case in run.cases]
        if run.may_refuse:
            pairs = [pair for pair in pairs if not isinstance(pair[0], str)]
        returned, cases = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        for message in differences(returned, cases, run.limits):
            found.append(Problem(run.code, Place(file), message, run.hint))
    return found


def smoke_problem(name: str, smoke: Header) -> str:
    """What is wrong with a run as a program: it prints losses that do not rise."""
    if smoke["error"]:
        return f"`python -m {name}` failed: {smoke['error']}"
    losses = [_number(text) for text in _STEP.findall(smoke["printed"])]
    if len(losses) < 2:
        return f"`python -m {name}` printed no losses: {last_line(smoke['printed'])}"
    if not all(map(math.isfinite, losses)):
        return f"`python -m {name}` printed a loss that is not finite: {losses}"
    if losses[-1] > losses[0]:
        return f"the loss rises from {losses[0]} to {losses[-1]}"
    return ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _outputs(runs: list[list[tuple[str, list[int]]] | str], data: bytes) -> Iterator[Outputs]:
    at = 0
    for outputs in runs:
        if isinstance(outputs, str):
            yield outputs
            continue
        tensors = []
        for dtype, shape in outputs:
            count = numel(tuple(shape))
            values = np.frombuffer(data, "<f8", count, at) if count else np.zeros(0)
            tensors.append(Output(dtype, values.reshape(shape)))
            at += 8 * count
        yield tuple(tensors)
