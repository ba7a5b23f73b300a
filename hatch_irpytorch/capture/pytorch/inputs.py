"""The arguments of a module's `forward`: one is the run-time input, others are bound."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from hatch_irpytorch.capture.pytorch.refusals import definition
from hatch_irpytorch.errors import Place, Problems, fail, shown

Parameter = inspect.Parameter
Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BIND = "bind the others with `--bind NAME=file.npy`: a graph has one input"
_NONE = "a graph has one input; capture a module whose `forward` takes one tensor"


def arguments(
    module: nn.Module, file: str, x: object, name: str, bind: Mapping[str, object]
) -> Arguments:
    """What `module` is called with: `x` for the parameter of this name, and what is bound.

    `NAME.KEY` is an entry of a dict for the parameter `NAME`. Without a name `x` is for the
    parameter that is needed and not bound, or the first that is not bound where none is needed.
    Raises `IRPyTorchError`: `capture-failed`.
    """
    parameters = _parameters(module)
    if parameters is None:
        return (x,), dict(bind)
    where = definition(module, file)
    _require_known(parameters, (*bind, name) if name else bind, where)
    if name in bind:
        message = f"{shown(name)} is bound and the run-time input at once"
        raise fail("capture-failed", where, message)
    given = _nested({**bind, name or _run_time(parameters, bind, where): x}, where)
    return _in_order(parameters, given)


def _parameters(module: nn.Module) -> list[Parameter] | None:
    try:
        return list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return None


def _require_known(parameters: list[Parameter], names: Iterable[str], where: Place) -> None:
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL]
    problems = Problems()
    for name in dict.fromkeys(map(_head, names)):
        if name not in known:
            message = f"`forward` has no parameter {shown(name)}"
            problems.add("capture-failed", where, message, f"it has {_listed(known) or 'none'}")
    problems.raise_if_any()


def _run_time(parameters: list[Parameter], bind: Mapping[str, object], where: Place) -> str:
    """The parameter that the run-time input is for."""
    bound = set(map(_head, bind))
    open_ones = [p for p in parameters if p.name not in bound and p.kind is not p.VAR_KEYWORD]
    needed = [p for p in open_ones if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    if len(needed) > 1:
        message = f"`forward` takes {len(needed)} inputs: {_listed(p.name for p in needed)}"
        raise fail("capture-failed", where, message, _BIND)
    found = needed or open_ones
    if not found:
        message = "`forward` takes no input" if not bound else "every input of `forward` is bound"
        raise fail("capture-failed", where, message, _NONE)
    return found[0].name


def _nested(given: Mapping[str, object], where: Place) -> dict[str, Any]:
    """Arguments by name; those of `NAME.KEY` are dicts."""
    result: dict[str, Any] = {}
    for name, value in given.items():
        *path, last = name.split(".")
        inner = result
        for key in path:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                break
        if not isinstance(inner, dict) or last in inner:
            raise fail("capture-failed", where, f"{shown(name)} is given beside a part of it")
        inner[last] = value
    return result


def _in_order(parameters: list[Parameter], given: dict[str, Any]) -> Arguments:
    """By position as far as those before are given too, then by name."""
    rest = dict(given)
    args: list[Any] = []
    for parameter in parameters:
        takes = parameter.kind in (*_POSITIONAL, Parameter.VAR_POSITIONAL)
        if not takes or parameter.name not in rest:
            break
        args.append(rest.pop(parameter.name))
    return tuple(args), rest


def _head(name: str) -> str:
    return name.partition(".")[0]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in list(names)[:10])
