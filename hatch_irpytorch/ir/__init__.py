"""The graph: what it is, how it is read, checked and evaluated."""
