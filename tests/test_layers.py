"""The architecture: imports point one way, torch and numpy stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "hatch_irpytorch"
LAYERS = (
    {"errors", "garbage", "names"},
    {"unforeseen"},
    {"source"},
    {"ir"},
    {"emit"},
    {"configuration"},
    {"manifest", "project"},
    {"build"},
    {"verify", "capture"},
    {"shipping"},
    {"init"},
    {"cli", "plugin"},
    {"hooks", "_in_tree", "__main__", "__init__"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    here = RANK[path.relative_to(PACKAGE).parts[0].removesuffix(".py")]
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "hatch_irpytorch" and len(parts) > 1:
            assert RANK[parts[1]] <= here, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_torch_is_imported_only_by_checks(path: Path) -> None:
    """And `onnx` only by its door; the types of `capture/__init__.py` are not run."""
    parts = path.relative_to(PACKAGE).parts
    roots = {name.split(".")[0] for name in imported(path)}
    if parts[0] != "verify" and parts[:2] not in (
        ("capture", "pytorch"),
        ("capture", "__init__.py"),
    ):
        assert "torch" not in roots
    if parts[:2] != ("capture", "onnx"):
        assert not roots & {"onnx", "google"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_short_and_described(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 350
    assert ast.get_docstring(ast.parse(text))


def modules_after(program: str, folder: Path) -> set[str]:
    command = [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"]
    result = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return set(result.stdout.split())


def test_a_build_without_changes_imports_neither_numpy_nor_yaml() -> None:
    program = (
        "from pathlib import Path\n"
        "from hatch_irpytorch.build.current import build_outputs\n"
        "from hatch_irpytorch.plugin import IRPyTorchBuildHook\n"
        "from hatch_irpytorch.project import Project\n"
        "build_outputs(Project(Path().resolve()))"
    )
    found = modules_after(program, ROOT)
    assert not found & {"numpy", "torch", "yaml", "safetensors"}


def test_the_doors_import_nothing_before_they_are_opened() -> None:
    found = modules_after("import hatch_irpytorch.capture, hatch_irpytorch.cli.main", ROOT)
    assert not found & {"torch", "onnx", "numpy", "yaml"}


def test_help_imports_argparse_and_little_else() -> None:
    program = (
        "from hatch_irpytorch.cli import main\ntry: main(['--help'])\nexcept SystemExit: print()"
    )
    found = modules_after(program, ROOT)
    ours = {name for name in found if name.startswith("hatch_irpytorch")}
    assert ours == {f"hatch_irpytorch{name}" for name in ("", ".cli", ".cli.main")}
    assert not found & {"dataclasses", "inspect", "typing", "json", "difflib", "numpy"}


def test_a_command_imports_no_other_command() -> None:
    program = (
        "from hatch_irpytorch.cli import main\n"
        "try: main(['schema', '--help'])\n"
        "except SystemExit: print()"
    )
    found = {
        name for name in modules_after(program, ROOT) if name.startswith("hatch_irpytorch.cli")
    }
    assert found == {f"hatch_irpytorch.cli{name}" for name in ("", ".main", ".command", ".schema")}


def test_the_entry_point_imports_only_hatchling() -> None:
    found = modules_after("import hatch_irpytorch.hooks", ROOT)
    ours = {name for name in found if name.startswith("hatch_irpytorch")}
    assert ours == {"hatch_irpytorch", "hatch_irpytorch.hooks"}
    assert not found & {"numpy", "torch", "yaml"}
