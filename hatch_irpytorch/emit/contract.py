"""The functions of a generated module that refuse an input which it was not proven for."""

from __future__ import annotations

from hatch_irpytorch.emit.layout import LINE_WIDTH, statement
from hatch_irpytorch.emit.templates import shape_comment
from hatch_irpytorch.ir.ops.code import Function, call
from hatch_irpytorch.ir.symbolic import SymbolicShape, is_free

REQUIRE_SHAPE = "require_shape"
REQUIRE_INTEGERS = "require_integers"


def require_shape(shape: SymbolicShape) -> Function:
    """The function for an input of `shape`, whose free extents may be anything.

    `torch.fx` records a call of it as a step of its graph: nothing can be decided while it traces.
    """
    text = shape_comment(shape)
    found, wanted = _compared(shape)
    condition = f"    if {found} != {wanted}:"
    if len(condition) > LINE_WIDTH:
        wide = statement("expected", call("", *map(str, _numbers(shape))), indent=4)
        condition = "\n".join([*wide, f"    if {found} != expected:"])
    lines = [
        f"def {REQUIRE_SHAPE}(x: torch.Tensor) -> None:",
        f'    """Raise ValueError unless x is {text}."""',
        condition,
        *_raised(f"expected x of {text}, found {{tuple(x.shape)}}: ", _remedy(shape)),
        "",
        "",
        f'fx.wrap("{REQUIRE_SHAPE}")',
    ]
    return Function(REQUIRE_SHAPE, "\n".join(lines) + "\n")


def require_integers(below: int) -> Function:
    """The function for an input of whole numbers from 0, all `below` one.

    Tracing and mapping show it no numbers, and then it looks at none.
    """
    last = below - 1
    source = f'''\
def {REQUIRE_INTEGERS}(x: torch.Tensor) -> None:
    """Raise ValueError unless x holds whole numbers from 0 to {last}.

    Where torch compiles, exports or maps, no numbers are seen, and none are looked at.
    """
    if torch.compiler.is_compiling():
        return
    fits = (x >= 0) & (x <= {last}) & (x == x.floor())
    try:
        all_fit = bool(fits.all())
    except RuntimeError:
        return
    if not all_fit:
        found = x[~fits][0].item()
        raise ValueError(f"expected x of whole numbers from 0 to {last}, found {{found}}")


fx.wrap("{REQUIRE_INTEGERS}")
'''
    return Function(REQUIRE_INTEGERS, source)


def _remedy(shape: SymbolicShape) -> str:
    return "reshape or resize it" if any(map(is_free, shape)) else "pass one such x at a time"


def _raised(told: str, remedy: str) -> list[str]:
    whole = f'f"{told}{remedy}"'
    if len(whole) + len("        raise ValueError()") <= LINE_WIDTH:
        return [f"        raise ValueError({whole})"]
    texts = [whole] if len(whole) + 12 <= LINE_WIDTH else [f'f"{told}"', f'"{remedy}"']
    return ["        raise ValueError(", *(f"            {text}" for text in texts), "        )"]


def _numbers(shape: SymbolicShape) -> tuple[int, ...]:
    return tuple(extent for extent in shape if isinstance(extent, int))


def _compared(shape: SymbolicShape) -> tuple[str, str]:
    """What of the shape of `x` is compared, and what it has to be: all but the free extents."""
    free = [axis for axis, extent in enumerate(shape) if is_free(extent)]
    numbers = _numbers(shape)
    if not free:
        return "x.shape", str(numbers)
    if not numbers:
        return "x.dim()", str(len(shape))
    if free == [0]:
        return "x.shape[1:]", str(numbers)
    if len(free) == 1 and free[0] < len(shape) - 1:
        return f"x.shape[: {free[0]}] + x.shape[{free[0] + 1} :]", str(numbers)
    fixed = [f"*x.shape[{axis} : {axis + 1}]" for axis in range(len(shape)) if axis not in free]
    return f"({', '.join(['x.dim()', *fixed])})", str((len(shape), *numbers))
