"""The parts of docs/coverage.md that tell what became of the zoo: by what networks are given."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peers.tally import WRONG
from peers.zoo.check import DOORS
from peers.zoo.criterion import FACTOR, UNITS


@dataclass(frozen=True)
class Part:
    """The heading of a part, what its networks are given, and whether that is ids."""

    title: str
    given: str
    ids: bool


PARTS = (
    Part(
        "Networks of torchvision, timm, transformers and torch.nn",
        "one input of real numbers (a text as embeddings)",
        ids=False,
    ),
    Part("Networks of text that are given ids", "one text as ids of tokens", ids=True),
)

_SHOWN = 12
_NOTE = """\
Written by `nox -s zoo`, with {versions}.
Random weights, {given}, small sizes. A network is right
when the generated module in float32 is at most {factor} times as far from the original in float64
as the original in float32 is, and {units} units in the last place of the largest entry; the
share is the part of that which is used, the error is relative to the largest entry.

| door | right | median share | largest share | median error | largest error |
| --- | --- | --- | --- | --- | --- |
"""

Record = Mapping[str, Any]


def text_of(part: Part, records: Sequence[Record], versions: str) -> str:
    """A part with its heading: a line for each door, then what is not right, with reasons."""
    made = [record for record in records if "failed" not in record]
    text = _NOTE.format(versions=versions, given=part.given, factor=FACTOR, units=UNITS)
    text += "".join(f"{_line(door, made)}\n" for door in DOORS)
    for door in DOORS:
        text += _reasons(door, made)
    if len(made) < len(records):
        names = _names([record["name"] for record in records if "failed" in record])
        text += f"\nNot made, or not run by torch itself: {names}.\n"
    return f"## {part.title}\n\n{text}"


def _line(door: str, records: Sequence[Record]) -> str:
    found = [record[door] for record in records if door in record]
    right = [outcome for outcome in found if outcome.get("right")]
    figures = " | | | | |"
    if right:
        shares = sorted(outcome["share"] for outcome in right)
        errors = sorted(outcome["relative"] for outcome in right)
        middle = len(right) // 2
        figures = f" | {shares[middle]:.2f} | {shares[-1]:.2f}"
        figures += f" | {errors[middle]:.1e} | {errors[-1]:.1e} |"
    return f"| `{door}` | {len(right)} of {len(found)}{figures}"


def _reasons(door: str, records: Sequence[Record]) -> str:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for record in records:
        for reason in dict.fromkeys(reasons(record, door)):
            groups[reason].append(record["name"])
    if not groups:
        return ""
    lines = [
        f"\n| `{door}`: what is not right | networks | which |",
        "| --- | --- | --- |",
    ]
    for reason, names in sorted(groups.items(), key=lambda group: -len(group[1])):
        lines.append(f"| {reason.replace('|', '/')} | {len(names)} | {_names(names)} |")
    return "\n".join(lines) + "\n"


def reasons(record: Record, door: str) -> list[str]:
    """Why a network is not right at a door; nothing where it is."""
    outcome = record.get(door)
    if outcome is None or outcome.get("right"):
        return []
    stage = outcome["stage"]
    if stage == "refused" and outcome.get("onnxruntime") is False:
        return ["ONNX Runtime refuses the file of `torch.onnx.export` as well"]
    if stage == "refused":
        return [_general(message) for message in outcome["problems"]]
    if stage == "done":
        return [f"{WRONG}: {outcome['why'] or 'the error is larger than allowed'}"]
    said = outcome.get("error") or record.get("ended", "ended")
    return [f"{stage}: {said}"]


def _general(message: str) -> str:
    """A message without the name of the node and without numbers, so that equal ones meet."""
    message = re.sub(r"^`[^`]*`: ", "", message).replace(" has no form in torchlean.ir.v1", "")
    return re.sub(r"\d[\d,.]*", "…", message)[:140]


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
