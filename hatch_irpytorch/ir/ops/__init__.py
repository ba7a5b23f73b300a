"""The table of ops: everything else that lists them is made from it."""

from __future__ import annotations

from hatch_irpytorch.ir.ops.base import Mask, Op, RuleError, Site, Slot, attribute_name
from hatch_irpytorch.ir.ops.convolution import Conv
from hatch_irpytorch.ir.ops.elementwise import (
    Abs,
    Add,
    Cos,
    DomainError,
    Exp,
    Inv,
    Log,
    MaxElem,
    MinElem,
    MulElem,
    Relu,
    SafeLog,
    Sigmoid,
    Sin,
    Softplus,
    Sqrt,
    Sub,
    Tanh,
)
from hatch_irpytorch.ir.ops.movement import (
    BroadcastTo,
    Concat,
    Flatten,
    Permute,
    Reshape,
    Transpose,
)
from hatch_irpytorch.ir.ops.normalization import BatchNormEval, LayerNorm
from hatch_irpytorch.ir.ops.pooling import AvgPool, MaxPool
from hatch_irpytorch.ir.ops.products import Linear, Matmul
from hatch_irpytorch.ir.ops.reduction import MseLoss, ReduceMean, ReduceSum, Sum
from hatch_irpytorch.ir.ops.softmaxes import HardMaskedSoftmax, Softmax
from hatch_irpytorch.ir.ops.sources import BernoulliMask, Const, Detach, Input, RandUniform

OPS: tuple[type[Op], ...] = (
    Input,
    Const,
    Detach,
    RandUniform,
    BernoulliMask,
    Add,
    Sub,
    MulElem,
    MaxElem,
    MinElem,
    Abs,
    Sqrt,
    Inv,
    Exp,
    Sin,
    Cos,
    Tanh,
    Log,
    Relu,
    Sigmoid,
    Softplus,
    SafeLog,
    Softmax,
    HardMaskedSoftmax,
    LayerNorm,
    BatchNormEval,
    Linear,
    Conv,
    MaxPool,
    AvgPool,
    Matmul,
    Sum,
    ReduceSum,
    ReduceMean,
    BroadcastTo,
    Reshape,
    Flatten,
    Permute,
    Transpose,
    Concat,
    MseLoss,
)

BY_TAG: dict[str, type[Op]] = {op.tag: op for op in OPS}

__all__ = [
    "BY_TAG",
    "OPS",
    "Const",
    "DomainError",
    "Input",
    "LayerNorm",
    "Mask",
    "Op",
    "RuleError",
    "Site",
    "Slot",
    "attribute_name",
]
