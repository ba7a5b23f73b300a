"""The command `irpytorch`: one module per command."""

from hatch_irpytorch.cli.main import main

__all__ = ["main"]
