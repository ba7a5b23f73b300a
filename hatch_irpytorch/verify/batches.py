"""Batches of other sizes than declared, made of runs of the declared one.

Each row of a batch gives what it gives in any other batch, so rows of known cases make the cases of
every size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hatch_irpytorch.axes.free import FreeModel
from hatch_irpytorch.axes.rows import from_rows, rows
from hatch_irpytorch.build.golden import GoldenCase
from hatch_irpytorch.ir.symbolic import batch_axis, declared

BATCH_SIZES = (1, 2, 3, 7)


def as_given(cases: Sequence[GoldenCase], free: FreeModel) -> tuple[GoldenCase, ...]:
    """Cases of a graph as its module has them: with an axis in front if one was added."""
    return tuple(
        GoldenCase(
            case.input.reshape(declared(free.input_shape)),
            tuple(
                output.reshape(declared(shape))
                for output, shape in zip(case.outputs, free.output_shapes, strict=True)
            ),
        )
        for case in cases
    )


def batch_cases(
    cases: Sequence[GoldenCase], free: FreeModel, sizes: Sequence[int]
) -> tuple[GoldenCase, ...]:
    """Cases of each batch size, made of the rows of `cases`; none where the batch is fixed."""
    if batch_axis(free.input_shape) is None or not cases:
        return ()
    given = as_given(cases, free)
    inputs = np.concatenate([rows(case.input, free.input_shape) for case in given])
    outputs = [
        np.concatenate([rows(case.outputs[position], shape) for case in given])
        for position, shape in enumerate(free.output_shapes)
    ]
    found = []
    for size in sizes:
        # Rows of few are in no order that repeats, or reads the same from behind.
        count = len(inputs)
        chosen = [(size + i + i // count) % count for i in range(size)]
        batch = tuple(
            from_rows(output[chosen], shape)
            for output, shape in zip(outputs, free.output_shapes, strict=True)
        )
        found.append(GoldenCase(from_rows(inputs[chosen], free.input_shape), batch))
    return tuple(found)
