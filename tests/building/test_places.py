"""Whether a file can be written at a place, where not even the root of its path is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from hatch_irpytorch.build import places
from hatch_irpytorch.errors import IRPyTorchError


@pytest.mark.parametrize("path", ["/drive/folder/x.py", "/x.py", "folder/x.py"])
def test_a_path_of_which_nothing_is_there_is_an_error(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a drive that is not there, on Windows; looking further up would never end."""
    looked: list[Path] = []

    def nothing(path: Path) -> int:
        assert len(looked) < 10
        looked.append(path)
        return 0

    monkeypatch.setattr(places, "_status", nothing)
    with pytest.raises(IRPyTorchError, match=r"error\[cannot-write\].* is no folder"):
        places.require_place(Path(path))
