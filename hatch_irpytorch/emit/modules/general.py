"""Classes that differ in numbers alone are one class, which is given the numbers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from hatch_irpytorch.emit.modules.forms import ClassForm, Form, Held, Line, Loop
from hatch_irpytorch.ir.ops.code import Call, Code

MOST = 6
"""How many numbers a class is given at most."""

_NUMBER = re.compile(r"-?\d+")
_TUPLE = re.compile(r"\((-?\d+, )*-?\d+,?\)")

_ROLES: Mapping[str, tuple[str, ...]] = {
    "FrozenBatchNorm": ("features",),
    "nn.Conv1d": ("inputs", "outputs", "kernel"),
    "nn.Conv2d": ("inputs", "outputs", "kernel"),
    "nn.Conv3d": ("inputs", "outputs", "kernel"),
    "nn.LayerNorm": ("features",),
    "nn.Linear": ("inputs", "outputs"),
}
"""What the arguments of a constructor are called."""

Change = Callable[[str, str, bool], str]
"""From a number in code, what it is, and whether `forward` reads it, to what takes its place."""


def generalised(
    classes: Sequence[ClassForm], model: Form, class_name: str
) -> tuple[tuple[ClassForm, ...], Form]:
    """The classes and the model, which is `class_name`; those of one kind become one class."""
    found, roles = list(classes), dict(_ROLES)
    while True:
        kinds: dict[Form, list[ClassForm]] = defaultdict(list)
        for part in found:
            if not part.parameters:
                kinds[_changed(_bare(part.form), _kind, roles)].append(part)
        several = next((parts for parts in kinds.values() if _varies(parts, roles)), None)
        if several is None:
            return _renumbered(found, model, class_name)
        general, calls = _joined(several, roles)
        roles[general.name] = tuple(name for name, _ in general.parameters)
        place = found.index(several[0])
        found[place] = general
        found = [part for part in found if part not in several[1:]]
        found = [replace(part, form=_calling(part.form, calls)) for part in found]
        model = _calling(model, calls)


def _renumbered(
    classes: Sequence[ClassForm], model: Form, class_name: str
) -> tuple[tuple[ClassForm, ...], Form]:
    """The classes without gaps among their numbers: `Layer`, `Layer2`."""
    taken = {class_name}
    names: dict[str, str] = {}
    for part in classes:
        stem, number = part.name.rstrip("0123456789"), 1
        while (name := f"{stem}{number}" if number > 1 else stem) in taken:
            number += 1
        names[part.name] = name
        taken.add(name)

    def renamed(form: Form) -> Form:
        parts = tuple((name, _with_names(code, names)) for name, code in form.parts)
        return replace(form, parts=parts)

    found = [replace(p, name=names[p.name], form=renamed(p.form)) for p in classes]
    return tuple(found), renamed(model)


def _with_names(code: Code, names: Mapping[str, str]) -> Code:
    """Code that constructs classes by other names."""
    if isinstance(code, str):
        return code
    function = code.function
    if isinstance(function, str):
        function = names.get(function, function)
    arguments = tuple(_with_names(argument, names) for argument in code.arguments)
    keywords = tuple((name, _with_names(value, names)) for name, value in code.keywords)
    return Call(function, arguments, keywords)


def _varies(parts: Sequence[ClassForm], roles: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether there are several classes of a kind, and few numbers tell them apart, or none."""
    return len(parts) > 1 and len(_columns(parts, roles)) <= MOST


def _numbers(form: Form, roles: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Every number of a form with its role, in order."""
    found: list[tuple[str, str]] = []

    def note(number: str, role: str, _: bool) -> str:
        found.append((number, role))
        return number

    _changed(form, note, roles)
    return found


def _columns(
    parts: Sequence[ClassForm], roles: Mapping[str, tuple[str, ...]]
) -> dict[tuple[str, ...], str]:
    """What differs among classes of a kind, each once: its values by class, and its role."""
    found: dict[tuple[str, ...], str] = {}
    for several in zip(*(_numbers(part.form, roles) for part in parts), strict=True):
        values = tuple(number for number, _ in several)
        if len(set(values)) > 1:
            found.setdefault(values, several[0][1])
    return found


def _joined(
    parts: Sequence[ClassForm], roles: Mapping[str, tuple[str, ...]]
) -> tuple[ClassForm, dict[str, Call]]:
    """The one class of several, and by their names what constructs each of them."""
    taken = {name for name, _ in parts[0].form.parts} | {held.name for held in parts[0].form.held}
    names: dict[tuple[str, ...], str] = {}
    for values, role in _columns(parts, roles).items():
        name, number = role, 2
        while name in taken:
            name, number = f"{role}{number}", number + 1
        names[values] = name
        taken.add(name)
    rows = zip(*(_numbers(part.form, roles) for part in parts), strict=True)
    kept: dict[str, None] = {}

    def named(number: str, _: str, in_forward: bool) -> str:
        name = names.get(tuple(value for value, _ in next(rows)))
        if name is None:
            return number
        if in_forward:
            kept.setdefault(name)
        return f"self.{name}" if in_forward else name

    first = parts[0]
    form = _changed(_with_shared_comments([part.form for part in parts]), named, roles)
    kinds = {
        name: "tuple[int, ...]" if values[0].startswith("(") else "int"
        for values, name in names.items()
    }
    paths = tuple(path for part in parts for path in part.paths)
    general = ClassForm(first.name, form, paths, tuple(kinds.items()), tuple(kept))
    calls = {
        part.name: Call(first.name, tuple(values[place] for values in names))
        for place, part in enumerate(parts)
    }
    return general, calls


def _with_shared_comments(forms: Sequence[Form]) -> Form:
    """The first of some forms with the comments that all of them have."""
    said = [[line.comment for line in _lines(form)] for form in forms]
    kept = iter([a[0] if len(set(a)) == 1 else "" for a in zip(*said, strict=True)])
    first = forms[0]
    return replace(first, lines=tuple(_with_comment(line, next(kept)) for line in first.lines))


def _bare(form: Form) -> Form:
    return replace(form, lines=tuple(_with_comment(line, "") for line in form.lines))


def _lines(form: Form) -> Iterator[Line]:
    for line in form.lines:
        yield line.line if isinstance(line, Loop) else line


def _with_comment(line: Line | Loop, comment: str) -> Line | Loop:
    if isinstance(line, Loop):
        return replace(line, line=replace(line.line, comment=comment))
    return replace(line, comment=comment)


def _kind(number: str, _: str, in_forward: bool) -> str:
    return "()" if number.startswith("(") else "#"


def _changed(form: Form, change: Change, roles: Mapping[str, tuple[str, ...]]) -> Form:
    """A form with its numbers changed: those of constructors, of arrays and of `forward`."""

    def made(number: str, role: str) -> str:
        return change(number, role, False)

    def read(number: str, role: str) -> str:
        return change(number, role, True)

    parts = tuple((name, _code(code, made, roles)) for name, code in form.parts)
    held = tuple(_array(tensor, made) for tensor in form.held)
    lines = tuple(_line(line, read, roles) for line in form.lines)
    return replace(form, parts=parts, held=held, lines=lines)


Place = Callable[[str, str], str]
"""From a number in code and what it is to what takes its place."""


def _array(held: Held, change: Place) -> Held:
    return replace(held, shape=tuple(change(extent, "size") for extent in held.shape))


def _line(line: Line | Loop, change: Place, roles: Mapping[str, tuple[str, ...]]) -> Line | Loop:
    if isinstance(line, Loop):
        inner = replace(line.line, code=_code(line.line.code, change, roles))
        return replace(line, line=inner)
    return replace(line, code=_code(line.code, change, roles))


def _code(
    code: Code, change: Place, roles: Mapping[str, tuple[str, ...]], role: str = "size"
) -> Code:
    if isinstance(code, str):
        is_number = _NUMBER.fullmatch(code) or _TUPLE.fullmatch(code)
        return change(code, role) if is_number else code
    named = code.function if isinstance(code.function, str) else code.function.name
    known = roles.get(named, ())
    arguments = tuple(
        _code(argument, change, roles, known[place] if place < len(known) else "size")
        for place, argument in enumerate(code.arguments)
    )
    keywords = tuple(
        (name, _code(value, change, roles, name if name.isidentifier() else "size"))
        for name, value in code.keywords
    )
    return Call(code.function, arguments, keywords)


def _calling(form: Form, calls: Mapping[str, Call]) -> Form:
    """A form whose parts are constructed by other calls."""
    return replace(form, parts=tuple((name, _called(code, calls)) for name, code in form.parts))


def _called(code: Code, calls: Mapping[str, Call]) -> Code:
    if isinstance(code, str):
        return code
    if isinstance(code.function, str) and code.function in calls and not code.arguments:
        return calls[code.function]
    arguments = tuple(_called(argument, calls) for argument in code.arguments)
    keywords = tuple((name, _called(value, calls)) for name, value in code.keywords)
    return Call(code.function, arguments, keywords)
