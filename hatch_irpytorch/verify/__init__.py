"""Checks of generated modules: import, smoke, parity, golden. Each returns findings."""
