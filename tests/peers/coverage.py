"""docs/coverage.md: a page of parts with a heading each, which several sessions write."""

from __future__ import annotations

from repository import ROOT

PAGE = ROOT / "docs" / "coverage.md"

_HEADING = "\n## "


def write_top(text: str) -> None:
    """Put what stands before the first part."""
    _, found, parts = _page().partition(_HEADING)
    PAGE.write_text(text.rstrip("\n") + "\n" + found + parts, encoding="utf-8")


def write_part(title: str, text: str) -> None:
    """Put a part, which begins with its heading, in the place of the one before, or at the end."""
    before, _, rest = _page().partition(f"{_HEADING}{title}\n")
    _, found, after = rest.partition(_HEADING)
    made = before.rstrip("\n") + "\n\n" + text.rstrip("\n") + "\n"
    PAGE.write_text(made + found + after, encoding="utf-8")


def _page() -> str:
    return PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
