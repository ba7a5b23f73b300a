"""From manifests to files: generate in memory, then compare, write or remove."""
