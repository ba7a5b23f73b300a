"""A YAML manifest as a Manifest: which graph, which parameters, which options."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hatch_irpytorch.emit.options import (
    BATCHES,
    DTYPES,
    WEIGHTS,
    EmitOptions,
    axes_problem,
    class_name_problem,
    normal_dtype,
)
from hatch_irpytorch.errors import Place, Problems, nearest, shown
from hatch_irpytorch.names import import_name_problem
from hatch_irpytorch.source.yaml_text import Mapping, Scalar, Sequence, Value, parse_yaml


@dataclass(frozen=True)
class Tolerance:
    """How far a module may be from its golden outputs: atol + rtol * |expected|.

    One that is `given` by a manifest holds alone; else more is allowed where a dtype needs it.
    """

    rtol: float
    atol: float
    given: bool = False


TOLERANCES = {
    "float32": Tolerance(1e-5, 1e-6),
    "float64": Tolerance(1e-5, 1e-6),
    "float16": Tolerance(1e-2, 1e-2),
    "bfloat16": Tolerance(5e-2, 5e-2),
}
"""What a manifest without `golden:` gets, by `emit.dtype`."""


@dataclass(frozen=True)
class Manifest:
    """One model: `ir` and `params` are relative to the manifest's folder."""

    file: str
    ir: str
    params: str | None
    module: str
    emit: EmitOptions
    golden: Tolerance
    ir_place: Place
    params_place: Place


class _WrongValueError(Exception):
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
        raise _WrongValueError("text", "YAML reads this word as something else; put it in quotes")
    if not value.text:
        raise _WrongValueError("text")
    return value.text


def _boolean(value: Scalar) -> bool:
    if value.quoted or value.text not in ("true", "false"):
        yes = value.text.lower() in ("yes", "no", "on", "off", "true", "false")
        raise _WrongValueError(
            "`true` or `false`", "write it in lower case, unquoted" if yes else ""
        )
    return value.text == "true"


def _number(value: Scalar) -> float:
    if value.quoted or not _NUMBER.fullmatch(value.text):
        raise _WrongValueError("a number that is not negative, such as `1.0e-5`")
    number = float(value.text)
    if not math.isfinite(number) or number < 0:
        raise _WrongValueError("a number that is not negative, such as `1.0e-5`")
    return number


def _natural(value: Scalar) -> int:
    if value.quoted or not value.text.isascii() or not value.text.isdecimal():
        raise _WrongValueError("a natural number, such as `1000000`")
    if len(value.text) > 18:
        raise _WrongValueError("a natural number of at most 18 digits")
    return int(value.text)


def _class_name(value: Scalar) -> str:
    problem = class_name_problem(_text(value))
    if problem:
        raise _WrongValueError("a class name", problem)
    return value.text


def _dtype(value: Scalar) -> str:
    dtype = normal_dtype(_text(value))
    if dtype is None:
        raise _WrongValueError(f"one of {', '.join(f'`{name}`' for name in DTYPES)}")
    return dtype


def _weights(value: Scalar) -> str:
    if _text(value) not in WEIGHTS:
        raise _WrongValueError(f"one of {', '.join(f'`{name}`' for name in WEIGHTS)}")
    return value.text


def _batch(value: Scalar) -> str:
    if _text(value) not in BATCHES:
        raise _WrongValueError(f"one of {', '.join(f'`{name}`' for name in BATCHES)}")
    return value.text


def _naturals(items: tuple[Value, ...]) -> tuple[int, ...]:
    scalars = [item for item in items if isinstance(item, Scalar)]
    if len(scalars) < len(items):
        raise _WrongValueError("a list of natural numbers, such as `[2, 3]`")
    return tuple(map(_natural, scalars))


def _module(value: Scalar) -> str:
    problem = import_name_problem(_text(value))
    if problem:
        raise _WrongValueError("a module name", problem)
    return value.text


@dataclass(frozen=True)
class Field:
    """One key of a manifest: how it is read and what it is for. A list is read by `read_list`."""

    name: str
    read: Callable[[Scalar], Any] | None
    schema: dict[str, Any]
    doc: str
    read_list: Callable[[tuple[Value, ...]], Any] | None = None


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
)
EMIT_FIELDS: tuple[Field, ...] = (
    Field("class_name", _class_name, _STRING, "default: the module in CamelCase"),
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
    ),
)
GOLDEN_FIELDS: tuple[Field, ...] = (
    Field("rtol", _number, {"type": "number", "minimum": 0}, "relative; default: by dtype, 1e-5"),
    Field("atol", _number, {"type": "number", "minimum": 0}, "absolute; default: by dtype, 1e-6"),
)
SECTIONS: dict[str, tuple[Field, ...]] = {"emit": EMIT_FIELDS, "golden": GOLDEN_FIELDS}


def read_manifest(data: bytes, file: str) -> Manifest:
    """The manifest in `data`. Raises `IRPyTorchError` with every problem of the file."""
    value = parse_yaml(data, file)
    problems = Problems()
    top: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    if isinstance(value, Mapping):
        top = _read_fields(value, FIELDS, tuple(SECTIONS), "", file, problems)
        for key, section in value.entries:
            if key.text in SECTIONS:
                prefix = f"{key.text}."
                fields = SECTIONS[key.text]
                sections[key.text] = _read_section(section, fields, prefix, file, problems)
        if "ir" not in {key.text for key, _ in value.entries}:
            problems.add("missing-key", Place(file, 1, 1), "the key `ir` is missing")
    else:
        message = "a manifest must be a mapping with at least the key `ir`"
        problems.add("bad-yaml", Place(file, 1, 1), message)
    stem = file.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    module = top.get("module", stem)
    if "module" not in top and import_name_problem(stem) and not len(problems):
        hint = "set another name with `module:`"
        problems.add("bad-name", Place(file), import_name_problem(stem), hint)
    problems.raise_if_any()
    assert isinstance(value, Mapping)
    places = {key.text: Place(file, v.line, v.column) for key, v in value.entries}
    emit = {"class_name": default_class_name(module), **sections["emit"]}
    problem = class_name_problem(emit["class_name"])
    if problem:
        problems.add("bad-name", Place(file), problem, "set `emit.class_name`")
        problems.raise_if_any()
    _require_axes(value, emit, file, problems)
    options = EmitOptions(**emit)
    return Manifest(
        file,
        top["ir"],
        top.get("params"),
        module,
        options,
        replace(TOLERANCES[options.dtype], **sections["golden"], given=bool(sections["golden"])),
        places["ir"],
        places.get("params", places["ir"]),
    )


def _require_axes(manifest: Mapping, emit: dict[str, Any], file: str, problems: Problems) -> None:
    """Raise `bad-option` where the axes that are to be free contradict each other."""
    names = ("batch", "batch_axis", "free")
    problem = axes_problem(*(emit.get(name, getattr(EmitOptions, name)) for name in names))
    if problem:
        section = next(item for key, item in manifest.entries if key.text == "emit")
        assert isinstance(section, Mapping)
        key = next(key for key, _ in section.entries if key.text in names[1:])
        problems.add("bad-option", Place(file, key.line, key.column), problem)
        problems.raise_if_any()


def default_class_name(module: str) -> str:
    """`digits_mlp` to `DigitsMLP`: short words that are known abbreviations stay capital."""
    words = [word for word in module.split("_") if word]
    capital = {"cnn", "gru", "lstm", "mlp", "rnn", "vit"}
    return "".join(w.upper() if w in capital else w[:1].upper() + w[1:] for w in words)


def _read_section(
    value: Value, fields: tuple[Field, ...], prefix: str, file: str, problems: Problems
) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        place = Place(file, value.line, value.column)
        problems.add("bad-option", place, f"`{prefix[:-1]}` must be a mapping")
        return {}
    return _read_fields(value, fields, (), prefix, file, problems)


def _read_fields(
    value: Mapping,
    fields: tuple[Field, ...],
    sections: tuple[str, ...],
    prefix: str,
    file: str,
    problems: Problems,
) -> dict[str, Any]:
    by_name = {field.name: field for field in fields}
    result: dict[str, Any] = {}
    for key, item in value.entries:
        if key.text in sections:
            continue
        if key.text not in by_name:
            hint = nearest(key.text, [*by_name, *sections])
            place = Place(file, key.line, key.column)
            problems.add("unknown-key", place, f"unknown key {shown(prefix + key.text)}", hint)
            continue
        place = Place(file, item.line, item.column)
        name = f"{prefix}{key.text}"
        try:
            result[key.text] = _value(by_name[key.text], item)
        except _WrongValueError as wrong:
            found = shown(item.text) if isinstance(item, Scalar) else "a collection"
            problems.mismatch("bad-option", place, name, wrong.expected, found, wrong.hint)
    return result


def _value(field: Field, item: Value) -> Any:
    if field.read_list is not None:
        if not isinstance(item, Sequence):
            raise _WrongValueError("a list of natural numbers, such as `[2, 3]`")
        return field.read_list(item.items)
    assert field.read is not None
    if not isinstance(item, Scalar):
        raise _WrongValueError("a single value")
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
