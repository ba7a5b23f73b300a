"""The words that a generated module is written with: nodes of the syntax, names, attributes, texts.

They are kept here by hand, apart from the emitter.
"""

from __future__ import annotations

import ast

IMPORTS = frozenset(
    {
        "import itertools",
        "import json",
        "import math",
        "import numpy as np",
        "import torch",
        "import torch.nn.functional as F",
        "from collections import OrderedDict",
        "from collections.abc import Mapping",
        "from mmap import ACCESS_COPY, mmap",
        "from pathlib import Path",
        "from torch import fx, nn",
        "from typing import Any",
    }
)

NODES: tuple[type[ast.AST], ...] = (
    ast.Add,
    ast.And,
    ast.arg,
    ast.arguments,
    ast.Assign,
    ast.AnnAssign,
    ast.Attribute,
    ast.BinOp,
    ast.BitOr,
    ast.Call,
    ast.Compare,
    ast.Div,
    ast.Constant,
    ast.Del,
    ast.Delete,
    ast.Expr,
    ast.FloorDiv,
    ast.For,
    ast.FormattedValue,
    ast.FunctionDef,
    ast.GeneratorExp,
    ast.If,
    ast.IfExp,
    ast.Is,
    ast.IsNot,
    ast.JoinedStr,
    ast.keyword,
    ast.List,
    ast.ListComp,
    ast.Load,
    ast.Mult,
    ast.Name,
    ast.Not,
    ast.NotIn,
    ast.Eq,
    ast.Raise,
    ast.Return,
    ast.Store,
    ast.Sub,
    ast.Slice,
    ast.Starred,
    ast.Subscript,
    ast.Tuple,
    ast.UnaryOp,
    ast.USub,
    ast.comprehension,
    ast.With,
    ast.withitem,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DOTTED = _words("""
torch.Tensor torch.abs torch.addcmul torch.autograd torch.autograd.backward torch.bfloat16
torch.bool torch.broadcast_to torch.cat torch.clamp torch.cos torch.cuda torch.cuda.is_available
torch.device torch.exp torch.float16 torch.float32 torch.float64 torch.full torch.log
torch.manual_seed torch.matmul torch.maximum torch.mean torch.minimum torch.optim torch.optim.Adam
torch.optim.Optimizer torch.optim.SGD torch.rand torch.randint torch.randn torch.reciprocal
torch.relu torch.reshape torch.sigmoid torch.sin torch.softmax torch.split torch.sqrt torch.square
torch.stack torch.sum torch.tanh torch.unflatten torch.zeros F.avg_pool1d F.avg_pool2d F.avg_pool3d
F.batch_norm F.embedding F.conv1d F.conv2d F.conv3d F.gelu F.layer_norm F.linear F.log_softmax
F.max_pool1d F.max_pool2d F.max_pool3d F.mse_loss F.pad F.scaled_dot_product_attention F.silu
Path.with_name nn.AvgPool1d nn.AvgPool2d nn.AvgPool3d nn.Conv1d nn.Conv2d nn.Conv3d nn.GELU
nn.Identity nn.LayerNorm nn.Linear nn.MaxPool1d nn.MaxPool2d nn.MaxPool3d nn.Module nn.Parameter
nn.ReLU nn.Sequential nn.SiLU nn.Sigmoid nn.Softmax nn.Tanh torch.empty
""")
METHODS = _words("""
__init__ add_module detach expand flatten get_buffer get_parameter get_submodule long new_empty
numel parameters permute register_buffer repeat repeat_interleave requires_grad requires_grad_
reshape shape squeeze step sum to train transpose unsqueeze with_name zero_grad
""")
NAMES = _words("""
F FLAGS NUMBERS OrderedDict Path ValueError __file__ __name__ bool dict
dtype float int main make_optimizer nn print
range require_integers require_shape self str super torch train_step tuple weights x
""")
LOCALS = _words(
    "device kind loss lr model opt out p pairs parameters step target y zip count max sums total"
)
SKELETON = frozenset({"make_optimizer", "train_step", "main"})
STRINGS = frozenset(
    {
        "-inf",
        "__main__",
        "adam",
        "cpu",
        "cuda",
        "inf",
        "meta",
        "nan",
        "none",
        "sgd",
        "step ",
        ": loss ",
        ".6f",
    }
    | {"unknown optimizer: ", "sum", "tanh"}
)
