"""Names and paths that are fit for every machine."""

from __future__ import annotations

import keyword
import re
import sys

MAX_LENGTH = 60
MAX_NAME = 255
"""No usual file system takes a longer name."""
MAX_PATH = 1000
"""Some systems take no longer path than 1,024 bytes."""

# What some Python from 3.10 to 3.14 has and others have not: a name is fit for all or for none.
_OTHER_VERSIONS = frozenset(
    {
        *("aifc", "annotationlib", "asynchat", "asyncore", "audioop", "binhex", "cgi", "cgitb"),
        *("chunk", "compression", "crypt", "distutils", "imghdr", "imp", "lib2to3", "mailcap"),
        *("msilib", "nis", "nntplib", "ossaudiodev", "pipes", "smtpd", "sndhdr", "spwd", "sunau"),
        *("telnetlib", "tomllib", "uu", "xdrlib"),
    }
)
_IMPORTED_BY_MODULES = frozenset({"functorch", "numpy", "safetensors", "torch", "torchgen"})
_BY_SITE = frozenset({"sitecustomize", "usercustomize"})
_OURS = frozenset({"hatch_irpytorch", "hatchling"})
_WINDOWS = frozenset(
    {"aux", "con", "nul", "prn", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
)
_NOT_EVERYWHERE = frozenset('\\:*?"<>|')

_DOTTED = r"\w+(\.\w+)*"
_MAX_DOTTED = 76


def dotted_name(text: object) -> str:
    """A name such as `layers.0.attn`, out of `/layers.0/attn` too; empty for anything else."""
    if not text or not isinstance(text, str):
        return ""
    name = text.strip("/").replace("/", ".")
    return name if len(name) <= _MAX_DOTTED and re.fullmatch(_DOTTED, name, re.ASCII) else ""


def is_windows_reserved(name: str) -> bool:
    """Whether Windows keeps a file name, with any ending, for a device."""
    return name.split(".")[0].lower() in _WINDOWS


def import_name_problem(name: str) -> str:
    """Why `name` cannot be a generated module or package, or an empty string."""
    if len(name) > MAX_LENGTH:
        return f"a module name has at most {MAX_LENGTH} characters"
    plain = name.isascii() and name.isidentifier() and name == name.lower()
    if not plain or keyword.iskeyword(name) or name.startswith("_"):
        return "a module name is a lower-case ASCII identifier"
    if _is_standard(name):
        return f"`{name}` is a module of Python's standard library"
    if name in _IMPORTED_BY_MODULES or name in _OURS:
        return f"`{name}` is a package that generated modules or their build import"
    if is_windows_reserved(name):
        return f"`{name}` is a device on Windows"
    return ""


def shadows(name: str) -> bool:
    """Whether Python, or a module that was generated, imports something of this name."""
    return _is_standard(name) or name in _IMPORTED_BY_MODULES or name in _BY_SITE


def _is_standard(name: str) -> bool:
    return name in sys.stdlib_module_names or name in _OTHER_VERSIONS


def path_problem(path: str) -> str:
    """Why a path, written with `/`, does not mean the same on every system, or an empty string."""
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH:
        return f"it has more than {MAX_PATH} bytes"
    if not path.isprintable() or not _NOT_EVERYWHERE.isdisjoint(path):
        return "it holds a character that not every system allows in a file name"
    for part in path.split("/"):
        if len(part.encode("utf-8", "surrogatepass")) > MAX_NAME:
            return f"a name in it has more than {MAX_NAME} bytes"
        if part not in (".", "..") and part.endswith((".", " ")):
            return "a name in it ends in a dot or a space, which Windows drops"
        if is_windows_reserved(part):
            return "a name in it stands for a device on Windows"
    return ""
