"""A module's text holds nothing that the emitter never writes.

The text is parsed, and every statement, name, attribute, constant and comment is compared with
lists kept here by hand, apart from the emitter, so that a mistake there, or a file from elsewhere,
is seen before any of it runs.
"""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from io import StringIO

from hatch_irpytorch.emit.contract import REQUIRE_INTEGERS, REQUIRE_SHAPE, require_integers
from hatch_irpytorch.emit.fusion.ops import CLAMP
from hatch_irpytorch.emit.skeleton import save_weights_text
from hatch_irpytorch.emit.tables import NUMBERS, NUMBERS_FLOAT64
from hatch_irpytorch.emit.weights import MAPPED_TENSORS
from hatch_irpytorch.errors import Place, Problem
from hatch_irpytorch.ir.ops import OPS
from hatch_irpytorch.ir.ops.code import Function
from hatch_irpytorch.verify.patterns import (
    BOUND,
    BYTE_ORDER_MARK,
    COMMENT,
    ENCODING,
    GRAPH,
    LAST,
    ORIGIN,
    PLAIN_TEXT,
    REQUIRE_SHAPE_TEXT,
    SUMMARY,
    TABLE,
    TABLE_TEXT,
    VALUE,
    WEIGHTS_FILE,
    WRAPPED,
)

IMPORTS = frozenset(
    {
        "import itertools",
        "import json",
        "import math",
        "import numpy as np",
        "import torch",
        "import torch.nn.functional as F",
        "from mmap import ACCESS_COPY, mmap",
        "from pathlib import Path",
        "from torch import fx, nn",
    }
)

_NODES: tuple[type[ast.AST], ...] = (
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
    ast.Subscript,
    ast.Tuple,
    ast.UnaryOp,
    ast.USub,
    ast.comprehension,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DOTTED = _words("""
torch.Tensor torch.abs torch.addcmul torch.autograd torch.autograd.backward torch.bfloat16
torch.bool torch.broadcast_to torch.cat torch.clamp torch.cos torch.cuda torch.cuda.is_available
torch.device torch.exp torch.float16 torch.float32 torch.float64 torch.full torch.log
torch.manual_seed torch.matmul torch.maximum torch.mean torch.minimum torch.optim torch.optim.Adam
torch.optim.Optimizer torch.optim.SGD torch.rand torch.randint torch.randn torch.reciprocal
torch.relu torch.reshape torch.sigmoid torch.sin torch.softmax torch.split torch.sqrt torch.square
torch.stack torch.sum torch.tanh torch.unflatten torch.zeros F.avg_pool1d F.avg_pool2d F.avg_pool3d
F.batch_norm F.embedding F.conv1d F.conv2d F.conv3d F.gelu F.layer_norm F.linear F.log_softmax
F.max_pool1d F.max_pool2d F.max_pool3d F.mse_loss F.pad F.scaled_dot_product_attention F.silu
Path.with_name nn.Module nn.Parameter
""")
_METHODS = _words("""
__init__ detach expand flatten long new_empty numel parameters permute register_buffer
requires_grad repeat repeat_interleave reshape shape squeeze step sum to train transpose unsqueeze
with_name zero_grad
""")
_NAMES = _words("""
F Path ValueError __file__ __name__ bool dtype float int main make_optimizer nn print
range require_integers require_shape self str super torch train_step tuple weights x
""")
_LOCALS = _words(
    "device kind loss lr model opt out p pairs parameters step target y zip count max sums total"
)
_SKELETON = frozenset({"make_optimizer", "train_step", "main"})
_STRINGS = frozenset(
    {"-inf", "__main__", "adam", "cpu", "cuda", "inf", "nan", "sgd", "step ", ": loss ", ".6f"}
    | {"unknown optimizer: ", "sum", "tanh"}
)


def encoding_problems(data: bytes, file: str) -> list[Problem]:
    """What makes Python read other text in a file than everyone else does."""
    found = []
    for number, line in enumerate(re.split(rb"\r\n|\r|\n", data, maxsplit=2)[:2], 1):
        if ENCODING.match(line.removeprefix(BYTE_ORDER_MARK)):
            place = Place(file, number, 1)
            message = "Python takes this line for the name of the file's encoding"
            found.append(Problem("foreign-code", place, message))
    if data.startswith(BYTE_ORDER_MARK):
        message = "the file starts with a byte order mark"
        found.append(Problem("foreign-code", Place(file, 1, 1), message))
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        found.append(Problem("foreign-code", Place(file), "the file is not UTF-8"))
    return found


def check_source(text: str, file: str) -> list[Problem]:
    """What in a module's text the emitter never writes, each with its line."""
    problems = encoding_problems(text.encode("utf-8", "surrogatepass"), file)
    if problems:
        return problems
    if not PLAIN_TEXT.fullmatch(text):
        message = "the text holds characters other than printable ASCII and line feeds"
        return [Problem("foreign-code", Place(file), message)]
    try:
        tree = ast.parse(text)
        tokens = list(tokenize.generate_tokens(StringIO(text).readline))
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError, MemoryError):
        return [Problem("foreign-code", Place(file), "the text is not Python")]
    checker = _Checker(tree)
    found = [*checker.module(tree), *_comments(tokens)]
    return [
        Problem("foreign-code", Place(file, line, column + 1), f"{what} is nothing we write")
        for line, column, what in sorted(set(found))
    ]


Found = tuple[int, int, str]


def _comments(tokens: list[tokenize.TokenInfo]) -> Iterator[Found]:
    for token in tokens:
        if token.type != tokenize.COMMENT or COMMENT.fullmatch(token.string):
            continue
        has_its_line = token.line.strip() == token.string
        if not has_its_line or not ORIGIN.fullmatch(token.string):
            yield (*token.start, "the comment")


def known_functions() -> dict[str, set[str]]:
    """The functions of fixed text that a module may carry: name to parsed forms."""
    functions = [NUMBERS, NUMBERS_FLOAT64, CLAMP, *MAPPED_TENSORS.values()]
    for module in sorted({op.__module__ for op in OPS}):
        functions += [f for f in vars(sys.modules[module]).values() if isinstance(f, Function)]
    found: dict[str, set[str]] = {}
    for function in functions:
        parsed = ast.dump(ast.parse(function.source).body[0])
        found.setdefault(function.name, set()).add(parsed)
    return found


class _Checker:
    def __init__(self, tree: ast.Module) -> None:
        self.functions = known_functions()
        classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        self.names = _NAMES | set(self.functions) | classes

    def module(self, tree: ast.Module) -> Iterator[Found]:
        summary = ast.get_docstring(tree, clean=False)
        if summary is None or not SUMMARY.fullmatch(summary):
            yield 1, 0, "the docstring"
        for node in tree.body[0 if summary is None else 1 :]:
            yield from self.top_level(node)

    def top_level(self, node: ast.stmt) -> Iterator[Found]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            if ast.unparse(node) not in IMPORTS:
                yield _at(node, "the import")
        elif isinstance(node, ast.ClassDef):
            yield from self.class_body(node)
        elif isinstance(node, ast.FunctionDef):
            yield from self.top_function(node)
        elif isinstance(node, ast.If):
            if ast.unparse(node) != "if __name__ == '__main__':\n    main()":
                yield _at(node, "the statement")
        elif isinstance(node, ast.Assign) and _is_table(node):
            yield from _table(node.value)
        elif isinstance(node, ast.Expr) and WRAPPED.fullmatch(ast.unparse(node)):
            return
        else:
            yield _at(node, "the statement")

    def top_function(self, node: ast.FunctionDef) -> Iterator[Found]:
        if node.name in _SKELETON:
            yield from self.function(node, self.names | _LOCALS)
        elif node.name == REQUIRE_SHAPE:
            if not REQUIRE_SHAPE_TEXT.fullmatch(ast.unparse(node).replace('"', "'")):
                yield _at(node, f"the function `{REQUIRE_SHAPE}`")
        elif node.name == REQUIRE_INTEGERS:
            if not _is_require_integers(node):
                yield _at(node, f"the function `{REQUIRE_INTEGERS}`")
        elif node.name == "save_weights":
            if not _is_save_weights(node):
                yield _at(node, "the function `save_weights`")
        elif ast.dump(node) not in self.functions.get(node.name, ()):
            yield _at(node, f"the function `{node.name}`")

    def class_body(self, node: ast.ClassDef) -> Iterator[Found]:
        bases = [ast.unparse(base) for base in node.bases]
        if bases != ["nn.Module"] or node.keywords or node.decorator_list:
            yield _at(node, "the class")
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name in ("__init__", "forward"):
                yield from self.function(item, self.names)
            elif not (isinstance(item, ast.AnnAssign) and _is_buffer(item)):
                yield _at(item, "the statement")

    def function(self, node: ast.FunctionDef, names: frozenset[str] | set[str]) -> Iterator[Found]:
        documented = node.name in _SKELETON and ast.get_docstring(node) is not None
        docstring = node.body[0] if documented else None
        if node.decorator_list:
            yield _at(node, "the decorator")
        for part in ast.walk(node):
            if docstring is not None and part in (docstring, getattr(docstring, "value", None)):
                continue
            yield from self.part(part, names)

    def part(self, node: ast.AST, names: frozenset[str] | set[str]) -> Iterator[Found]:
        if not isinstance(node, _NODES):
            yield _at(node, f"`{type(node).__name__}`")
        elif isinstance(node, ast.Name):
            known = node.id in names or VALUE.fullmatch(node.id) or TABLE.fullmatch(node.id)
            if not known:
                yield _at(node, f"the name `{node.id}`")
        elif isinstance(node, ast.Attribute):
            if not _attribute_is_known(node):
                yield _at(node, f"the attribute `{node.attr}`")
        elif isinstance(node, ast.Constant) and not _constant_is_known(node.value):
            yield _at(node, "the constant")


def _at(node: ast.AST, what: str) -> Found:
    return getattr(node, "lineno", 1), getattr(node, "col_offset", 0), what


def _attribute_is_known(node: ast.Attribute) -> bool:
    root = node.value
    while isinstance(root, ast.Attribute):
        root = root.value
    if isinstance(root, ast.Name) and root.id in ("torch", "F", "nn", "Path"):
        return ast.unparse(node) in _DOTTED
    of_self = isinstance(node.value, ast.Name) and node.value.id == "self"
    return node.attr in _METHODS or (of_self and BOUND.fullmatch(node.attr) is not None)


def _constant_is_known(value: object) -> bool:
    if isinstance(value, str):
        patterns: list[Callable[[str], object]] = [BOUND.fullmatch, WEIGHTS_FILE.fullmatch]
        return value in _STRINGS or any(pattern(value) for pattern in patterns)
    return value is None or value is ... or isinstance(value, bool | int | float)


def _is_save_weights(node: ast.FunctionDef) -> bool:
    """Whether the function is ours, whichever graph it names."""
    digests = GRAPH.findall(ast.unparse(node))
    expected = save_weights_text(digests[0]) if digests else ""
    return ast.dump(node) == ast.dump(ast.parse(expected).body[0]) if expected else False


def _is_require_integers(node: ast.FunctionDef) -> bool:
    """Whether the function is ours, whatever the numbers have to be below."""
    last = LAST.search(ast.unparse(node))
    expected = require_integers(int(last[1]) + 1).source if last else ""
    return ast.dump(node) == ast.dump(ast.parse(expected).body[0]) if expected else False


def _is_table(node: ast.Assign) -> bool:
    (target, *others) = node.targets
    named = isinstance(target, ast.Name) and TABLE.fullmatch(target.id) is not None
    return named and not others


def _table(node: ast.expr) -> Iterator[Found]:
    text = node.value if isinstance(node, ast.Constant) else None
    if not isinstance(text, str) or not TABLE_TEXT.fullmatch(text):
        yield _at(node, "the table")


def _is_buffer(node: ast.AnnAssign) -> bool:
    named = isinstance(node.target, ast.Name) and BOUND.fullmatch(node.target.id) is not None
    return named and node.value is None and ast.unparse(node.annotation) == "torch.Tensor"
