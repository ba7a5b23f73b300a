"""JSON values as the attributes of a node: what is wrong with them is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from hatch_irpytorch.errors import Place, Problems, nearest, shown
from hatch_irpytorch.ir.kinds import Attribute
from hatch_irpytorch.ir.ops import Mask
from hatch_irpytorch.ir.ops.learned import LearnedArrays
from hatch_irpytorch.ir.shapes import MAX_EXTENT, MAX_RANK, Shape


class ValueFormError(Exception):
    """A value has the wrong type: what was expected, what was found."""

    def __init__(self, expected: str, found: str) -> None:
        self.expected = expected
        self.found = found
        super().__init__(f"expected {expected}, found {found}")


def nat(value: object) -> int:
    """A natural number: an integer literal without sign, fraction or exponent."""
    if type(value) is not int or value < 0:
        raise ValueFormError("a natural number", shown(value))
    return value


def nats(value: object) -> tuple[int, ...]:
    if type(value) is not list:
        raise ValueFormError("an array of natural numbers", shown(value))
    return tuple(nat(item) for item in value)


def shape(value: object) -> Shape:
    """A shape: natural numbers that torch and NumPy can hold as extents."""
    extents = nats(value)
    if any(extent > MAX_EXTENT for extent in extents):
        raise ValueFormError("extents below 2**63", shown(max(extents)))
    if len(extents) > MAX_RANK:
        raise ValueFormError(f"at most {MAX_RANK} extents", str(len(extents)))
    return extents


def shapes(value: object) -> tuple[Shape, ...]:
    if type(value) is not list:
        raise ValueFormError("an array of shapes", shown(value))
    return tuple(shape(entry) for entry in value)


def boolean(value: object) -> bool:
    if type(value) is not bool:
        raise ValueFormError("`true` or `false`", shown(value))
    return value


def number(value: object) -> float:
    """A finite binary64 number."""
    if type(value) is not int and type(value) is not float:
        raise ValueFormError("a number", shown(value))
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueFormError("a number within the range of binary64", shown(value))
    return result


def texts(value: object) -> dict[str, str]:
    """An object of texts, such as the keys of a state dict by payload field."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueFormError("an object of texts", shown(value))
    return dict(value)


def mask(value: object) -> Mask:
    """torchlean.ir.v1: 2.6, `{"shape": [...], "allowed": [...]}`."""
    if not isinstance(value, dict) or set(value) != {"shape", "allowed"}:
        raise ValueFormError("an object with `shape` and `allowed`", shown(value))
    allowed = value["allowed"]
    if type(allowed) is not list:
        raise ValueFormError("`allowed` as an array of booleans", shown(allowed))
    return Mask(shape(value["shape"]), tuple(boolean(item) for item in allowed))


def learned(kind: type[LearnedArrays], value: object) -> LearnedArrays:
    """torchlean.ir.v1: 7.9, `{"bias": false}`."""
    names = ", ".join(f"`{name}`" for name in kind().names())
    if not isinstance(value, dict) or not set(value) <= {*kind().names()}:
        raise ValueFormError(f"an object whose keys are among {names}", shown(value))
    return kind(**{name: boolean(flag) for name, flag in value.items()})


_READERS: dict[object, Any] = {
    int: nat,
    bool: boolean,
    float: number,
    tuple[int, ...]: nats,
    Mask: mask,
    **{kind: partial(learned, kind) for kind in LearnedArrays.__subclasses__()},
}


def read_attributes(
    wanted: Mapping[str, Attribute],
    values: Mapping[str, object],
    place: Place,
    problems: Problems,
) -> dict[str, Any] | None:
    """The attributes that a node gives, or None when one is missing or ill-typed."""
    found: dict[str, Any] = {}
    before = len(problems)
    for name, attribute in wanted.items():
        if name in values:
            try:
                found[name] = _READERS[attribute.type](values[name])
            except ValueFormError as problem:
                problems.mismatch("bad-attribute", place, name, problem.expected, problem.found)
        elif attribute.required:
            close = nearest(name, set(values) - set(wanted))
            hint = close.replace("did you mean", "found") if close else ""
            problems.add("bad-attribute", place, f"`{name}` is missing", hint.rstrip("?"))
    return found if len(problems) == before else None
