"""Lock files are derived: whatever stands in one, `regen` makes it again and says so."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from command_line import called
from hypothesis import given
from hypothesis import strategies as st
from sample_copies import files, sample_copy

from hatch_irpytorch.build.content import digest, file_digest, with_line_feeds

LOCK = "generated/irpytorch.lock/affine.json"
CONFLICT = (
    b'<<<<<<< HEAD\n  "revision": 1,\n=======\n  "revision": 2,\n>>>>>>> theirs\n'  # as git writes
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = sample_copy(tmp_path)
    assert called(folder, "regen").returncode == 0
    return folder


HOLDS = {
    "nothing": b"",
    "conflict": CONFLICT,
    "no JSON": b"{",
    "NUL": b'{"format": "irpytorch.lock.v2", "revision": 13, "inputs": {"a\\u0000": ""},'
    b' "outputs": {}}',
    "surrogate": b'{"format": "irpytorch.lock.v2", "revision": 13, "inputs": {"\\ud800": ""},'
    b' "outputs": {}}',
    "no UTF-8": b"\xff\xfe{}",
    "deep": b"[" * 100_000,
    "array": b"[]",
    "number": b"1e999",
    "elsewhere": b'{"format": "irpytorch.lock.v2", "revision": 13, "inputs": {},'
    b' "outputs": {"../../../etc/passwd": "sha256:0"}}',
    "absolute": b'{"format": "irpytorch.lock.v2", "revision": 13,'
    b' "inputs": {"/etc/passwd": "sha256:0"}, "outputs": {}}',
    "another module": b'{"format": "irpytorch.lock.v2", "revision": 13, "inputs": {},'
    b' "outputs": {"other.py": "sha256:0"}}',
    "types": b'{"format": "irpytorch.lock.v2", "revision": "13", "inputs": [], "outputs": {}}',
    "old": b'{"format": "irpytorch.lock.v1", "revision": 12, "inputs": {}, "outputs": {}}',
}


@pytest.mark.parametrize("holds", HOLDS)
def test_a_lock_that_cannot_be_used_is_made_again(project: Path, holds: str) -> None:
    before = files(project)
    (project / LOCK).write_bytes(HOLDS[holds])
    checked = called(project, "check")
    assert checked.returncode == 1 and f"{LOCK}: error[stale]" in checked.stderr
    made = called(project, "regen")
    assert made.returncode == 0 and f"{LOCK}: note[rebuilt]" in made.stderr
    assert "Traceback" not in checked.stderr + made.stderr
    assert files(project) == before
    assert called(project, "check").returncode == 0


@pytest.mark.parametrize("holds", HOLDS)
def test_an_old_lock_that_cannot_be_used_harms_nothing(project: Path, holds: str) -> None:
    before = files(project)
    old = project / "generated/irpytorch.lock.json"
    old.write_bytes(HOLDS[holds])
    assert called(project, "regen").returncode == 0
    kept = files(project)
    kept.pop("generated/irpytorch.lock.json", None)
    assert kept == before
    assert old.exists() == (b"irpytorch.lock.v1" not in HOLDS[holds])


@pytest.mark.parametrize("path", ["nets/affine.py", "nets/__init__.py"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_conflict_in_a_generated_file_is_made_again(
    project: Path, path: str, whole: bool
) -> None:
    before = files(project)
    file = project / "generated" / path
    lines = file.read_bytes().splitlines(keepends=True)
    cut = 0 if whole else 2
    ours, theirs = b"".join(lines[cut:]), b"".join(lines[cut:]).replace(b"0.5", b"0.25")
    conflict = b"<<<<<<< HEAD\n" + ours + b"=======\n" + theirs + b">>>>>>> theirs\n"
    file.write_bytes(b"".join(lines[:cut]) + conflict)
    assert called(project, "check").returncode == 1
    made = called(project, "regen")
    assert made.returncode == 0 and f"generated/{path}: note[rebuilt]" in made.stderr
    assert files(project) == before


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a", b"\r\n", b""]), max_size=12))
def test_line_ends_are_the_same_wherever_pieces_are_cut(parts: list[bytes]) -> None:
    text = b"".join(parts)
    assert b"".join(with_line_feeds(iter(parts))) == text.replace(b"\r\n", b"\n")
    plain = sha256(b"".join(with_line_feeds(iter([text])))).hexdigest()
    assert digest(text) == f"sha256:{plain}"


def test_weights_are_no_text(tmp_path: Path) -> None:
    for name, same in (("a.py", True), ("a.safetensors", False), ("a.npz", False)):
        file = tmp_path / name
        file.write_bytes(b"\r\n")
        one = file_digest(file)
        file.write_bytes(b"\n")
        assert (file_digest(file) == one) == same
