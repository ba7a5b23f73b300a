"""A YAML manifest as a Manifest: which graph, which parameters, which options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hatch_irpytorch.emit.options import EmitOptions, axes_problem, class_name_problem
from hatch_irpytorch.errors import Place, Problems, nearest, shown
from hatch_irpytorch.manifest_fields import (
    FIELDS,
    SECTIONS,
    Field,
    WrongValueError,
    field_value,
)
from hatch_irpytorch.names import import_name_problem
from hatch_irpytorch.source.yaml_text import Mapping, Scalar, Value, parse_yaml


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
    output_ids: tuple[int, ...] = ()


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
        top.get("output_ids", ()),
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
            result[key.text] = field_value(by_name[key.text], item)
        except WrongValueError as wrong:
            found = shown(item.text) if isinstance(item, Scalar) else "a collection"
            problems.mismatch("bad-option", place, name, wrong.expected, found, wrong.hint)
    return result
