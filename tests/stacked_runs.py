"""Modules of any batch size beside runs of the declared one, stacked."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from documents import module

from hatch_irpytorch import EmitOptions, Model, emit_module
from hatch_irpytorch.axes.free import FreeModel, free_model
from hatch_irpytorch.axes.rows import from_rows, rows

Array = np.ndarray[Any, Any]

SIZES = (1, 2, 3, 7)


def emitted(model: Model, **options: Any) -> torch.nn.Module:
    """The float64 module of a model."""
    chosen = {"dtype": "float64", "training_skeleton": False, "inline_limit": 10**9, **options}
    return module(emit_module(model, EmitOptions(**chosen)).source).eval()


def outputs(net: torch.nn.Module, x: Array) -> list[Array]:
    with torch.no_grad():
        found = net(torch.tensor(x))
    tensors = found if isinstance(found, tuple) else (found,)
    return [tensor.numpy() for tensor in tensors]


def drawn(model: Model, rng: np.random.Generator) -> Array:
    """An input of a model: real numbers, or whole ones below its bound."""
    shape, integers = model.graph.input_shape, model.graph.integers
    found = rng.normal(size=shape) if integers is None else rng.integers(integers, size=shape)
    return np.asarray(found, dtype=np.float64)


def assert_any_batch(
    model: Model, options: dict[str, Any], sizes: tuple[int, ...] = SIZES
) -> FreeModel:
    """A module with a free batch gives, for every size, what the fixed one gives for its rows.

    A declared batch of several rows is filled up with more of them, which do not count.
    """
    free = free_model(model, options.get("batch", "auto"), options.get("batch_axis", 0))
    assert free.shapes is not None
    fixed, any_batch = emitted(model, batch="fixed"), emitted(model, **options)
    added = options.get("batch") == "added"
    rng = np.random.default_rng(1)

    def as_rows(array: Array, shape: Any) -> Array:
        return rows(array[np.newaxis] if added else array, shape)

    for size in sizes:
        inputs: list[Array] = []
        results: list[list[Array]] = [[] for _ in free.output_shapes]
        while sum(map(len, inputs)) < size:
            x = drawn(model, rng)
            inputs.append(as_rows(x, free.input_shape))
            shapes = zip(results, outputs(fixed, x), free.output_shapes, strict=True)
            for result, output, shape in shapes:
                result.append(as_rows(output, shape))
        batch = from_rows(np.concatenate(inputs)[:size], free.input_shape)
        found = outputs(any_batch, batch)
        for output, result, shape in zip(found, results, free.output_shapes, strict=True):
            wanted = from_rows(np.concatenate(result)[:size], shape)
            assert output.shape == wanted.shape
            largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
            np.testing.assert_allclose(output, wanted, rtol=1e-9, atol=1e-10 * largest)
    return free
