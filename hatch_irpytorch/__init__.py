"""Checked `torchlean.ir.v1` graphs as readable PyTorch modules, without importing torch."""

from importlib import import_module

TYPE_CHECKING = False
"""As in `typing`, whose import would take a fifth of the time of `irpytorch --help`."""

if TYPE_CHECKING:
    from hatch_irpytorch.emit import EmittedModule, emit_module
    from hatch_irpytorch.emit.options import EmitOptions
    from hatch_irpytorch.errors import IRPyTorchError, Place, Problem
    from hatch_irpytorch.ir.graph import Graph, Model, Node
    from hatch_irpytorch.ir.read import read_model
    from hatch_irpytorch.ir.reference import evaluate

__version__ = "0.1.0"

__all__ = [
    "EmitOptions",
    "EmittedModule",
    "Graph",
    "IRPyTorchError",
    "Model",
    "Node",
    "Place",
    "Problem",
    "__version__",
    "emit_module",
    "evaluate",
    "read_model",
]

_HOME = {
    "EmitOptions": "hatch_irpytorch.emit.options",
    "EmittedModule": "hatch_irpytorch.emit",
    "Graph": "hatch_irpytorch.ir.graph",
    "IRPyTorchError": "hatch_irpytorch.errors",
    "Model": "hatch_irpytorch.ir.graph",
    "Node": "hatch_irpytorch.ir.graph",
    "Place": "hatch_irpytorch.errors",
    "Problem": "hatch_irpytorch.errors",
    "emit_module": "hatch_irpytorch.emit",
    "evaluate": "hatch_irpytorch.ir.reference",
    "read_model": "hatch_irpytorch.ir.read",
}


def __getattr__(name: str) -> object:
    """Import a public name where it is first used: hatch imports this package for every build."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
