"""JSON values into the typed fields of an op, and numbers into arrays."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from itertools import chain
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

import numpy as np

from hatch_irpytorch.errors import Place, Problems, nearest, shown
from hatch_irpytorch.ir.graph import Shape, numel, shape_text
from hatch_irpytorch.ir.ops import OPS, Mask, Op
from hatch_irpytorch.source.number_text import NumberText

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MAX_EXTENT = 2**63 - 1
MAX_RANK = 32
"""How many axes every version of NumPy can hold."""


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


def items(value: object) -> object:
    """The items of a long array as a list; any other value as it is."""
    if not isinstance(value, NumberText):
        return value
    try:
        return value.to_list()
    except ValueError:
        raise ValueFormError("an array of JSON numbers", "something else in it") from None


def nats(value: object) -> tuple[int, ...]:
    value = items(value)
    if type(value) is not list:
        raise ValueFormError("an array of natural numbers", shown(value))
    if value and set(map(type, value)) == {int} and min(value) >= 0:
        return tuple(value)
    return tuple(nat(item) for item in value)


def shape(value: object) -> Shape:
    """A shape: natural numbers that torch and NumPy can hold as extents."""
    extents = nats(value)
    if any(extent > MAX_EXTENT for extent in extents):
        raise ValueFormError("extents below 2**63", shown(max(extents)))
    if len(extents) > MAX_RANK:
        raise ValueFormError(f"at most {MAX_RANK} extents", str(len(extents)))
    return extents


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


def mask(value: object) -> Mask:
    """torchlean.ir.v1: 2.6, `{"shape": [...], "allowed": [...]}`."""
    if type(value) is not dict or set(value) != {"shape", "allowed"}:
        raise ValueFormError("an object with `shape` and `allowed`", shown(value))
    allowed = items(value["allowed"])
    if type(allowed) is not list:
        raise ValueFormError("`allowed` as an array of booleans", shown(allowed))
    return Mask(shape(value["shape"]), tuple(boolean(item) for item in allowed))


_DECODERS: dict[object, Any] = {
    int: nat,
    bool: boolean,
    float: number,
    tuple[int, ...]: nats,
    Mask: mask,
}


def _attribute_types(op: type[Op]) -> dict[str, tuple[object, bool]]:
    """The JSON attributes of an op: name to (type, required)."""
    hints = get_type_hints(op)
    result: dict[str, tuple[object, bool]] = {}
    for field in fields(op):  # type: ignore[arg-type]
        if field.name not in op.from_node:
            hint = hints[field.name]
            kinds = [kind for kind in get_args(hint) if kind is not type(None)]
            optional = field.default is not MISSING
            result[field.name] = (kinds[0] if optional else hint, not optional)
    return result


ATTRIBUTES = {op.tag: _attribute_types(op) for op in OPS}
"""The JSON attributes of every op: name to (type, required)."""


WITHOUT_ATTRIBUTES = {op.tag: op() for op in OPS if not ATTRIBUTES[op.tag] and not op.from_node}
"""The ops that are the same wherever they stand."""


def decode_fields(
    wanted: dict[str, tuple[object, bool]],
    values: dict[str, object],
    place: Place,
    problems: Problems,
) -> dict[str, Any] | None:
    """The attributes named in `wanted`, or None when one is missing or ill-typed."""
    decoded: dict[str, Any] = {}
    sound = True
    for name, (kind, required) in wanted.items():
        if name not in values:
            if required:
                sound = False
                close = nearest(name, set(values) - set(wanted))
                hint = close.replace("did you mean", "found") if close else ""
                problems.add("bad-attribute", place, f"`{name}` is missing", hint.rstrip("?"))
            continue
        try:
            decoded[name] = _DECODERS[kind](values[name])
        except ValueFormError as problem:
            sound = False
            problems.mismatch("bad-attribute", place, name, problem.expected, problem.found)
    return decoded if sound else None


def decode_op(
    op: type[Op],
    values: dict[str, object],
    node: dict[str, object],
    place: Place,
    problems: Problems,
) -> Op | None:
    """An op from its JSON attributes and from what `from_node` takes of the node itself."""
    decoded = decode_fields(ATTRIBUTES[op.tag], values, place, problems)
    if decoded is None:
        return None
    return op(**decoded, **{name: node[name] for name in op.from_node})


def tensor(value: object, expected: Shape, flat: bool = False) -> Array:
    """Nested arrays of numbers with exactly the shape `expected`, or one flat array of them; what
    is an array of that shape already is returned as it is.

    Raises `ValueFormError` that says where the nesting or a number is wrong.
    """
    levels = (numel(expected),) if flat else expected
    if isinstance(value, NumberText):
        return _long_tensor(value, levels, expected)
    if isinstance(value, np.ndarray):
        if value.shape in (levels, expected):
            return value.reshape(expected)
        value = value.tolist()
    try:
        result = np.array(_entries(value, expected, flat), dtype=np.float64).reshape(expected)
    except OverflowError:
        raise ValueFormError("numbers within the range of binary64", "a larger one") from None
    if not np.isfinite(result).all():
        raise ValueFormError("numbers within the range of binary64", "a larger one")
    return result


def _entries(value: object, expected: Shape, flat: bool) -> list[float]:
    """The numbers of nested arrays in row-major order. Raises `ValueFormError`."""
    rows = flat_items(value, expected, flat)
    if rows is None or not are_numbers(rows):
        rows = []
        levels = (numel(expected),) if flat else expected
        _collect(value, levels, "", rows)
    return rows


def flat_items(value: object, expected: Shape, flat: bool) -> list[Any] | None:
    """What nested arrays of these extents hold, in row-major order; None for other extents."""
    levels = (numel(expected),) if flat else expected
    if not levels:
        return [value]
    if type(value) is not list or len(value) != levels[0]:
        return None
    rows: list[Any] = value
    for extent in levels[1:]:
        if set(map(type, rows)) != {list} or set(map(len, rows)) != {extent}:
            return None
        rows = list(chain.from_iterable(rows))
    return rows


def are_numbers(items: list[Any]) -> bool:
    """Whether JSON wrote all of these as numbers."""
    types = list(map(type, items))
    return types.count(float) == len(types) or _NUMBERS.issuperset(types)


def _long_tensor(value: NumberText, levels: Shape, expected: Shape) -> Array:
    try:
        result = value.array(levels)
    except (ValueError, OverflowError):
        message = "JSON numbers within the range of binary64"
        raise ValueFormError(message, "something else among them") from None
    if result is None:
        found = f"one that begins like {shape_text(value.shape())}"
        raise ValueFormError(f"an array of {shape_text(levels)}", found)
    if not np.isfinite(result).all():
        raise ValueFormError("numbers within the range of binary64", "a larger one")
    return result.reshape(expected)


_NUMBERS = frozenset({int, float})


def _collect(value: object, levels: Shape, where: str, rows: list[float]) -> None:
    if not levels:
        if type(value) not in _NUMBERS:
            raise ValueFormError(f"a number{where}", shown(value))
        rows.append(cast("float", value))
        return
    expected = f"an array of {levels[0]}{where}" if where else f"an array of {levels[0]}"
    if type(value) is not list:
        raise ValueFormError(expected, shown(value))
    if len(value) != levels[0]:
        raise ValueFormError(expected, f"one of {len(value)}")
    if len(levels) > 1:
        for index, item in enumerate(value):
            _collect(item, levels[1:], f" at {_deeper(where, index)}", rows)
        return
    if not _NUMBERS.issuperset(map(type, value)):
        index = next(i for i, item in enumerate(value) if type(item) not in _NUMBERS)
        raise ValueFormError(f"a number at {_deeper(where, index)}", shown(value[index]))
    rows.extend(value)


def _deeper(where: str, index: int) -> str:
    return f"{where.removeprefix(' at ')}[{index}]"


def describe_tensor(expected: Shape, flat: bool) -> str:
    """How a payload field is expected to look in JSON."""
    if flat:
        return f"a flat array of {numel(expected)} numbers"
    return f"numbers of shape {shape_text(expected)}"
