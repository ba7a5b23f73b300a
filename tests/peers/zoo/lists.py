"""The names of networks and the sizes of configurations that stand beside this module as YAML."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def networks() -> dict[str, Any]:
    return _read("networks.yaml")


@cache
def small_configs() -> dict[str, Any]:
    return _read("small_configs.yaml")


def _read(name: str) -> dict[str, Any]:
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found
