"""Checked `torchlean.ir.v1` graphs as readable PyTorch modules, without importing torch."""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "EmitOptions": "hatch_irpytorch.emit.options",
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

__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> object:
    """Import a public name where it is first used: hatch imports this package for every build."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
