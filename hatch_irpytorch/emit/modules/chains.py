"""Parts of a sequence that are called one after another: the sequence is called instead."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from hatch_irpytorch.emit.modules.expressions import mentions
from hatch_irpytorch.emit.modules.writing import Step
from hatch_irpytorch.ir.ops.code import Call

_ITEM = re.compile(r"(self(?:\.\w+)*)\[(\d+)\]")


def with_sequences(
    steps: Sequence[Step], returned: Sequence[int], numbers: Callable[[str], Sequence[int]]
) -> list[Step]:
    """The steps, those that call all parts of a sequence in a chain as one.

    `numbers` tells for a sequence, as `forward` reaches it, which of its parts compute something.
    """
    uses = Counter(returned)
    for step in steps:
        uses.update(mentions(step.code))
    maker = {step.values[0]: step for step in steps if len(step.values) == 1}
    found = list(steps)
    for step in steps:
        last = _item(step)
        if last is None or last[0] == "self":
            continue
        over, number = last
        wanted = [*numbers(over)]
        if len(wanted) < 2 or wanted[-1] != number:
            continue
        chain = [step]
        for before in reversed(wanted[:-1]):
            (value,) = mentions(chain[0].code)
            earlier = maker.get(value)
            if earlier is None or uses[value] != 1 or _item(earlier) != (over, before):
                break
            chain.insert(0, earlier)
        if len(chain) == len(wanted):
            assert isinstance(chain[0].code, Call)
            whole = Call(over, chain[0].code.arguments)
            place = found.index(step)
            found[place] = replace(step, code=whole, is_numbered=False)
            for part in chain[:-1]:
                found.remove(part)
    return found


def is_chain(steps: Sequence[Step], names: Sequence[str], returned: Sequence[int]) -> bool:
    """Whether steps call all parts of a module, each on what the one before gives."""
    called = [step.code.function for step in steps if isinstance(step.code, Call)]
    if not called or called != [f"self.{name}" for name in names] or len(called) < len(steps):
        return False
    values = [step.values for step in steps]
    read = [tuple(mentions(step.code)) for step in steps]
    single = all(len(v) == 1 for v in (*values, *read))
    return single and values[-1] == tuple(returned) and read[1:] == values[:-1]


def _item(step: Step) -> tuple[str, int] | None:
    """The sequence and the number of the part that a step calls with one argument alone."""
    code = step.code
    if isinstance(code, str) or not isinstance(code.function, str) or len(code.arguments) != 1:
        return None
    match = _ITEM.fullmatch(code.function)
    plain = match is not None and not code.keywords and len(mentions(code)) == 1
    return (match[1], int(match[2])) if match is not None and plain else None
