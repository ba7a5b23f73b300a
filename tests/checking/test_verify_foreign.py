"""`irpytorch verify` runs the text that the generator gives, and nothing else that lies about."""

from __future__ import annotations

import importlib.util
import marshal
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from command_line import called, run
from repository import SAMPLE_PROJECT

PACKAGE = "generated/nets"
MODULE = f"{PACKAGE}/affine.py"
TAG = sys.implementation.cache_tag


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "project"
    shutil.copytree(SAMPLE_PROJECT, folder)
    assert run(folder, "regen").returncode == 0
    return folder


@pytest.fixture
def project(tmp_path: Path, generated: Path) -> Path:
    return Path(shutil.copytree(generated, tmp_path / "project"))


@pytest.fixture
def trap(tmp_path: Path) -> str:
    """A statement that leaves a trace when it runs."""
    return f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"


def installed(
    folder: Path, command: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command as its script starts it; whatever ran meanwhile left a trace."""
    script = folder.parent / "irpytorch"
    script.write_text("import sys\nfrom hatch_irpytorch.cli import main\nsys.exit(main())\n")
    result = subprocess.run(
        [sys.executable, str(script), command],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in result.stderr
    assert not (folder.parent / "ran").exists(), result.stderr
    return result


def verified(folder: Path) -> subprocess.CompletedProcess[str]:
    return installed(folder, "verify")


def codes(result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The code of each finding, by file."""
    lines = result.stderr.splitlines()
    return {line.split(":")[0]: line.split("error[")[1].split("]")[0] for line in lines}


def compiled(text: str, source: Path, flags: int | None) -> bytes:
    """A cache with the code of `text`; without flags one that has the time stamp of `source`."""
    header = importlib.util.MAGIC_NUMBER
    if flags is None:
        stamp = source.stat()
        header += bytes(4) + int(stamp.st_mtime).to_bytes(4, "little")
        header += stamp.st_size.to_bytes(4, "little")
    else:
        header += flags.to_bytes(4, "little") + importlib.util.source_hash(source.read_bytes())
    return header + marshal.dumps(compile(text, str(source), "exec"))


NAMES = ("torch.py", "numpy.py", "warnings.py", "sitecustomize.py", "json.py", "run.pth")


def test_what_lies_beside_is_not_imported(project: Path, trap: str) -> None:
    for folder in ("generated", PACKAGE, "."):
        for name in NAMES:
            text = f"import os; {trap}" if name.endswith(".pth") else trap
            (project / folder / name).write_text(text)
    result = verified(project)
    assert result.stdout == "affine: import, smoke, parity, batch and golden agree\n"
    outputs = [f"{folder}/{name}" for folder in ("generated", PACKAGE) for name in NAMES]
    assert codes(result) == dict.fromkeys(outputs, "not-ours")
    assert codes(installed(project, "check")) == codes(result)


def test_the_path_of_the_environment_leads_to_no_output(project: Path, trap: str) -> None:
    """What Python itself imports when it starts is not for us to keep out."""
    paths = ["generated", "generated/../generated", ".", PACKAGE]
    for path in paths:
        for name in ("torch.py", "numpy.py", "yaml.py"):
            (project / path / name).write_text(trap)
    both = os.pathsep.join([*paths, *(str(project / path) for path in paths)])
    result = installed(project, "verify", {"PYTHONPATH": both})
    assert result.stdout == "affine: import, smoke, parity, batch and golden agree\n"


def test_a_working_directory_is_not_a_place_to_import_from(project: Path, trap: str) -> None:
    for name in ("torch.py", "numpy.py", "argparse.py", "dataclasses.py"):
        (project / name).write_text(trap)
    result = run(project, "verify")
    assert (result.returncode, result.stderr) == (0, "")
    assert not (project.parent / "ran").exists()


def test_a_package_of_the_name_of_a_module_is_found(project: Path, trap: str) -> None:
    (project / PACKAGE / "affine").mkdir()
    (project / PACKAGE / "affine/__init__.py").write_text(trap)
    result = verified(project)
    assert codes(result) == {f"{PACKAGE}/affine": "not-ours"}
    assert codes(called(project, "check")) == codes(result)


@pytest.mark.parametrize("name", ["__init__.py", "affine.py"])
def test_an_edited_file_is_told_and_not_run(project: Path, trap: str, name: str) -> None:
    path = project / PACKAGE / name
    path.write_text(path.read_text() + trap)
    result = verified(project)
    assert codes(result) == {f"{PACKAGE}/{name}": "edited-by-hand"}
    assert ("affine: not run" in result.stdout) == (name == "affine.py")


def test_a_module_is_not_run_where_its_lock_was_edited_too(project: Path, trap: str) -> None:
    path = project / MODULE
    path.write_text(path.read_text() + trap)
    shutil.rmtree(project / "generated/irpytorch.lock")
    assert codes(verified(project))[MODULE] == "stale"


def utf_7(text: bytes) -> bytes:
    return text.replace(b"affine.yaml", b"coding:utf-7 +AAo-exit()+AAo-+ACM-.yaml")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (utf_7, ":1:1: error[foreign-code]: Python takes this line for"),
        (lambda text: b"\n# vim: set fileencoding=hex :\n" + text, ":2:1: error[foreign-code]"),
        (lambda text: b"\xef\xbb\xbf" + text, "starts with a byte order mark"),
        (lambda text: text.replace(b"nodes", b"n\xf6des"), "the file is not UTF-8"),
        (lambda text: text.replace(b"\n", b"\r", 1), MODULE),
    ],
)
def test_text_that_python_reads_otherwise_is_refused(
    project: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    path = project / MODULE
    before = path.read_bytes()
    path.write_bytes(damage(before))
    assert path.read_bytes() != before
    result = verified(project)
    assert result.returncode == 1 and message in result.stderr
    assert result.stdout.startswith("affine: not run, ")


def test_crlf_counts_as_lf(project: Path) -> None:
    for path in (project / PACKAGE).glob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    golden = project / "tests/golden/affine.json"
    golden.write_bytes(golden.read_bytes().replace(b"\n", b"\r\n"))
    assert (verified(project).returncode, called(project, "check").returncode) == (0, 0)


@pytest.mark.parametrize(
    "names",
    [
        {f"affine.{TAG}.pyc": 1},
        {f"affine.{TAG}.pyc": 3},
        {
            f"affine.{TAG}.pyc": None,
            f"affine.{TAG}.opt-2.pyc": None,
            f"__init__.{TAG}.pyc": None,
            "affine.cpython-399.pyc": 1,
        },
    ],
    ids=["unchecked", "checked", "by time"],
)
def test_planted_bytecode_is_found_and_not_run(
    project: Path, trap: str, names: dict[str, int | None]
) -> None:
    caches = project / PACKAGE / "__pycache__"
    caches.mkdir()
    for name, flags in names.items():
        source = project / PACKAGE / f"{name.partition('.')[0]}.py"
        (caches / name).write_bytes(compiled(source.read_text() + trap, source, flags))
    result = verified(project)
    assert result.returncode == 1
    assert codes(result) == {f"{PACKAGE}/__pycache__/{name}": "foreign-code" for name in names}
    assert "affine: import, smoke, parity, batch and golden agree" in result.stdout


def weights_project(project: Path, emit: str = "  training_skeleton: false\n") -> Path:
    manifest = project / "models/affine.yaml"
    manifest.write_text(f"ir: affine.ir.json\nemit:\n  weights: safetensors\n{emit}")
    assert called(project, "regen").returncode == 0
    path = project / PACKAGE / "affine.safetensors"
    assert path.is_file()
    return path


@pytest.mark.parametrize("emit", ["  training_skeleton: false\n", ""])
def test_a_weight_file_that_is_missing_cut_or_foreign_is_one_line(project: Path, emit: str) -> None:
    sound = weights_project(project, emit).read_bytes()
    damaged = (None, sound[:-4], sound[:20], b"", b"\x80\x04.", os.urandom(100))
    names = [f"damaged_{number}" for number in range(len(damaged))]
    for name in names:
        shutil.copy(project / "models/affine.yaml", project / f"models/{name}.yaml")
    assert called(project, "regen").returncode == 0
    for name, data in zip(names, damaged, strict=True):
        path = project / PACKAGE / f"{name}.safetensors"
        path.unlink()
        if data is not None:
            path.write_bytes(data)
    result = verified(project)
    assert result.returncode == 1
    told = dict(line.split(": ") for line in result.stdout.splitlines())
    assert told.pop("affine").endswith("parity, batch and golden agree")
    assert told == dict.fromkeys(names, "not run, 1 finding")
    lines = sorted(line.partition(": error[")[0] for line in result.stderr.splitlines())
    assert lines == [f"{PACKAGE}/{name}.safetensors" for name in names]


def test_a_pipe_in_place_of_a_weight_file_is_no_wait(project: Path) -> None:
    path = weights_project(project)
    path.unlink()
    os.mkfifo(path)
    result = verified(project)
    assert result.returncode in (1, 2) and "it is a pipe" in result.stderr


def test_each_model_has_its_line_as_it_ends_and_bad_inputs_are_all_told(project: Path) -> None:
    for name in ("second", "third"):
        (project / f"models/{name}.yaml").write_text("ir: affine.ir.json\n")
    assert called(project, "regen").returncode == 0
    path = project / PACKAGE / "second.py"
    path.write_text(path.read_text().replace("-1.0", "-1.5"))
    for jobs in ("1", "2"):
        result = run(project, "verify", "--jobs", jobs)
        assert result.returncode == 1
        assert sorted(result.stdout.splitlines()) == [
            "affine: import, smoke, parity, batch and golden agree",
            "second: not run, 1 finding",
            "third: import, smoke, parity, batch and golden agree",
        ]
    (project / "models/third.yaml").write_text("ir: nothing.ir.json\n")
    (project / "models/second.yaml").write_text("ir: 7\n")
    result = run(project, "verify")
    assert (result.returncode, result.stdout) == (2, "")
    assert {line.split(":")[0] for line in result.stderr.splitlines()} == {"models/second.yaml"}


def test_the_line_says_what_was_checked(project: Path) -> None:
    graph = (project / "models/affine.ir.json").read_text()
    (project / "models/plain.ir.json").write_text(graph)
    text = "ir: plain.ir.json\nemit:\n  training_skeleton: false\n"
    (project / "models/plain.yaml").write_text(text)
    assert called(project, "regen").returncode == 0
    assert (
        run(project, "verify", "plain").stdout == "plain: import, parity, batch and golden agree\n"
    )
