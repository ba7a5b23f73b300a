"""Run by its path in a process of its own: is the code in a cache that of its source?

A crafted file can end the process that loads it, so this is no part of the one that asks. It gets
`[[source, cache, optimization], ...]` as JSON and writes a line for each, as soon as it knows.
"""

from __future__ import annotations

import json
import marshal
import sys
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

_HEADER = 16
_MEMORY = 1 << 32


def main() -> None:
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for source, cache, optimization in json.load(sys.stdin):
        print("same" if _is_same(Path(source), Path(cache), optimization) else "other", flush=True)


def _is_same(source: Path, cache: Path, optimization: int) -> bool:
    try:
        loader = SourceFileLoader(source.stem, str(source))
        text = source.read_bytes()
        expected = loader.source_to_code(text, str(source), _optimize=optimization)
        found = marshal.loads(cache.read_bytes()[_HEADER:])
        return isinstance(found, CodeType) and _shown(found) == _shown(expected)
    except (OSError, ValueError, EOFError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False


def _shown(value: object) -> object:
    """All that a code object or a constant in one is, apart from the path of its file."""
    if isinstance(value, CodeType):
        names = [name for name in dir(value) if name.startswith("co_")]
        parts = {name: getattr(value, name) for name in names if name not in _LEFT_OUT}
        return {name: _shown(part) for name, part in parts.items() if not callable(part)}
    if isinstance(value, tuple):
        return ("tuple", *map(_shown, value))
    if isinstance(value, frozenset):
        return ("frozenset", *sorted(map(repr, map(_shown, value))))
    return (type(value).__name__, repr(value))


_LEFT_OUT = frozenset({"co_filename", "co_lnotab"})
"""Where the file was compiled; and what is deprecated and says no more than `co_linetable`."""


if __name__ == "__main__":
    main()
