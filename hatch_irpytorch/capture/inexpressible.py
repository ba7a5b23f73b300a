"""What a formula raises when torchlean.ir.v1 has none for its arguments."""

from __future__ import annotations


class InexpressibleError(Exception):
    """Something that no ops of torchlean.ir.v1 compute. The message says what, in one phrase."""
