"""Which entries of a tensor go where: slices, gathers, scatters, padding, tables."""
