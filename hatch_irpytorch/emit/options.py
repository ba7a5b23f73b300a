"""How a module is emitted. torchlean.ir.v1: 5.1."""

from __future__ import annotations

import builtins
import keyword
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

Dtype = Literal["float32", "float64", "float16", "bfloat16"]
Weights = Literal["inline", "safetensors"]
Batch = Literal["auto", "fixed", "free", "added"]
Layout = Literal["graph", "modules"]

DTYPES: tuple[str, ...] = get_args(Dtype)
WEIGHTS: tuple[str, ...] = get_args(Weights)
BATCHES: tuple[str, ...] = get_args(Batch)
LAYOUTS: tuple[str, ...] = get_args(Layout)

# What some Python from 3.10 to 3.14 has and others have not: a name is fit for all or for none.
_OTHER_VERSIONS = ("BaseExceptionGroup", "ExceptionGroup", "PythonFinalizationError")
_OTHER_SYSTEMS = ("WindowsError",)
_IMPORTED = (
    "ACCESS_COPY",
    "Any",
    "Mapping",
    "OrderedDict",
    "F",
    "Path",
    "fx",
    "itertools",
    "json",
    "math",
    "mmap",
    "nn",
    "np",
    "torch",
)
_DEFINED = (
    "FLAGS",
    "FrozenBatchNorm",
    "NUMBERS",
    "fill",
    "main",
    "make_optimizer",
    "put",
    "require_integers",
    "require_shape",
    "save_weights",
    "train_step",
)

_BUILTINS = frozenset((*dir(builtins), *_OTHER_VERSIONS, *_OTHER_SYSTEMS))

RESERVED_NAMES = _BUILTINS.union(_IMPORTED, _DEFINED)
"""Names that a generated module uses bare, or may use: no class takes one."""


@dataclass(frozen=True)
class EmitOptions:
    """The options of one module, and their defaults; see the manifest table in the README."""

    class_name: str = "ExportedIRModel"
    layout: Layout = "graph"
    dtype: Dtype = "float32"
    training_skeleton: bool = True
    learnable_consts: bool = True
    compress_broadcast_params: bool = True
    weights: Weights = "inline"
    inline_limit: int = 1_000_000
    fuse: bool = False
    batch: Batch = "auto"
    batch_axis: int = 0
    free: tuple[int, ...] = ()
    freeze: tuple[str, ...] = ()
    learn: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problem = class_name_problem(self.class_name)
        if problem:
            raise ValueError(problem)
        normal = normal_dtype(self.dtype)
        if normal is None:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}")
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}")
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights must be one of {', '.join(WEIGHTS)}")
        if type(self.inline_limit) is not int or self.inline_limit < 0:
            raise ValueError("inline_limit must be a natural number")
        problem = axes_problem(self.batch, self.batch_axis, self.free)
        if problem:
            raise ValueError(problem)
        for patterns in (self.freeze, self.learn):
            if not all(isinstance(pattern, str) and pattern for pattern in patterns):
                raise ValueError("freeze and learn are patterns of names")
        object.__setattr__(self, "dtype", normal)

    @property
    def rewrites(self) -> bool:
        """Whether several nodes may be one call of PyTorch."""
        return self.fuse or self.layout == "modules"

    def named(self, class_name: str) -> EmitOptions:
        return replace(self, class_name=class_name)


def normal_dtype(text: str) -> Dtype | None:
    """A dtype with or without `torch.` before it, or None when it is not known."""
    name = text.removeprefix("torch.")
    return cast("Dtype", name) if name in DTYPES else None


def axes_problem(batch: str, batch_axis: int, free: tuple[int, ...]) -> str:
    """What is wrong with the axes that are to be free, or an empty string."""
    if batch not in BATCHES:
        return f"batch must be one of {', '.join(BATCHES)}"
    numbers = (batch_axis, *free)
    if any(type(axis) is not int or axis < 0 for axis in numbers):
        return "batch_axis and free are numbers of axes, the first being 0"
    if batch_axis and batch in ("added", "fixed"):
        return f"batch_axis says nothing with `batch: {batch}`"
    if len(set(free)) < len(free) or (batch != "fixed" and batch_axis in free):
        return "free names further axes, each once, and not that of the batch"
    return ""


def class_name_problem(name: str) -> str:
    """Why `name` cannot be the class of a generated module, or an empty string."""
    if len(name) > 60:
        return "a class name has at most 60 characters"
    if not name.isascii() or not name.isidentifier() or keyword.iskeyword(name):
        return "a class name must be an ASCII identifier that is not a keyword"
    if name.startswith("__") or keyword.issoftkeyword(name):
        return "a class name may not be a soft keyword or start with two underscores"
    if name in _BUILTINS:
        return f"a class may not hide Python's own `{name}`"
    # Functions and tables of a generated module are lower case or end in `_<id>_<SLOT>`.
    if name in RESERVED_NAMES or name == name.lower() or (name == name.upper() and "_" in name):
        return "a class name must be CamelCase, other names belong to the module itself"
    return ""
