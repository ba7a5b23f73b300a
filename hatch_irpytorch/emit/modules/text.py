"""The classes of `layout: modules` as lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from hatch_irpytorch.emit.contract import REQUIRE_INTEGERS, REQUIRE_SHAPE
from hatch_irpytorch.emit.forward import returns
from hatch_irpytorch.emit.layout import LINE_WIDTH, flat, returned, statement
from hatch_irpytorch.emit.literals import rounded
from hatch_irpytorch.emit.modules.forms import ORDERED, ClassForm, Form, Held, Line, Loop
from hatch_irpytorch.emit.modules.layers import FROZEN_BATCH_NORM
from hatch_irpytorch.emit.modules.members import is_numbered
from hatch_irpytorch.emit.plan import ClassTree, LaidOut, ModulePlan, Tensor
from hatch_irpytorch.emit.tables import flag_table, table
from hatch_irpytorch.ir.keys import Path
from hatch_irpytorch.ir.ops.code import Call, Code, Function, call, mapped

PUT = Function(
    "put",
    '''\
def put(module: nn.Module, key: str, tensor: torch.Tensor) -> None:
    """Put a tensor in its place, as a parameter where one stands there."""
    path, _, name = key.rpartition(".")
    part = module.get_submodule(path)
    old = getattr(part, name)
    if isinstance(old, nn.Parameter):
        tensor = nn.Parameter(tensor, requires_grad=old.requires_grad)
    setattr(part, name, tensor)
''',
)
FILL = Function(
    "fill",
    '''\
def fill(module: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Put each tensor in its place."""
    for key, tensor in tensors.items():
        put(module, key, tensor)
''',
    needs=(PUT,),
)


LOAD_STATE_DICT = '''\
    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As `nn.Module` does, but for the counts of batches, which only training reads."""
        ending = ".num_batches_tracked"
        kept = {k: v for k, v in state_dict.items() if not k.endswith(ending)}
        return super().load_state_dict(kept, strict, assign)
'''

TABLE_TENSORS = Function(
    "table_tensors",
    '''\
def table_tensors(
    module: nn.Module, tables: dict[str, str], dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """The tensors whose entries stand in tables, each of the shape of its place."""
    found = {}
    for key, text in tables.items():
        path, _, name = key.rpartition(".")
        shape = getattr(module.get_submodule(path), name).shape
        values = np.fromstring(text, sep=" ").astype(np.float32)
        found[key] = torch.tensor(values, dtype=dtype).reshape(shape)
    return found
''',
)
TABLE_TENSORS_FLOAT64 = Function(
    TABLE_TENSORS.name, TABLE_TENSORS.source.replace(".astype(np.float32)", "")
)


def tree_text(plan: ModulePlan, weights_file: str | None) -> LaidOut:
    """The classes of a plan, whose tensors are read from tables or from a file."""
    tree = plan.body
    assert isinstance(tree, ClassTree)
    functions = [PUT] if tree.tensors else []
    filling: list[Code] = []
    if weights_file is not None:
        path = call("Path(__file__).with_name", f'"{weights_file}"')
        filling.append(call("mapped_tensors", path))
    tables: list[str] = []
    if plan.has_tables:
        functions.append(TABLE_TENSORS_FLOAT64 if plan.dtype == "float64" else TABLE_TENSORS)
        held = [tensor for tensor in tree.tensors if plan.has_table(tensor)]
        numbers = [tensor for tensor in held if tensor.mask is None]
        flags = [tensor for tensor in held if tensor.mask is not None]
        for name, kind, some in (("NUMBERS", plan.dtype, numbers), ("FLAGS", "bool", flags)):
            if some:
                filling.append(call("table_tensors", "self", name, f"torch.{kind}"))
                tables += [*([""] if tables else []), *_table(name, some, plan.dtype)]
    made = [tensor for tensor in tree.tensors if tensor.code is not None]
    functions += [FILL] if filling else []
    lines = [line for code in filling for line in statement("", call(FILL, "self", code))]
    lines += [line for tensor in made for line in _made(tensor, plan.dtype)]
    if FROZEN_BATCH_NORM in plan.functions:
        lines += ["", *LOAD_STATE_DICT.rstrip().split("\n")]
    ordered = any("OrderedDict(" in flat(code) for code in tree.codes)
    imports = ("from collections import OrderedDict",) if ordered else ()
    required = [f"{REQUIRE_SHAPE}(x)"]
    required += [] if plan.integers is None else [f"{REQUIRE_INTEGERS}(x)"]
    classes = [class_lines(part) for part in tree.classes]
    classes.append(model_lines(plan.name, tree.model, lines, required))
    return LaidOut(tuple(functions), classes, tables, imports)


def _made(tensor: Tensor, dtype: str) -> list[str]:
    """The statement that fills in a tensor which follows from code."""
    assert tensor.code is not None
    code = mapped(tensor.code, lambda text: f"torch.{dtype}" if text == "dtype" else text)
    return statement("", call(PUT, "self", f'"{tensor.name}"', code))


def _table(name: str, held: Sequence[Tensor], dtype: str) -> Iterator[str]:
    """A dictionary of tables by key."""
    yield f"{name} = {{"
    for tensor in held:
        if tensor.mask is not None:
            text = flag_table(name, tensor.mask.allowed, tensor.shape)
        else:
            assert tensor.values is not None
            text = table(name, rounded(tensor.values, dtype), tensor.shape, dtype)
        yield f'    "{tensor.name}": {text.removeprefix(f"{name} = ")},'
    yield "}"


def class_lines(part: ClassForm) -> list[str]:
    """A class that is a part of the model."""
    lines = [f"class {part.name}(nn.Module):", *_docstring(part.paths)]
    lines += _annotations(part.form.held)
    given = ["self", *(f"{name}: {kind}" for name, kind in part.parameters)]
    lines += [*_signature("__init__", given, "None"), "        super().__init__()"]
    lines += [f"        self.{name} = {name}" for name in part.kept]
    lines += _members(part.form, 8)
    return [*lines, "", *forward(part.form, [])] if part.form.returns else lines


def model_lines(
    name: str, form: Form, filling: Sequence[str], required: Sequence[str]
) -> list[str]:
    """The class of the model, whose parts are made without numbers and then filled."""
    numbered = is_numbered([part for part, _ in form.parts])
    base = "nn.Sequential" if numbered else "nn.Module"
    lines = [f"class {name}({base}):", *_annotations(form.held)]
    if form.parts or form.held:
        lines += ["    def __init__(self) -> None:"]
        if numbered:
            lines += ['        with torch.device("meta"):']
            lines += statement("", _super(form.parts), indent=12)
            lines += _members(replace(form, parts=()), 12)
        else:
            lines += ["        super().__init__()", '        with torch.device("meta"):']
            lines += _members(form, 12)
        lines += [*filling]
    blank = [""] if len(lines) > 1 else []
    return [*lines, *blank, *forward(form, required)]


def _super(parts: Sequence[tuple[str, Code]]) -> Code:
    return Call("super().__init__", tuple(_constructed(code) for _, code in parts))


def _docstring(paths: Sequence[Path]) -> list[str]:
    shown = [".".join(path) for path in paths]
    text = shown[0] if len(shown) == 1 else f"{shown[0]} to {shown[-1]}, {len(shown)} in all"
    line = f'    """{text}."""'
    return [line, ""] if len(line) <= LINE_WIDTH else []


def _annotations(held: Sequence[Held]) -> list[str]:
    lines = [f"    {tensor.name}: torch.Tensor" for tensor in held if not tensor.is_parameter]
    return [*lines, ""] if lines else []


def _members(form: Form, indent: int) -> list[str]:
    lines = [line for part in form.parts for line in _part(*part, indent)]
    lines += _arrays(form.held, indent)
    pad = " " * indent
    return lines + [f"{pad}self.{name}.requires_grad_(False)" for name in form.frozen]


def _constructed(code: Code) -> Code:
    """What constructs a part: equal parts of a sequence are said once."""
    if isinstance(code, str):
        return code
    arguments = tuple(map(_constructed, code.arguments))
    keywords = tuple((name, _constructed(value)) for name, value in code.keywords)
    if code.function == "nn.Sequential" and len(arguments) > 1 and len(set(arguments)) == 1:
        return call("nn.Sequential", f"*({flat(arguments[0])} for _ in range({len(arguments)}))")
    if code.function == ORDERED and len(keywords) > 1:
        names, codes = zip(*keywords, strict=True)
        stem = names[0].removesuffix("0")
        if len(set(codes)) == 1 and names == tuple(f"{stem}{i}" for i in range(len(names))):
            pair = f'(f"{stem}{{i}}", {flat(codes[0])})'
            return call(ORDERED, f"{pair} for i in range({len(names)})")
    return Call(code.function, arguments, keywords)


def _part(name: str, code: Code, indent: int) -> list[str]:
    code = _constructed(code)
    if name.isdecimal():
        return statement("", call("self.add_module", f'"{name}"', code), indent=indent)
    return statement(f"self.{name}", code, indent=indent)


def _arrays(held: Sequence[Held], indent: int) -> list[str]:
    return [line for tensor in held for line in _array(tensor, indent)]


def _array(held: Held, indent: int) -> list[str]:
    # What has no entries is not filled.
    kind = {"dtype": f"torch.{held.dtype}", "device": '"cpu"'} if "0" in held.shape else {}
    empty = call("torch.empty", *(held.shape or ("()",)), **kind)
    if held.is_parameter:
        code = call("nn.Parameter", empty)
        return statement(f"self.{held.name}", code, indent=indent)
    saved: dict[str, bool] = {} if held.saved else {"persistent": False}
    code = call("self.register_buffer", f'"{held.name}"', empty, **saved)
    return statement("", code, indent=indent)


def forward(form: Form, required: Sequence[str]) -> Iterator[str]:
    """The method that computes."""
    kind = "torch.Tensor"
    if len(form.returns) > 1:
        kind = f"tuple[{', '.join([kind] * len(form.returns))}]"
    given = ["self", *(f"{name}: torch.Tensor" for name in form.arguments)]
    yield from _signature("forward", given, kind)
    yield from (f"        {line}" for line in required)
    for said in form.lines[:-1]:
        yield from _line(said)
    yield from _ending(form.lines[-1] if form.lines else None, form.returns, form.arguments)


def _is_typed(code: Code, arguments: tuple[str, ...]) -> bool:
    """Whether mypy knows that code gives a tensor: a call of torch, or a method of an argument."""
    if isinstance(code, str):
        return False
    if not isinstance(code.function, str):
        return True
    first, *others = code.function.split(".")
    return first in ("F", "torch") or (len(others) == 1 and first in arguments)


def _signature(name: str, given: Sequence[str], kind: str) -> list[str]:
    """The first line of a method, or its lines where it is too long for one."""
    arguments = ", ".join(given)
    line = f"    def {name}({arguments}) -> {kind}:"
    if len(line) <= LINE_WIDTH:
        return [line]
    if len(arguments) + 8 <= LINE_WIDTH:
        return [f"    def {name}(", f"        {arguments}", f"    ) -> {kind}:"]
    return [f"    def {name}(", *(f"        {item}," for item in given), f"    ) -> {kind}:"]


def _line(line: Line | Loop) -> list[str]:
    if isinstance(line, Loop):
        inner = line.line
        body = statement(", ".join(inner.targets), inner.code, inner.comment, 12)
        return [f"        for {line.variable} in {line.over}:", *body]
    return _shortest(partial(statement, ", ".join(line.targets)), line)


def _shortest(said: Callable[[Code, str], list[str]], line: Line) -> list[str]:
    """A statement without its comment where that alone makes it longer than a line."""
    whole = said(line.code, line.comment)
    bare = said(line.code, "")
    return bare if len(bare) == 1 < len(whole) else whole


def _ending(
    last: Line | Loop | None, names: tuple[str, ...], arguments: tuple[str, ...]
) -> list[str]:
    """The last line as what is returned, where it makes just that.

    For mypy a module gives anything: an argument, which is known to be a tensor, takes it.
    """
    if isinstance(last, Line) and last.targets == names:
        if len(names) > 1 or _is_typed(last.code, arguments):
            return _shortest(returned, last)
        if not arguments:
            annotated = statement("result: torch.Tensor", last.code)
            return [*annotated, *returns(("result",))]
        names = arguments[:1]
        last = replace(last, targets=names)
    return [*([] if last is None else _line(last)), *returns(names)]
