"""Parts of a sequence that are called one after another: the sequence is called instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from hatch_irpytorch.emit.modules.expressions import mentions
from hatch_irpytorch.emit.modules.writing import Step
from hatch_irpytorch.ir.keys import Path
from hatch_irpytorch.ir.ops.code import Call


def with_sequences(
    steps: Sequence[Step],
    returned: Sequence[int],
    numbers: Callable[[Path], Sequence[int]],
    reached: Callable[[Path], str],
) -> list[Step]:
    """The steps, those that call all parts of a sequence in a chain as one; innermost first.

    `numbers` tells which parts of a sequence compute something, none for any other module, and
    `reached` how `forward` reaches a module.
    """
    found = list(steps)
    while (chain := _chain(found, returned, numbers)) is not None:
        first, last = chain[0], chain[-1]
        assert last.module is not None and isinstance(first.code, Call)
        over = last.module[:-1]
        whole = Call(reached(over), first.code.arguments)
        numbered = over[-1].isdecimal()
        found[found.index(last)] = replace(last, code=whole, module=over, is_numbered=numbered)
        found = [step for step in found if step not in chain[:-1]]
    return found


def _chain(
    steps: Sequence[Step], returned: Sequence[int], numbers: Callable[[Path], Sequence[int]]
) -> list[Step] | None:
    """The steps that call all parts of a sequence, each on what the one before gives alone."""
    uses = Counter(returned)
    for step in steps:
        for code in (step.code, *step.steps[:-1]):
            uses.update(mentions(code))
    maker = {step.values[0]: step for step in steps if len(step.values) == 1}
    for step in steps:
        over = () if step.module is None else step.module[:-1]
        wanted = [(*over, str(number)) for number in numbers(over)]
        if not wanted or step.module != wanted[-1]:
            continue
        chain = [step]
        for before in reversed(wanted[:-1]):
            (value, *others) = mentions(chain[0].code) or (-1,)
            earlier = maker.get(value)
            if others or earlier is None or uses[value] != 1 or earlier.module != before:
                break
            chain.insert(0, earlier)
        if len(chain) == len(wanted):
            return chain
    return None


def is_chain(steps: Sequence[Step], names: Sequence[str], returned: Sequence[int]) -> bool:
    """Whether steps call all parts of a module, each on what the one before gives."""
    called = [step.code.function for step in steps if isinstance(step.code, Call)]
    if not called or called != [f"self.{name}" for name in names] or len(called) < len(steps):
        return False
    values = [step.values for step in steps]
    read = [tuple(mentions(step.code)) for step in steps]
    single = all(len(v) == 1 for v in (*values, *read))
    return single and values[-1] == tuple(returned) and read[1:] == values[:-1]
