"""Checks of generated modules: source, import, smoke, parity, golden. Each returns findings."""
