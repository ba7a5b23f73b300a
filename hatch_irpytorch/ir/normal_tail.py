"""The tail of the normal distribution in numbers: `capture` writes them, `emit` knows them again.

For z >= 0, -log(erfc(z)) = z * (z + s(t)) with t = 1 / (1 + RATE * z). The polynomial s was fitted
for z up to 9 so that the largest error of z * s(t), weighted by erfc(z) ** 0.8, is least: 9e-14.
"""

from __future__ import annotations

import math

RATE = 0.36

COEFFICIENTS = (
    0.022377167101787082,
    1.425267356526677,
    -1.5309599402481258,
    3.820695593791891,
    -6.340308550973412,
    7.5016446382026425,
    -5.775309716294291,
    1.9327486441228003,
    0.7965095299674678,
    -1.0932393866490269,
    0.43182984150315556,
    -0.06287600995618414,
)
"""Of s, by rising powers of t."""

GELU_UNIT = math.sqrt(0.5)
"""gelu(x) = max(x, 0) - |x| / 2 * erfc(|x| * GELU_UNIT)."""

GELU_END = 40.0
"""From here on that tail is 0, in float64 too."""


def polynomial(unit: float) -> tuple[float, ...]:
    """The coefficients of -s(t) / unit, highest power first, as Horner's rule takes them."""
    return tuple(-number / unit for number in reversed(COEFFICIENTS))
