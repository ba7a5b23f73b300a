"""Fourier transforms and complex numbers, which the graph has as pairs of real tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from applied_functions import Applied, captured_equals
from torch import Tensor, fft, nn

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.capture import from_torch

NORMS = ["backward", "ortho", "forward"]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("extent", [5, 6])
def test_a_transform_of_real_numbers(extent: int, norm: str) -> None:
    def both(x: Tensor) -> Tensor:
        return torch.view_as_real(fft.rfft(x, dim=1, norm=norm))

    captured_equals(Applied(both), torch.randn(2, extent, 3))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("extent", [6, 7])
def test_a_transform_back_to_real_numbers(extent: int, norm: str) -> None:
    def back(x: Tensor) -> object:
        return fft.irfft(torch.complex(x, 2.0 * x + 1.0), n=extent, norm=norm)

    captured_equals(Applied(back), torch.randn(2, 4))


FUNCTIONS: dict[str, Callable[[Tensor], object]] = {
    "two axes": lambda x: torch.view_as_real(fft.fft2(x)),
    "every axis": lambda x: fft.fftn(x, dim=(0, 1), norm="ortho").real,
    "whole": lambda x: torch.view_as_real(fft.fft(x, dim=0)),
    "there and back": lambda x: fft.ifft2(fft.fft2(x) * 2.0 + 1.0).real,
    "longer": lambda x: fft.irfft2(fft.rfft2(x), s=(4, 6)),
    "sizes": lambda x: fft.rfft(x).abs() / 3.0,
    "spectrogram": lambda x: torch.stft(
        x, 4, 2, window=torch.hann_window(4), return_complex=True
    ).abs(),
    "conjugate": lambda x: torch.view_as_real((fft.rfft(x).conj() - 0.5) / 2.0),
    "constants": lambda x: torch.view_as_real(fft.rfft(x) * (1.0 - 2.0j) + (x[:, :3] - 3.0j)),
    "from the right": lambda x: torch.view_as_real((0.5 + 2.0j) - x),
    "products": lambda x: torch.view_as_real(fft.rfft(x) @ fft.fft(x, dim=0)),
    "parts": lambda x: [torch.view_as_real(p) for p in fft.rfft(x).T.split((1, 2))],
    "moved": lambda x: torch.cat([fft.rfft(x), x[:, :2] + 0j], -1).flip(1).sum(0).real,
    "turned": lambda x: torch.view_as_real(
        torch.view_as_complex(x.reshape(3, 2, 2)) * torch.polar(torch.ones(2), torch.arange(2.0))
    ),
    "polar": lambda x: torch.view_as_real(torch.polar(x, 2.0 * x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_complex_numbers_are_pairs(name: str) -> None:
    captured_equals(Applied(FUNCTIONS[name]), torch.randn(3, 4))


def test_a_filter_of_frequencies() -> None:
    """As in GFNet: a complex weight that is stored as a real one."""

    def filtered(x: Tensor, weight: Tensor) -> object:
        y = fft.rfft2(x, dim=(1, 2), norm="ortho") * torch.view_as_complex(weight)
        return fft.irfft2(y, s=(4, 5), dim=(1, 2), norm="ortho")

    weight = nn.Parameter(torch.randn(4, 3, 2, 2))
    model = captured_equals(Applied(filtered, weight=weight), torch.randn(1, 4, 5, 2))
    assert any(array.shape == weight.shape for array in model.params.values())


def test_a_complex_parameter_is_two_that_are_learned() -> None:
    weight = nn.Parameter(torch.randn(4, dtype=torch.complex64))
    module = Applied(lambda x, w: torch.view_as_real(x * w), weight=weight)
    model = captured_equals(module, torch.randn(3, 4))
    learned = [n for n in model.graph.nodes if getattr(n.op, "learnable", None) is True]
    assert [node.shape for node in learned] == [(4,), (4,)]


REFUSED: list[tuple[Callable[[Tensor], object], str]] = [
    (lambda x: fft.rfft(x), "an output of complex numbers"),
    (lambda x: fft.rfft(x).angle(), "`angle` has no form"),
    (lambda x: torch.view_as_real(1.0 / fft.rfft(x)), "has no form"),
]


@pytest.mark.parametrize(("function", "message"), REFUSED)
def test_what_pairs_cannot_do_is_refused(
    function: Callable[[Tensor], object], message: str
) -> None:
    with pytest.raises(IRPyTorchError, match=message):
        from_torch(Applied(function), torch.randn(3, 4))
