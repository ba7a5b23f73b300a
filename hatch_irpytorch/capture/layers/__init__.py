"""Formulas along axes: sums, products, normalisations, windows, attention, recurrent layers."""
