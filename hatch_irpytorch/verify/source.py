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
from textwrap import dedent

from hatch_irpytorch.emit.contract import REQUIRE_INTEGERS, REQUIRE_SHAPE, require_integers
from hatch_irpytorch.emit.fusion.ops import CLAMP
from hatch_irpytorch.emit.modules.layers import FROZEN_BATCH_NORM
from hatch_irpytorch.emit.modules.text import (
    FILL,
    LOAD_STATE_DICT,
    PUT,
    TABLE_TENSORS,
    TABLE_TENSORS_FLOAT64,
)
from hatch_irpytorch.emit.options import RESERVED_NAMES
from hatch_irpytorch.emit.skeleton import save_weights_text
from hatch_irpytorch.emit.tables import NUMBERS, NUMBERS_FLOAT64
from hatch_irpytorch.emit.weights import MAPPED_TENSORS
from hatch_irpytorch.errors import Place, Problem
from hatch_irpytorch.ir.keys import is_attribute
from hatch_irpytorch.ir.ops import OPS
from hatch_irpytorch.ir.ops.code import Function
from hatch_irpytorch.verify.patterns import (
    BYTE_ORDER_MARK,
    COMMENT,
    ENCODING,
    GRAPH,
    KEY,
    LAST,
    ORIGIN,
    PLACES,
    PLAIN_TEXT,
    REQUIRE_SHAPE_TEXT,
    SUMMARY,
    TABLE,
    TABLE_TEXT,
    VALUE,
    WEIGHTS_FILE,
    WRAPPED,
)
from hatch_irpytorch.verify.words import (
    DOTTED,
    IMPORTS,
    LOCALS,
    METHODS,
    NAMES,
    NODES,
    SKELETON,
    STRINGS,
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
    functions += [FILL, PUT, FROZEN_BATCH_NORM, TABLE_TENSORS, TABLE_TENSORS_FLOAT64]
    for module in sorted({op.__module__ for op in OPS}):
        functions += [f for f in vars(sys.modules[module]).values() if isinstance(f, Function)]
    found: dict[str, set[str]] = {}
    for function in functions:
        parsed = ast.dump(ast.parse(function.source).body[0])
        found.setdefault(function.name, set()).add(parsed)
    return found


_LOAD_STATE_DICT = ast.dump(ast.parse(dedent(LOAD_STATE_DICT)).body[0])


class _Checker:
    def __init__(self, tree: ast.Module) -> None:
        self.functions = known_functions()
        classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        self.names = NAMES | set(self.functions) | classes

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
            if ast.dump(node) not in self.functions.get(node.name, ()):
                yield from self.class_body(node)
        elif isinstance(node, ast.FunctionDef):
            yield from self.top_function(node)
        elif isinstance(node, ast.If):
            if ast.unparse(node) != "if __name__ == '__main__':\n    main()":
                yield _at(node, "the statement")
        elif isinstance(node, ast.Assign) and (check := _table_check(node)) is not None:
            yield from check(node.value)
        elif isinstance(node, ast.Expr) and WRAPPED.fullmatch(ast.unparse(node)):
            return
        else:
            yield _at(node, "the statement")

    def top_function(self, node: ast.FunctionDef) -> Iterator[Found]:
        if node.name in SKELETON:
            yield from self.function(node, self.names | LOCALS)
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
        if bases not in (["nn.Module"], ["nn.Sequential"]) or node.keywords or node.decorator_list:
            yield _at(node, "the class")
        documented = ast.get_docstring(node, clean=False)
        if documented is not None and not PLACES.fullmatch(documented):
            yield _at(node, "the docstring")
        for item in node.body[0 if documented is None else 1 :]:
            if isinstance(item, ast.FunctionDef) and item.name in ("__init__", "forward"):
                yield from self.function(item, self.names | _locals(item))
            elif isinstance(item, ast.FunctionDef) and ast.dump(item) == _LOAD_STATE_DICT:
                continue
            elif not (isinstance(item, ast.AnnAssign) and _is_buffer(item)):
                yield _at(item, "the statement")

    def function(self, node: ast.FunctionDef, names: frozenset[str] | set[str]) -> Iterator[Found]:
        documented = node.name in SKELETON and ast.get_docstring(node) is not None
        docstring = node.body[0] if documented else None
        if node.decorator_list:
            yield _at(node, "the decorator")
        for part in ast.walk(node):
            if docstring is not None and part in (docstring, getattr(docstring, "value", None)):
                continue
            yield from self.part(part, names)

    def part(self, node: ast.AST, names: frozenset[str] | set[str]) -> Iterator[Found]:
        if not isinstance(node, NODES):
            yield _at(node, f"`{type(node).__name__}`")
        elif isinstance(node, ast.Name):
            known = node.id in names or VALUE.fullmatch(node.id) or TABLE.fullmatch(node.id)
            if not known:
                yield _at(node, f"the name `{node.id}`")
        elif isinstance(node, ast.Attribute):
            if not _attribute_is_known(node):
                yield _at(node, f"the attribute `{node.attr}`")
        elif isinstance(node, ast.Subscript | ast.With) and not _is_usual(node):
            yield _at(node, "the statement" if isinstance(node, ast.With) else "the subscript")
        elif isinstance(node, ast.Constant) and not _constant_is_known(node.value):
            yield _at(node, "the constant")


def _at(node: ast.AST, what: str) -> Found:
    return getattr(node, "lineno", 1), getattr(node, "col_offset", 0), what


def _attribute_is_known(node: ast.Attribute) -> bool:
    root = node.value
    while isinstance(root, ast.Attribute):
        root = root.value
    if isinstance(root, ast.Name) and root.id in ("torch", "F", "nn", "Path"):
        return ast.unparse(node) in DOTTED
    of_self = isinstance(root, ast.Name) and root.id == "self"
    return node.attr in METHODS or (of_self and is_attribute(node.attr))


def _is_usual(node: ast.Subscript | ast.With) -> bool:
    """Whether a text chooses among weights alone, and a context is the device without numbers."""
    if isinstance(node, ast.With):
        return [ast.unparse(item) for item in node.items] == ["torch.device('meta')"]
    named = isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
    return not named or ast.unparse(node.value) == "weights"


def _constant_is_known(value: object) -> bool:
    if isinstance(value, str):
        patterns: list[Callable[[str], object]] = [KEY.fullmatch, WEIGHTS_FILE.fullmatch]
        return value in STRINGS or any(pattern(value) for pattern in patterns)
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


def _table_check(node: ast.Assign) -> Callable[[ast.expr], Iterator[Found]] | None:
    """What looks at a table, or at a dictionary of them; None for any other assignment."""
    (target, *others) = node.targets
    if others or not isinstance(target, ast.Name):
        return None
    if target.id in ("NUMBERS", "FLAGS"):
        return _dictionary
    return _table if TABLE.fullmatch(target.id) else None


def _table(node: ast.expr) -> Iterator[Found]:
    text = node.value if isinstance(node, ast.Constant) else None
    if not isinstance(text, str) or not TABLE_TEXT.fullmatch(text):
        yield _at(node, "the table")


def _dictionary(node: ast.expr) -> Iterator[Found]:
    """Tables by the key of their tensor."""
    if not isinstance(node, ast.Dict):
        yield _at(node, "the dictionary")
        return
    for key, value in zip(node.keys, node.values, strict=True):
        text = key.value if isinstance(key, ast.Constant) else None
        if not isinstance(text, str) or not KEY.fullmatch(text):
            yield _at(node, "the key")
        yield from _table(value)


def _locals(node: ast.FunctionDef) -> frozenset[str]:
    """The arguments of a function, and what it assigns, but for names that mean something else."""
    stored = {
        part.id
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }
    given = {argument.arg for argument in node.args.args}
    return frozenset(name for name in stored | given if is_attribute(name)) - RESERVED_NAMES


def _is_buffer(node: ast.AnnAssign) -> bool:
    named = isinstance(node.target, ast.Name) and is_attribute(node.target.id)
    return named and node.value is None and ast.unparse(node.annotation) == "torch.Tensor"
