"""Code with other code in the places of its names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from hatch_irpytorch.emit.layout import flat
from hatch_irpytorch.ir.ops.code import Call, Code

_PLACE = re.compile(r"\{(\d+)\}")
_INDEXED = re.compile(r"[\w.{}]+\[[^\[\]]*\]")
_SUM = re.compile(r" [+-] ")


def mentions(code: Code) -> Counter[int]:
    """How often each place stands in code."""
    return Counter(map(int, _PLACE.findall(_text(code))))


def _text(code: Code) -> str:
    if isinstance(code, str):
        return code
    function = code.function if isinstance(code.function, str) else ""
    inner = [*code.arguments, *(value for _, value in code.keywords)]
    return " ".join([function, *map(_text, inner)])


def filled(code: Code, given: Mapping[int, Code]) -> Code:
    """Code with what is given in its places; an operand is put in brackets where it needs them."""
    if isinstance(code, str):
        alone = _PLACE.fullmatch(code)
        return given[int(alone[1])] if alone else _within(code, given)
    function = code.function
    if isinstance(function, str):
        function = _within(function, given)
    arguments = tuple(filled(argument, given) for argument in code.arguments)
    keywords = tuple((name, filled(value, given)) for name, value in code.keywords)
    return Call(function, arguments, keywords)


def _within(text: str, given: Mapping[int, Code]) -> str:
    """Text with operands in its places."""

    def operand(match: re.Match[str]) -> str:
        code = given[int(match[1])]
        shown = flat(code)
        if not isinstance(code, str) or " " not in shown or _INDEXED.fullmatch(shown):
            return shown
        before, after = text[: match.start()].rstrip(), text[match.end() :].lstrip()
        first = not before and (not after or after[0] in "+-")
        is_term = before.endswith(("+", "-")) and not after and not _SUM.search(shown)
        return shown if first or is_term else f"({shown})"

    return _PLACE.sub(operand, text)


def breaks(code: Code) -> bool:
    """Whether the layout may break code where the formatter does: calls within text stay whole."""
    if isinstance(code, str):
        return False
    named = code.function if isinstance(code.function, str) else ""
    inner = [*code.arguments, *(value for _, value in code.keywords)]
    whole = any("(" in text for text in (named, *(part for part in inner if type(part) is str)))
    return not whole and all(breaks(part) for part in inner if not isinstance(part, str))


def joined(steps: tuple[Code, ...]) -> Code | None:
    """Steps that each rebind a result as one expression; None where one mentions it again."""
    whole = steps[0]
    for step in steps[1:]:
        if mentions(step)[0] != 1:
            return None
        places = {place: f"{{{place}}}" for place in mentions(step)}
        whole = filled(step, {**places, 0: whole})
    return whole
