"""The keys of a manifest: how each is read, what it is for, and the schema made of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hatch_irpytorch.emit.options import (
    BATCHES,
    DTYPES,
    LAYOUTS,
    WEIGHTS,
    EmitOptions,
    class_name_problem,
    normal_dtype,
)
from hatch_irpytorch.names import import_name_problem
from hatch_irpytorch.source.yaml_text import Scalar, Sequence, Value


class WrongValueError(Exception):
    """A value is not what its key takes."""

    def __init__(self, expected: str, hint: str = "") -> None:
        self.expected = expected
        self.hint = hint
        super().__init__(expected)


# YAML 1.1 reads these plain words as something else than text.
_NOT_TEXT = re.compile(
    r"(?i:yes|no|on|off|true|false|y|n|null|~|)|[-+]?[\d_]+(\.[\d_]*)?([eE]\S*)?"
)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def _text(value: Scalar) -> str:
    if not value.quoted and _NOT_TEXT.fullmatch(value.text):
        raise WrongValueError("text", "YAML reads this word as something else; put it in quotes")
    if not value.text:
        raise WrongValueError("text")
    return value.text


def _boolean(value: Scalar) -> bool:
    if value.quoted or value.text not in ("true", "false"):
        yes = value.text.lower() in ("yes", "no", "on", "off", "true", "false")
        raise WrongValueError(
            "`true` or `false`", "write it in lower case, unquoted" if yes else ""
        )
    return value.text == "true"


def _number(value: Scalar) -> float:
    if value.quoted or not _NUMBER.fullmatch(value.text):
        raise WrongValueError("a number that is not negative, such as `1.0e-5`")
    number = float(value.text)
    if not math.isfinite(number) or number < 0:
        raise WrongValueError("a number that is not negative, such as `1.0e-5`")
    return number


def _natural(value: Scalar) -> int:
    if value.quoted or not value.text.isascii() or not value.text.isdecimal():
        raise WrongValueError("a natural number, such as `1000000`")
    if len(value.text) > 18:
        raise WrongValueError("a natural number of at most 18 digits")
    return int(value.text)


def _class_name(value: Scalar) -> str:
    problem = class_name_problem(_text(value))
    if problem:
        raise WrongValueError("a class name", problem)
    return value.text


def _dtype(value: Scalar) -> str:
    dtype = normal_dtype(_text(value))
    if dtype is None:
        raise WrongValueError(f"one of {', '.join(f'`{name}`' for name in DTYPES)}")
    return dtype


def _weights(value: Scalar) -> str:
    if _text(value) not in WEIGHTS:
        raise WrongValueError(f"one of {', '.join(f'`{name}`' for name in WEIGHTS)}")
    return value.text


def _layout(value: Scalar) -> str:
    if _text(value) not in LAYOUTS:
        raise WrongValueError(f"one of {', '.join(f'`{name}`' for name in LAYOUTS)}")
    return value.text


def _batch(value: Scalar) -> str:
    if _text(value) not in BATCHES:
        raise WrongValueError(f"one of {', '.join(f'`{name}`' for name in BATCHES)}")
    return value.text


_NATURALS = "a list of natural numbers, such as `[2, 3]`"
_PATTERNS = 'a list of patterns, such as `["layer1.*", "linear_3_W"]`'


def _naturals(items: tuple[Value, ...]) -> tuple[int, ...]:
    scalars = [item for item in items if isinstance(item, Scalar)]
    if len(scalars) < len(items):
        raise WrongValueError(_NATURALS)
    return tuple(map(_natural, scalars))


def _patterns(items: tuple[Value, ...]) -> tuple[str, ...]:
    scalars = [item for item in items if isinstance(item, Scalar)]
    if len(scalars) < len(items):
        raise WrongValueError(_PATTERNS)
    return tuple(map(_text, scalars))


def _module(value: Scalar) -> str:
    problem = import_name_problem(_text(value))
    if problem:
        raise WrongValueError("a module name", problem)
    return value.text


@dataclass(frozen=True)
class Field:
    """One key of a manifest: how it is read and what it is for.

    A list is read by `read_list`, and `list_form` says how one looks.
    """

    name: str
    read: Callable[[Scalar], Any] | None
    schema: dict[str, Any]
    doc: str
    read_list: Callable[[tuple[Value, ...]], Any] | None = None
    list_form: str = ""


def _patterns_option(name: str, doc: str) -> Field:
    """A key below `emit` that takes a list of patterns."""
    schema = {"type": "array", "items": {**_STRING, "minLength": 1}, "default": []}
    return Field(name, None, schema, doc, _patterns, _PATTERNS)


def _option(name: str, read: Callable[[Scalar], Any], schema: dict[str, Any], doc: str) -> Field:
    """A key below `emit`, with the default of `EmitOptions`."""
    return Field(name, read, {**schema, "default": getattr(EmitOptions, name)}, doc)


_STRING = {"type": "string"}
_FLAG = {"type": "boolean"}
_NATURAL = {"type": "integer", "minimum": 0}

FIELDS: tuple[Field, ...] = (
    Field("ir", _text, _STRING, "the graph, relative to this file"),
    Field("params", _text, _STRING, "the ParamStore; without it the payload is in `ir`"),
    Field("module", _module, _STRING, "the module; default: the manifest's own name"),
    Field(
        "output_ids",
        None,
        {"type": "array", "items": _NATURAL, "minItems": 1},
        "tensor nodes whose values are returned; default: the outputs of the graph",
        _naturals,
        _NATURALS,
    ),
)
EMIT_FIELDS: tuple[Field, ...] = (
    Field("class_name", _class_name, _STRING, "default: the module in CamelCase"),
    _option(
        "layout",
        _layout,
        {"enum": list(LAYOUTS)},
        "`graph`: a line for each node; `modules`: the classes that a person would write",
    ),
    _option(
        "dtype",
        _dtype,
        {"enum": [*DTYPES, *(f"torch.{name}" for name in DTYPES)]},
        "the dtype of parameters and buffers",
    ),
    _option(
        "training_skeleton",
        _boolean,
        _FLAG,
        "add `make_optimizer`, `train_step` and a run as a program",
    ),
    _option("learnable_consts", _boolean, _FLAG, "consts that are not uniform become parameters"),
    _option(
        "compress_broadcast_params",
        _boolean,
        _FLAG,
        "learnable 2-D consts with equal rows become one vector",
    ),
    _option(
        "weights",
        _weights,
        {"enum": list(WEIGHTS)},
        "numbers in the source, or in a `.safetensors` file beside it",
    ),
    _option(
        "inline_limit",
        _natural,
        _NATURAL,
        "how many numbers the source may hold",
    ),
    _option(
        "fuse",
        _boolean,
        _FLAG,
        "one call of PyTorch for several nodes, where it has one: faster, equal to rounding",
    ),
    _option(
        "batch",
        _batch,
        {"enum": list(BATCHES)},
        "whether any batch size goes: where it is proven, never, or else an error; "
        "`added` gives a graph of one sample a batch axis in front",
    ),
    _option("batch_axis", _natural, _NATURAL, "the axis of the input that is the batch"),
    Field(
        "free",
        None,
        {"type": "array", "items": _NATURAL, "default": []},
        "further axes of the input that may have any extent",
        _naturals,
        _NATURALS,
    ),
    _patterns_option("freeze", "parameters that are not learned, by patterns of their names"),
    _patterns_option("learn", "parameters that are learned although `freeze` or the graph says no"),
)
GOLDEN_FIELDS: tuple[Field, ...] = (
    Field("rtol", _number, {"type": "number", "minimum": 0}, "relative; default: by dtype, 1e-5"),
    Field("atol", _number, {"type": "number", "minimum": 0}, "absolute; default: by dtype, 1e-6"),
)
SECTIONS: dict[str, tuple[Field, ...]] = {"emit": EMIT_FIELDS, "golden": GOLDEN_FIELDS}


def field_value(field: Field, item: Value) -> Any:
    """The value of a key. Raises `WrongValueError`."""
    if field.read_list is not None:
        if not isinstance(item, Sequence):
            raise WrongValueError(field.list_form)
        return field.read_list(item.items)
    assert field.read is not None
    if not isinstance(item, Scalar):
        raise WrongValueError("a single value")
    return field.read(item)


def manifest_schema() -> dict[str, Any]:
    """The JSON schema of a manifest, for editors."""

    def described(fields: tuple[Field, ...]) -> dict[str, Any]:
        return {field.name: {**field.schema, "description": field.doc} for field in fields}

    properties: dict[str, Any] = described(FIELDS)
    for name, fields in SECTIONS.items():
        properties[name] = {
            "type": "object",
            "properties": described(fields),
            "additionalProperties": False,
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hatch-irpytorch manifest",
        "type": "object",
        "properties": properties,
        "required": ["ir"],
        "additionalProperties": False,
    }
