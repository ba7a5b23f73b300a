"""Small networks of many kinds, to be captured: name to module and input shape.

Each is what its name says in miniature. Where the published network has the exact GELU, it has
the tanh form here, since the format has no error function.
"""

from architectures import attention, images, sequences
from architectures.table import ARCHITECTURES

__all__ = ["ARCHITECTURES", "attention", "images", "sequences"]
