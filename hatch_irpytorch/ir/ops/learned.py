"""Which arrays of a layer training changes. A project extension; torchlean.ir.v1: 7.9."""

from __future__ import annotations

import msgspec


class LearnedArrays(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`"learnable": {"bias": false}`: a flag for each array of a layer; those left out are true."""

    def names(self) -> tuple[str, ...]:
        """The arrays that there is a flag for."""
        return self.__struct_fields__

    def frozen(self) -> dict[str, bool]:
        """What a node has to say: the flags that are false."""
        return {name: False for name in self.names() if not getattr(self, name)}


class LearnedWeight(LearnedArrays, frozen=True, forbid_unknown_fields=True):
    """Of a linear layer or a convolution."""

    weight: bool = True
    bias: bool = True


class LearnedAffine(LearnedArrays, frozen=True, forbid_unknown_fields=True):
    """Of a normalisation."""

    gamma: bool = True
    beta: bool = True


class LearnedProjections(LearnedArrays, frozen=True, forbid_unknown_fields=True):
    """Of an attention: its four linear layers."""

    q_weight: bool = True
    q_bias: bool = True
    k_weight: bool = True
    k_bias: bool = True
    v_weight: bool = True
    v_bias: bool = True
    out_weight: bool = True
    out_bias: bool = True

    def of(self, part: str) -> LearnedWeight:
        """The flags of one of its layers: `q`, `k`, `v` or `out`."""
        weight, bias = (getattr(self, f"{part}_{slot}") for slot in ("weight", "bias"))
        return LearnedWeight(weight=weight, bias=bias)


EVERY_WEIGHT = LearnedWeight()
EVERY_AFFINE = LearnedAffine()
EVERY_PROJECTION = LearnedProjections()
"""Nothing is frozen: what a node means that says nothing."""

NO_WEIGHT = LearnedWeight(weight=False, bias=False)
"""Of a kernel that a formula makes, to select or to add up."""
