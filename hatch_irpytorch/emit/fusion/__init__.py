"""`fuse: true`: several nodes in one call of PyTorch. `rules.fuse` is the door."""
