"""From steps to the lines of a `forward`: what nests in what, and how values are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hatch_irpytorch.emit.layout import flat
from hatch_irpytorch.emit.modules.expressions import breaks, filled, mentions
from hatch_irpytorch.emit.modules.forms import Line, Loop
from hatch_irpytorch.emit.modules.names import Names
from hatch_irpytorch.emit.modules.writing import Step
from hatch_irpytorch.emit.templates import shape_comment
from hatch_irpytorch.ir.ops.code import Call, Code
from hatch_irpytorch.ir.symbolic import SymbolicShape

NESTED = 78
"""How long code with other code nested in it may be."""

WHOLE = 68
"""The same where it fits one line with any target, or none."""

DEEP = 4
"""How many calls stand in each other at most."""


@dataclass(frozen=True)
class _Waiting:
    """A value that has no line yet: its code over the ids of others, and how deep that is."""

    step: Step
    code: Code
    depth: int


class Lines:
    """The lines of one function, written step by step."""

    def __init__(
        self,
        steps: Sequence[Step],
        returned: Sequence[int],
        shapes: Mapping[int, SymbolicShape],
        taken: Iterable[str],
    ) -> None:
        self.steps = steps
        self.shapes = shapes
        self.lines: list[Line] = []
        self.uses = Counter(returned)
        self.roles: dict[int, str] = {}
        self.kept = frozenset(returned)
        for step in steps:
            self.uses.update(_read(step))
            self.roles.update(step.roles)
        self.waiting: dict[int, _Waiting] = {}
        self.names = Names(self.uses, taken)

    def write(self) -> list[Line]:
        for step in self.steps:
            self._write(step)
        return self.lines

    def _write(self, step: Step) -> None:
        read = _read(step)
        nests = self._nests(step)
        inner = [value for value in read if value in self.waiting]
        depth = 1 + max((self.waiting[value].depth for value in inner), default=0)
        code = filled(step.code, _places(step.code) | {v: self.waiting[v].code for v in inner})
        if inner and (step.steps or depth > DEEP or self._is_long(code)):
            for value in inner:
                self._flush(value)
            code, depth = step.code, 1
        for value in inner:
            self.waiting.pop(value, None)
        if nests:
            self.waiting[step.values[0]] = _Waiting(step, code, depth)
        else:
            self._emit(step, code)

    def _nests(self, step: Step) -> bool:
        """Whether the result of a step may stand in the line of the one that reads it."""
        if step.is_numbered or len(step.values) != 1 or step.steps:
            return False
        (value,) = step.values
        return self.uses[value] == 1 and value not in self.kept

    def _is_long(self, code: Code) -> bool:
        shown = {value: self.names.of.get(value, "x") for value in mentions(code)}
        whole = filled(code, shown)
        return len(flat(whole)) > (NESTED if breaks(whole) else WHOLE)

    def _flush(self, value: int) -> None:
        waiting = self.waiting.pop(value)
        self._emit(waiting.step, waiting.code)

    def _emit(self, step: Step, code: Code) -> None:
        first = step.steps[:-1]
        read = mentions(code)
        for part in first:
            read += mentions(part)
        for value in step.values:
            read.pop(value, None)
        shown: dict[int, Code] = {value: self.names.of[value] for value in read}
        targets = []
        ended: Mapping[int, int] = read
        for value in step.values:
            role = self.roles.get(value, "") if self.uses[value] == 1 else ""
            targets.append(self.names.result(value, ended, step.tag, step.hint, role))
            ended = {}
        shown.update({value: self.names.of[value] for value in step.values})
        for part in first:
            self.lines.append(Line(tuple(targets), filled(part, shown)))
        comment = self._comment(step, read)
        self.lines.append(Line(tuple(targets), filled(code, shown), comment))

    def _comment(self, step: Step, read: Counter[int]) -> str:
        """The shape of what is made, where it is none of what it is made of."""
        shapes = [self.shapes[value] for value in step.values]
        known = {self.shapes[value] for value in read if value not in step.values}
        if len(shapes) != 1 or shapes[0] in known:
            return ""
        return shape_comment(shapes[0])


def _read(step: Step) -> Counter[int]:
    read = mentions(step.code)
    for code in step.steps[:-1]:
        read += mentions(code)
    for value in step.values:
        read.pop(value, None)
    return read


def _places(code: Code) -> dict[int, Code]:
    return {value: f"{{{value}}}" for value in mentions(code)}


_NUMBERED = re.compile(r"(self(?:\.\w+)*)\[(\d+)\]")


def with_loops(lines: Sequence[Line], count: Callable[[str], int]) -> list[Line | Loop]:
    """Lines of which calls of numbered parts, alike but for the number, are a loop.

    `count` tells how many parts a sequence has, as `forward` reaches it.
    """
    found: list[Line | Loop] = []
    start = 0
    while start < len(lines):
        end = _run_end(lines, start)
        first = _numbered(lines[start])
        if first is None or end - start == 1:
            found.append(lines[start])
        else:
            found.append(_loop(lines[start], *first, end - start, count(first[0])))
        start = end
    return found


def _loop(line: Line, over: str, first: int, calls: int, count: int) -> Loop:
    """All parts of a sequence, or some of them by their numbers."""
    if calls == count:
        variable = _variable(over)
        return Loop(variable, over, _renamed(line, variable))
    numbers = f"range({first}, {first + calls})" if first else f"range({calls})"
    return Loop("i", numbers, _renamed(line, f"{over}[i]"))


def _run_end(lines: Sequence[Line], start: int) -> int:
    first = _numbered(lines[start])
    if first is None:
        return start + 1
    over, at = first
    wanted = _renamed(lines[start], "part")
    end = start + 1
    while end < len(lines):
        following = _numbered(lines[end])
        if following != (over, at + end - start):
            break
        if _renamed(lines[end], "part") != wanted:
            break
        end += 1
    return end


def _numbered(line: Line) -> tuple[str, int] | None:
    """What a line calls a numbered part of, and the number."""
    if isinstance(line.code, str) or not isinstance(line.code.function, str):
        return None
    match = _NUMBERED.fullmatch(line.code.function)
    return (match[1], int(match[2])) if match else None


def _renamed(line: Line, variable: str) -> Line:
    assert isinstance(line.code, Call)
    return Line(line.targets, Call(variable, line.code.arguments, line.code.keywords), line.comment)


def _variable(over: str) -> str:
    last = over.rpartition(".")[2]
    name = last.removesuffix("s") if last.endswith("s") and len(last) > 2 else "part"
    return name if name not in ("x", "self") else "part"
