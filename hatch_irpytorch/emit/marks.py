"""What a weight file says of its maker, in the one key of its metadata."""

from __future__ import annotations

WEIGHTS_KEY = "hatch-irpytorch"
"""The one key in the metadata of a weight file of ours; its value holds everything, for several
keys come in random order."""

GENERATED = "generated"
CAPTURED = "captured"
EXPORTED = "exported"
TRAINED = "trained"
"""How the value starts: in the file of a generated module, of a capture, of an export, of a user
who trained. Only the first is ours to replace without being told."""
