"""The rules of `fuse: true` for GELU: by tanh, and the exact one that `capture` writes."""

from __future__ import annotations

import math

from hatch_irpytorch.emit.fusion.nodes import Fuser
from hatch_irpytorch.emit.fusion.ops import OneCall
from hatch_irpytorch.ir.graph import Node
from hatch_irpytorch.ir.normal_tail import GELU_END, GELU_UNIT, RATE, polynomial

_SAME = 1e-6
"""How far a number of a float32 file may be from the one it means."""


def fuse_tanh_gelu(fuser: Fuser, node: Node) -> bool:
    """0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))) → gelu."""
    if node.op.tag != "mul_elem":
        return False
    for half, wave in (node.parents, node.parents[::-1]):
        halved = fuser.with_number(half, "mul_elem")
        raised = fuser.with_number(wave, "add")
        if halved is None or raised is None or (halved[1], raised[1]) != (0.5, 1.0):
            continue
        x, tanh = halved[0], raised[0]
        inner = fuser.nodes[tanh].parents[0] if fuser.op(tanh).tag == "tanh" else -1
        scaled = fuser.with_number(inner, "mul_elem") if inner >= 0 else None
        if scaled is None or not math.isclose(scaled[1], math.sqrt(2 / math.pi), rel_tol=_SAME):
            continue
        cubic = _cubic(fuser, scaled[0], x)
        if cubic is not None:
            covered = (*halved[2], *raised[2], tanh, *scaled[2], *cubic)
            return fuser.put(node, OneCall("tanh_gelu"), (x,), covered)
    return False


def _cubic(fuser: Fuser, node_id: int, x: int) -> tuple[int, ...] | None:
    """The nodes of x + 0.044715 x³."""
    node = fuser.nodes[node_id]
    if node.op.tag != "add" or x not in node.parents:
        return None
    other = node.parents[1] if node.parents[0] == x else node.parents[0]
    scaled = fuser.with_number(other, "mul_elem")
    if scaled is None or not math.isclose(scaled[1], 0.044715, rel_tol=_SAME):
        return None
    cube = fuser.nodes[scaled[0]]
    if cube.op.tag != "mul_elem" or x not in cube.parents:
        return None
    square = cube.parents[1] if cube.parents[0] == x else cube.parents[0]
    if fuser.op(square).tag != "mul_elem" or fuser.nodes[square].parents != (x, x):
        return None
    return (node_id, *scaled[2], cube.id, square)


def fuse_exact_gelu(fuser: Fuser, node: Node) -> bool:
    """max(x, 0) - |x| / 2 * erfc(|x| / √2), with erfc by its polynomial → gelu."""
    if node.op.tag != "sub" or node.id in fuser.signed:
        return False
    larger = _with(fuser, node.parents[0], "max_elem", 0.0)
    tail = fuser.nodes[node.parents[1]]
    if larger is None or tail.op.tag != "mul_elem":
        return False
    half, exp = tail.parents
    halved = _with(fuser, half, "mul_elem", 0.5)
    if halved is None or fuser.op(exp).tag != "exp":
        return False
    size, x = halved[0], larger[0]
    exponent = fuser.nodes[fuser.nodes[exp].parents[0]]
    limited = _with(fuser, size, "min_elem", GELU_END)
    if limited is None or exponent.op.tag != "mul_elem" or exponent.parents[0] != half:
        return False
    absolute = fuser.nodes[limited[0]]
    decline = _decline(fuser, exponent.parents[1], size)
    if decline is None or absolute.op.tag != "abs" or absolute.parents != (x,):
        return False
    covered = (tail.id, exp, exponent.id, absolute.id)
    parts = (larger[1], halved[1], limited[1], decline)
    every = (*covered, *(node_id for part in parts for node_id in part))
    return fuser.put(node, OneCall("gelu"), (x,), every)


def _decline(fuser: Fuser, node_id: int, size: int) -> tuple[int, ...] | None:
    """The nodes of -s(t) / GELU_UNIT - size, where t is 1 / (1 + RATE * GELU_UNIT * size)."""
    node = fuser.nodes[node_id]
    if node.op.tag != "sub" or node.parents[1] != size:
        return None
    first, *others = polynomial(GELU_UNIT)
    s, covered = node.parents[0], [node_id]
    t = None
    for number in reversed(others):
        raised = _with(fuser, s, "add", number)
        if raised is None or fuser.op(raised[0]).tag != "mul_elem":
            return None
        s, factor = fuser.nodes[raised[0]].parents
        covered += (raised[0], *raised[1])
        if t not in (None, factor):
            return None
        t = factor
    last = fuser.number(s)
    if last is None or not _is(last[0], first) or t is None or fuser.op(t).tag != "inv":
        return None
    raised = _with(fuser, fuser.nodes[t].parents[0], "add", 1.0)
    scaled = None if raised is None else _with(fuser, raised[0], "mul_elem", RATE * GELU_UNIT)
    if raised is None or scaled is None or scaled[0] != size:
        return None
    return (*covered, *last[1], t, *raised[1], *scaled[1])


def _with(
    fuser: Fuser, node_id: int, tag: str, number: float
) -> tuple[int, tuple[int, ...]] | None:
    """Of an op of a value and this number: the value, and the nodes."""
    found = fuser.with_number(node_id, tag)
    return (found[0], found[2]) if found is not None and _is(found[1], number) else None


def _is(number: float, meant: float) -> bool:
    return math.isclose(number, meant, rel_tol=_SAME)
