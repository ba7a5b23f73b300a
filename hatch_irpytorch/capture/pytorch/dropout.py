"""Dropout in a module: `torch.export` leaves no trace of it."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from hatch_irpytorch.capture.builder import Builder
from hatch_irpytorch.capture.training import DROPOUT, note


def note_dropout(b: Builder, module: nn.Module) -> None:
    """Tell that training drops nothing where the module does."""
    if any(_probability(part) > 0.0 for part in module.modules()):
        note(b, DROPOUT)


def _probability(part: nn.Module) -> float:
    """How likely a part drops what it is given, in training; libraries call theirs `drop_prob`."""
    name = "drop_prob"
    if isinstance(part, _DropoutNd):
        name = "p"
    elif isinstance(part, nn.MultiheadAttention | nn.RNNBase):
        name = "dropout"
    found = getattr(part, name, 0.0)
    return float(found) if isinstance(found, int | float) else 0.0
