"""Where `irpytorch emit` writes: standard output, a stream, or a file with its weights beside."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hatch_irpytorch.build.files import file_bytes, replace_file
from hatch_irpytorch.build.ownership import has_module_mark, is_generated_weights, is_regular
from hatch_irpytorch.build.places import require_place
from hatch_irpytorch.cli.command import print_notes
from hatch_irpytorch.emit import EmittedModule
from hatch_irpytorch.errors import Place, Problem, fail, shown
from hatch_irpytorch.source.reading import reason

STANDARD_OUTPUT = Path("-")


class Target(NamedTuple):
    """The module's file or the stream it goes to, None for standard output; the weight file."""

    module: Path | None
    is_stream: bool
    weights: Path | None


def require_target(output: Path | None, weights_in_file: bool) -> Target:
    """Where to write. Raises, before there is anything to write, what writing would raise."""
    if output is None or output == STANDARD_OUTPUT or _is_standard_output(output):
        target = Target(None, True, None)
    elif _is_stream(output):
        target = Target(output, True, None)
    else:
        beside = output.with_suffix(".safetensors") if output.name else None
        target = Target(output, False, beside if weights_in_file else None)
        _require_ours(output, output.stem)
    if not weights_in_file:
        return target
    if target.weights is None or target.module is None:
        message = "`--weights safetensors` writes a second file and needs `-o FILE`"
        raise fail("bad-option", Place("--weights"), message)
    if not target.module.stem.isascii() or not target.module.stem.isidentifier():
        message = f"{shown(target.module.name)} must be an ASCII identifier before its suffix"
        raise fail("bad-name", Place("--output"), message)
    if target.weights == target.module:
        message = "the module cannot have the name of its weight file"
        raise fail("bad-name", Place("--output"), message, "end it in `.py`")
    _require_our_weights(target.weights)
    return target


def write_emitted(target: Target, emitted: EmittedModule, inputs: Sequence[Path]) -> None:
    """Write the module, and its weights; `inputs` are never replaced.

    Raises `not-ours`, `cannot-write`.
    """
    if target.module is None:
        sys.stdout.write(emitted.source)
        return
    data = emitted.source.encode("utf-8")
    name = target.module.as_posix()
    if target.is_stream:
        _write_stream(target.module, data)
        return
    beside = target.module.with_suffix(".safetensors")
    for path in (target.module, target.weights):
        if path is not None and any(_is_same(path, read) for read in inputs):
            message = "the file is an input and stands where an output belongs"
            raise fail("not-ours", Place(path.as_posix()), message, "choose another name")
    before = file_bytes(target.module, name)
    if emitted.weights is not None:
        replace_file(beside, emitted.weights, beside.as_posix())
    replace_file(target.module, data, name)
    if emitted.weights is None and before is not None and _names(before, beside):
        message = "no module names this weight file any more"
        hint = "remove it"
        print_notes([Problem("orphaned", Place(beside.as_posix()), message, hint)])


def _names(module: bytes, weights: Path) -> bool:
    """Whether a module names a weight file, which is there and ours."""
    named = f'with_name("{weights.name}")'.encode() in module
    return named and is_regular(weights) and is_generated_weights(weights)


def _require_ours(path: Path, stem: str) -> None:
    """Only a module of ours is replaced; a link is not one."""
    require_place(path)
    place = Place(path.as_posix())
    if path.is_symlink():
        message = "a symbolic link stands where an output belongs"
        raise fail("not-ours", place, message, "choose another name")
    before = file_bytes(path, path.as_posix())
    if before is not None and not has_module_mark(before):
        message = "the file exists and was not written by hatch-irpytorch"
        raise fail("not-ours", place, message, "choose another name")


def _require_our_weights(path: Path) -> None:
    require_place(path)
    if os.path.lexists(path) and not (is_regular(path) and is_generated_weights(path)):
        message = "the file exists and is no weight file of a generated module"
        raise fail("not-ours", Place(path.as_posix()), message, "choose another name")


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _is_same(path: Path, other: Path) -> bool:
    found, wanted = _status(path), _status(other)
    return found is not None and wanted is not None and os.path.samestat(found, wanted)


def _is_standard_output(path: Path) -> bool:
    """Whether a path such as `/dev/stdout` leads to what this process writes to anyway."""
    found = _status(path)
    if found is None or not path.is_absolute():
        return False
    try:
        return os.path.samestat(found, os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):
        return False


def _is_stream(path: Path) -> bool:
    """Whether a pipe or a device stands there, which is written to and not replaced."""
    found = _status(path)
    return found is not None and (stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode))


def _write_stream(path: Path, data: bytes) -> None:
    """A pipe without a reader is an error and no wait; a reader may have enough before the end."""
    name = path.as_posix()
    flags = os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
        if hasattr(os, "set_blocking"):
            os.set_blocking(descriptor, True)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
    except BrokenPipeError:
        return
    except OSError as error:
        message = f"it cannot be written: {reason(error)}"
        hint = "nothing reads the pipe" if stat.S_ISFIFO(path.stat().st_mode) else ""
        raise fail("cannot-write", Place(name), message, hint) from None
