"""Formulas of layers that both doors share, each beside torch."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from formula_cases import Case, Shape, agrees, drawn, tensor
from torch import Tensor
from torch.nn import functional

from hatch_irpytorch.capture.builder import Builder, InexpressibleError, Value
from hatch_irpytorch.capture.entries import elementwise as e
from hatch_irpytorch.capture.layers import determinants, fourier, positions
from hatch_irpytorch.capture.layers import normalization as n
from hatch_irpytorch.capture.layers import products as p
from hatch_irpytorch.capture.layers import reductions as r
from hatch_irpytorch.capture.layers.masks import attention_weights
from hatch_irpytorch.capture.selections.selection import slice_axis
from hatch_irpytorch.ir.ops.learned import LearnedAffine

FIXED = LearnedAffine(gamma=False, beta=False)


def of_complex(pair: tuple[Value, Value | None], b: Builder) -> Value:
    real, imaginary = pair
    assert imaginary is not None
    return b.concat([real, imaginary], 0)


def parts_of(z: Tensor) -> Tensor:
    return torch.cat([z.real, z.imag])


def halves(b: Builder, x: Value) -> tuple[Value, Value]:
    """The first and the second entry of the first axis, as a complex tensor."""
    return slice_axis(b, x, 0, 0, 1), slice_axis(b, x, 0, 1, 2)


def joined(x: Tensor) -> Tensor:
    return torch.complex(x[:1], x[1:])


def back_to(extent: int) -> Case:
    return (
        (2, 3, 4),
        lambda b, x: fourier.to_real(b, halves(b, x), [2], 1 / extent, extent),
        lambda x: torch.fft.irfft(joined(x), extent),
    )


WAVES: dict[str, Case] = {
    "of a real tensor, half": (
        (1, 5, 6),
        lambda b, x: of_complex(fourier.of_real(b, x, [1, 2], 0.5, True), b),
        lambda x: parts_of(torch.fft.rfft2(x) * 0.5),
    ),
    "of a real tensor, half of odd": (
        (2, 5),
        lambda b, x: of_complex(fourier.of_real(b, x, [1], 1.0, True), b),
        lambda x: parts_of(torch.fft.rfft(x)),
    ),
    "of a real tensor, whole": (
        (2, 5),
        lambda b, x: of_complex(fourier.of_real(b, x, [1], 2.0, False), b),
        lambda x: parts_of(torch.fft.fft(x) * 2.0),
    ),
    "forward": (
        (2, 3, 4),
        lambda b, x: of_complex(fourier.of_complex(b, halves(b, x), [2, 1], 1.0, True), b),
        lambda x: parts_of(torch.fft.fft2(joined(x))),
    ),
    "back": (
        (2, 3, 4),
        lambda b, x: of_complex(fourier.of_complex(b, halves(b, x), [1, 2], 1 / 12, False), b),
        lambda x: parts_of(torch.fft.ifft2(joined(x))),
    ),
    **{f"back to {extent}": back_to(extent) for extent in (6, 7)},
    "back to real along two axes": (
        (2, 3, 4),
        lambda b, x: fourier.to_real(b, halves(b, x), [1, 2], 1 / 18, 6),
        lambda x: torch.fft.irfft2(joined(x)),
    ),
}


def normal(x: Tensor, axes: list[int], eps: float) -> Tensor:
    return (x - x.mean(axes, True)) / (x.var(axes, correction=0, keepdim=True) + eps).sqrt()


NORMS: dict[str, Case] = {
    "over the last axes": (
        (2, 3, 4),
        lambda b, x: n.standardized(b, x, [-1, -2][::-1], 1e-5),
        lambda x: functional.layer_norm(x, (3, 4)),
    ),
    "over the first of the last axes": (
        (2, 3, 4),
        lambda b, x: n.standardized(b, x, [1], 1e-5),
        lambda x: normal(x, [1], 1e-5),
    ),
    "another epsilon": (
        (2, 3, 4),
        lambda b, x: n.standardized(b, x, [2], 0.5),
        lambda x: normal(x, [2], 0.5),
    ),
    "layer": (
        (2, 3, 4),
        lambda b, x: n.layer_norm(b, x, 1, drawn(3, 4), drawn(3, 4, seed=2), 0.1, FIXED),
        lambda x: functional.layer_norm(x, (3, 4), tensor(3, 4), tensor(3, 4, seed=2), 0.1),
    ),
    "layer without shift": (
        (2, 3, 4),
        lambda b, x: n.layer_norm(b, x, 2, drawn(4), None, 0.1, FIXED),
        lambda x: functional.layer_norm(x, (4,), tensor(4), None, 0.1),
    ),
    "group": (
        (2, 6, 3, 2),
        lambda b, x: n.group_norm(b, x, 2, b.const(drawn(6)), b.const(drawn(6, seed=2)), 0.1),
        lambda x: functional.group_norm(x, 2, tensor(6), tensor(6, seed=2), 0.1),
    ),
    "rms": (
        (2, 3, 4),
        lambda b, x: n.rms_norm(b, x, [1, 2], b.const(drawn(3, 4)), 0.1),
        lambda x: functional.rms_norm(x, (3, 4), tensor(3, 4), 0.1),
    ),
    "batch": (
        (2, 3, 4),
        lambda b, x: n.batch_norm(
            b, x, 1, drawn(3), drawn(3, seed=2), (drawn(3, seed=3), drawn(3) ** 2), 0.1, FIXED
        ),
        lambda x: functional.batch_norm(
            x, tensor(3, seed=3), tensor(3) ** 2, tensor(3), tensor(3, seed=2), eps=0.1
        ),
    ),
    "batch without scale and shift": (
        (2, 3, 4),
        lambda b, x: n.batch_norm(
            b, x, 1, None, None, (drawn(3, seed=3), drawn(3) ** 2), 0.1, FIXED
        ),
        lambda x: functional.batch_norm(x, tensor(3, seed=3), tensor(3) ** 2, eps=0.1),
    ),
}

BLOCKED = np.zeros((3, 4))
BLOCKED[1] = -np.inf
BLOCKED[2, 1:3] = -np.inf


def attended(x: Tensor, scale: float | None, mask: Tensor | None) -> Tensor:
    return functional.scaled_dot_product_attention(
        x, tensor(2, 4, 5), tensor(2, 4, 3), mask, scale=scale
    )


def of_einsum(equation: str, one: Shape, other: Shape) -> Case:
    return (
        one,
        lambda b, x: p.einsum(b, equation, x, b.const(drawn(*other))),
        lambda x: torch.einsum(equation, x, tensor(*other)),
    )


EINSUMS: dict[str, tuple[Shape, Shape]] = {
    "bij,bjk->bik": ((2, 3, 4), (2, 4, 5)),
    "bij,bkj->bk": ((2, 3, 4), (2, 5, 4)),
    "ij,kl->lijk": ((2, 3), (4, 2)),
    "...i,i": ((2, 3, 4), (4,)),
    "i...,...j->...ij": ((2, 3), (3, 4)),
    "iij,jk->ki": ((3, 3, 2), (2, 4)),
    "ab,cb": ((2, 3), (4, 3)),
    "bij,bjk->kbj": ((2, 3, 4), (2, 4, 5)),
    "abc,ab->b": ((2, 3, 4), (2, 3)),
}

PRODUCTS: dict[str, Case] = {
    **{equation: of_einsum(equation, *shapes) for equation, shapes in EINSUMS.items()},
    "three factors": (
        (2, 3),
        lambda b, x: p.einsum(
            b, "ij,jk,ik->kj", x, b.const(drawn(3, 4)), b.const(drawn(2, 4, seed=2))
        ),
        lambda x: torch.einsum("ij,jk,ik->kj", x, tensor(3, 4), tensor(2, 4, seed=2)),
    ),
    "a trace": ((3, 3), lambda b, x: p.einsum(b, "ii", x), lambda x: torch.einsum("ii", x)),
    "affine": (
        (2, 3),
        lambda b, x: p.affine(b, x, b.const(drawn(4, 3)), b.const(drawn(4))),
        lambda x: functional.linear(x, tensor(4, 3), tensor(4)),
    ),
    "affine by a vector": (
        (2, 3),
        lambda b, x: p.affine(b, x, b.const(drawn(3)), None),
        lambda x: x @ tensor(3),
    ),
    "attention": (
        (2, 3, 5),
        lambda b, x: p.attention(
            b, x, b.const(drawn(2, 4, 5)), b.const(drawn(2, 4, 3)), None, None
        ),
        lambda x: attended(x, None, None),
    ),
    "attention with a mask": (
        (2, 3, 5),
        lambda b, x: p.attention(
            b, x, b.const(drawn(2, 4, 5)), b.const(drawn(2, 4, 3)), b.const(BLOCKED), 0.7
        ),
        lambda x: attended(x, 0.7, torch.from_numpy(BLOCKED)),
    ),
    "attention with rows of its own": (
        (2, 3, 5),
        lambda b, x: p.attention(
            b,
            x,
            b.const(drawn(2, 4, 5)),
            b.const(drawn(2, 4, 3)),
            b.const(BLOCKED),
            None,
            b.const(np.array([[1.0], [0.0], [1.0]])),
        ),
        lambda x: attended(x, None, torch.from_numpy(BLOCKED)),
    ),
    "weights of rows that are blocked": (
        (3, 4),
        lambda b, x: attention_weights(b, p.matmul(b, x, b.const(np.eye(4))), 0),
        lambda x: x.softmax(0),
    ),
    **{
        f"determinant of {size} rows": (
            (2, size, size),
            determinants.determinant,
            torch.linalg.det,
        )
        for size in (0, 1, 2, 3)
    },
}


def of_norm(order: float) -> Case:
    return (
        (2, 3, 4),
        lambda b, x: r.norm(b, x, order, [0, 2], False),
        lambda x: torch.linalg.vector_norm(x, order, (0, 2)),
    )


REDUCTIONS: dict[str, Case] = {
    "sum of a number": ((), lambda b, x: r.total(b, x, [-1], True), lambda x: x),
    "softmax of a number": ((), lambda b, x: r.softmax(b, x, 0), lambda x: x.softmax(0)),
    "log of a softmax of a number": (
        (),
        lambda b, x: r.log_softmax(b, x, 0),
        lambda x: x.log_softmax(0),
    ),
    "log of a softmax of nothing": (
        (2, 0),
        lambda b, x: r.log_softmax(b, x, 1),
        lambda x: x.log_softmax(1),
    ),
    "sum of all": ((2, 3), lambda b, x: r.total(b, x, None, True), lambda x: x.sum((0, 1), True)),
    "sum": ((2, 3, 4), lambda b, x: r.total(b, x, [-1, 0], False), lambda x: x.sum((0, 2))),
    "sum of nothing": ((2, 0), lambda b, x: r.total(b, x, [1], False), lambda x: x.sum(1)),
    "mean": ((2, 1, 4), lambda b, x: r.mean(b, x, [1, 2], True), lambda x: x.mean((1, 2), True)),
    "variance": (
        (2, 3, 4),
        lambda b, x: r.variance(b, x, [0, 2], False, 1.0),
        lambda x: x.var((0, 2)),
    ),
    "variance of the smallest count": (
        (2, 2),
        lambda b, x: r.variance(b, x, [1], True, 1.0),
        lambda x: x.var(1, keepdim=True),
    ),
    "largest": (
        (2, 3, 4),
        lambda b, x: r.largest(b, x, [0, 1], True),
        lambda x: x.amax((0, 1), True),
    ),
    "largest of the last": ((2, 3), lambda b, x: r.largest(b, x, [1], False), lambda x: x.amax(1)),
    "smallest": ((2, 3, 4), lambda b, x: r.smallest(b, x, [2], False), lambda x: x.amin(2)),
    "product of odd": ((2, 5), lambda b, x: r.product(b, x, [1], True), lambda x: x.prod(1, True)),
    "product of even": ((6, 2), lambda b, x: r.product(b, x, [0], False), lambda x: x.prod(0)),
    "product of all": ((3, 2), lambda b, x: r.product(b, x, None, False), lambda x: x.prod()),
    "product of nothing": ((2, 0), lambda b, x: r.product(b, x, [1], False), lambda x: x.prod(1)),
    **{f"norm of order {order}": of_norm(order) for order in (1.0, 2.0, 3.0, math.inf, -math.inf)},
    "log of a sum": (
        (2, 3, 4),
        lambda b, x: r.log_sum_exp(b, e.scaled(b, x, 300.0), [0, 2], False),
        lambda x: (x * 300.0).logsumexp((0, 2)),
    ),
    "log of a sum, kept": (
        (2, 3),
        lambda b, x: r.log_sum_exp(b, x, [1], True),
        lambda x: x.logsumexp(1, True),
    ),
    "softmax": ((2, 3), lambda b, x: r.softmax(b, x, -2), lambda x: x.softmax(0)),
    "log of a softmax": (
        (2, 3, 4),
        lambda b, x: r.log_softmax(b, e.scaled(b, x, 900.0), -2),
        lambda x: (x * 900.0).log_softmax(1),
    ),
    "running sum": ((2, 4, 3), lambda b, x: r.cumulative_sum(b, x, 1), lambda x: x.cumsum(1)),
    "running sum before": (
        (4, 3),
        lambda b, x: r.cumulative_sum(b, x, 0, True),
        lambda x: x.cumsum(0) - x,
    ),
    "running sum from the end": (
        (2, 4),
        lambda b, x: r.cumulative_sum(b, x, 1, False, True),
        lambda x: x.flip(1).cumsum(1).flip(1),
    ),
    "running product": (
        (2, 5, 2),
        lambda b, x: r.cumulative_product(b, x, 1),
        lambda x: x.cumprod(1),
    ),
    "running product before": (
        (2, 5),
        lambda b, x: r.cumulative_product(b, x, -1, True),
        lambda x: torch.cat([torch.ones(2, 1), x[:, :-1].cumprod(1)], 1),
    ),
    "running product from the end": (
        (5, 2),
        lambda b, x: r.cumulative_product(b, x, 0, False, True),
        lambda x: x.flip(0).cumprod(0).flip(0),
    ),
}


def place(x: Tensor, axis: int, last: bool) -> Tensor:
    """NumPy has the first; the last is the first of what is turned round."""
    array = x.numpy()
    if last:
        return torch.from_numpy(x.shape[axis] - 1.0 - np.flip(array, axis).argmax(axis))
    return torch.from_numpy(array.argmax(axis).astype(np.float64))


def one_hot(ids: Tensor, count: int) -> Tensor:
    return torch.eye(count, dtype=torch.float64)[ids.long()]


POSITIONS: dict[str, Case] = {
    f"along {axis}, {'last' if last else 'first'}": (
        (3, 7, 5),
        lambda b, x, a=axis, i=last: positions.position_of_largest(b, flat(b, x), a, False, i),
        lambda x, a=axis, i=last: place(x.clamp(-0.5, 0.5), a, i),
    )
    for axis in (0, 1, 2)
    for last in (False, True)
} | {
    "of a number": (
        (),
        lambda b, x: positions.position_of_largest(b, x, 0, False),
        lambda x: 0.0 * x,
    ),
    "first of the smallest": (
        (4, 6),
        lambda b, x: positions.position_of_smallest(b, flat(b, x), 1, False),
        lambda x: place(-x.clamp(-0.5, 0.5), 1, False),
    ),
    "of all, kept": (
        (2, 3),
        lambda b, x: positions.position_of_largest(b, x, None, True),
        lambda x: x.argmax().double().reshape(1, 1),
    ),
    "of the smallest": (
        (4, 6),
        lambda b, x: positions.position_of_smallest(b, flat(b, x), 1, True, True),
        lambda x: place(-x.clamp(-0.5, 0.5), 1, True)[:, None],
    ),
    "hardmax": (
        (3, 4, 5),
        lambda b, x: positions.hardmax(b, flat(b, x), 1),
        lambda x: (
            functional.one_hot(place(x.clamp(-0.5, 0.5), 1, False).long(), 4)
            .permute(0, 2, 1)
            .double()
        ),
    ),
}


def flat(b: Builder, x: Value) -> Value:
    """Values many of which are the largest or the smallest."""
    return e.clamp(b, x, -0.5, 0.5)


CASES = WAVES | NORMS | PRODUCTS | REDUCTIONS | POSITIONS


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_those_of_torch(name: str) -> None:
    agrees(CASES[name])


REFUSED: dict[str, tuple[Shape, Callable[[Builder, Value], Value]]] = {
    "no square matrix": ((2, 3), determinants.determinant),
    "what is no square matrix": ((2,), determinants.determinant),
    "more than 3 rows": ((4, 4), determinants.determinant),
    "axis 2 of a tensor with 2": ((2, 3), lambda b, x: r.total(b, x, [0, 2], True)),
    "axis -3 of a tensor with 2": ((2, 3), lambda b, x: r.largest(b, x, [-3], True)),
    "a mean over no entries": ((2, 0), lambda b, x: r.mean(b, x, [1], True)),
    "too few entries": ((2, 1), lambda b, x: r.variance(b, x, [1], True, 1.0)),
    "an extreme over no entries": ((0, 2), lambda b, x: r.smallest(b, x, [0], True)),
    "order 0": ((2,), lambda b, x: r.norm(b, x, 0.0, None, True)),
    "1 operands with 2 terms": ((2,), lambda b, x: p.einsum(b, "i,j", x)),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_has_no_value_is_refused(said: str) -> None:
    shape, formula = REFUSED[said]
    b = Builder()
    with pytest.raises(InexpressibleError, match=said):
        formula(b, b.input(shape))
