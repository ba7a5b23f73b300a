"""The architecture: imports point one way, torch and numpy stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from repository import ROOT

PACKAGE = ROOT / "hatch_irpytorch"
LAYERS = (
    {"errors", "garbage", "names"},
    {"unforeseen"},
    {"source"},
    {"ir"},
    {"axes"},
    {"emit"},
    {"configuration"},
    {"manifest_fields"},
    {"manifest", "project"},
    {"build"},
    {"verify", "capture"},
    {"shipping"},
    {"init"},
    {"cli", "plugin"},
    {"hooks", "_in_tree", "__main__", "__init__"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
CAPTURE_ROOMS = ("entries", "selections", "layers")
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


@pytest.mark.parametrize("room", CAPTURE_ROOMS)
def test_formulas_build_on_simpler_ones(room: str) -> None:
    later = {*CAPTURE_ROOMS[CAPTURE_ROOMS.index(room) + 1 :], "pytorch", "onnx"}
    for path in (PACKAGE / "capture" / room).glob("*.py"):
        for name in imported(path):
            parts = name.removeprefix("hatch_irpytorch.capture.").split(".")
            assert parts[0] not in later, f"{path.name} imports {name}"


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


def test_no_module_imports_itself_by_way_of_others() -> None:
    """What is imported for types alone counts too."""
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES}
    known = {name.removesuffix(".__init__") for name in names.values()}
    wanted: dict[str, set[str]] = {}
    for path, name in names.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level]
        named = {n.module or "" for n in found if n.col_offset == 0 or n in _for_types(tree)}
        wanted[name.removesuffix(".__init__")] = named & known
    TopologicalSorter(wanted).prepare()


def _for_types(tree: ast.Module) -> list[ast.stmt]:
    """What stands below `if TYPE_CHECKING:`."""
    return [
        statement
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
    ]


def test_a_document_passes_through_few_rooms() -> None:
    """From its bytes to the model; the ops, and the words for errors, are no rooms."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from hatch_irpytorch.ir.read import build_model\n"
        "data = Path('tests/sample_project/models/affine.ir.json').read_bytes()\n"
        "entered = []\n"
        "def note(frame, event, argument):\n"
        "    name = frame.f_globals['__name__']\n"
        "    if name.startswith(('hatch_irpytorch.ir', 'hatch_irpytorch.source')):\n"
        "        entered.append(name)\n"
        "build_model(data, 'graph')\n"
        "sys.setprofile(note)\n"
        "build_model(data, 'graph')\n"
        "sys.setprofile(None)\n"
        "print(*(name for name in dict.fromkeys(entered) if '.ops.' not in name))"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    rooms = [name.removeprefix("hatch_irpytorch.") for name in result.stdout.split()]
    walk = ["ir.read", "source.json_text", "ir.document", "ir.lower", "ir.graph", "ir.check"]
    assert rooms == [*walk, "ir.params", "ir.arrays", "ir.shapes"]


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
