"""Where this repository and its sample project stand, and what its models are called."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
SAMPLE_PROJECT = ROOT / "tests/sample_project"
CLASSES = {"legacy_cnn": "LegacyCNN"}
"""Classes that are not called after their module."""
