"""No text of any input becomes code; and what the emitter cannot write, `verify` does not run."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents import document, op, source
from repository import ROOT

from hatch_irpytorch import EmitOptions, IRPyTorchError, emit_module
from hatch_irpytorch.emit.weights import weights_file
from hatch_irpytorch.ir.read import build_model, read_model
from hatch_irpytorch.verify.source import check_source

MARK = "INJECTED"
NASTY = (
    f"A(B):\n    import {MARK}\nclass C",
    f'"""\nimport {MARK}\n"""',
    f"'); import {MARK} #",
    f"\\N{{BULLET}}\\\n{MARK}",
    f"x\u202e{MARK}\u2066y",
    f"x\0{MARK}",
    f"x\r\n{MARK}",
    f"\x1b[2J{MARK}",
    f"{MARK}\u0435\u0430",
    f"torch.float32); import {MARK}",
    f"../{MARK}",
    f"\ud800{MARK}".encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
    f"lambda: {MARK}",
)
GRAPH = document([1, 2], op("relu", [0], [1, 2]))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "hatch_irpytorch", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False)


def project(tmp_path: Path, manifest: dict[str, Any], graph: Any = GRAPH) -> Path:
    (tmp_path / "pyproject.toml").write_text("[tool.hatch.build.hooks.irpytorch]\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/ok.ir.json").write_text(json.dumps(graph))
    (tmp_path / "models/ok.yaml").write_text(json.dumps(manifest))
    return tmp_path


def assert_harmless(folder: Path, result: subprocess.CompletedProcess[bytes]) -> None:
    """Refused with printable lines, or generated without a trace of the text."""
    stderr = result.stderr.decode("utf-8")
    assert "Traceback" not in stderr
    assert stderr.replace("\n", "").isprintable()
    if result.returncode:
        assert result.returncode == 2
        assert not (folder / "generated").exists()
        return
    for path in folder.glob("generated/*/*.py"):
        text = path.read_text(encoding="utf-8")
        assert MARK not in text
        if path.name != "__init__.py":
            assert check_source(text, path.name) == []


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("key", ["class_name", "dtype", "weights", "ir", "params", "module", "key"])
def test_no_text_of_a_manifest_becomes_code(tmp_path: Path, key: str, text: str) -> None:
    manifest: dict[str, Any] = {"ir": "ok.ir.json"}
    if key in ("ir", "params", "module"):
        manifest[key] = text
    elif key == "key":
        manifest[text] = text
    else:
        manifest["emit"] = {key: text}
    folder = project(tmp_path, manifest)
    result = run(folder, "regen")
    assert result.returncode == 2
    assert_harmless(folder, result)


@pytest.mark.parametrize("text", NASTY)
def test_no_text_of_a_graph_becomes_code(tmp_path: Path, text: str) -> None:
    named = {"debug_target": text, "onnx_name": text, "onnx_op_type": text, text: text}
    graph = document([1, 2], op("relu", [0], [1, 2], **named))
    graph[text] = text
    folder = project(tmp_path, {"ir": "ok.ir.json"}, graph)
    result = run(folder, "regen")
    assert result.returncode == 0
    assert_harmless(folder, result)


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("field", ["kind", "format", "value_kind", "shape", "parents"])
def test_wrong_text_in_a_graph_is_told_in_printable_words(
    tmp_path: Path, field: str, text: str
) -> None:
    graph = document([1, 2], op("relu", [0], [1, 2]))
    (graph if field == "format" else graph["nodes"][1])[field] = text
    folder = project(tmp_path, {"ir": "ok.ir.json"}, graph)
    result = run(folder, "regen")
    assert result.returncode == 2
    assert_harmless(folder, result)


@pytest.mark.parametrize(
    "name",
    [
        f"x\nimport {MARK}.yaml",
        f'x"""{MARK}.yaml',
        f"x\\{MARK}.yaml",
        f"x\u202e{MARK}.yaml",
        f"x'; import {MARK} #.yaml",
        f"x\udcff{MARK}.yaml",
        "caf\u00e9.yaml",
    ],
)
def test_no_name_of_a_file_becomes_code(tmp_path: Path, name: str) -> None:
    folder = project(tmp_path, {"ir": "ok.ir.json"})
    (folder / "models/ok.yaml").unlink()
    (folder / "models" / name).write_text("ir: ok.ir.json\nmodule: ok\n")
    result = run(folder, "regen")
    stderr = result.stderr.decode("utf-8")
    assert "Traceback" not in stderr and stderr.replace("\n", "").isprintable()
    if result.returncode == 0:
        text = (folder / "generated/irpytorch_models/ok.py").read_text(encoding="ascii")
        assert check_source(text, "ok.py") == []
        assert MARK not in "\n".join(text.splitlines()[1:])


@pytest.mark.parametrize("text", NASTY)
def test_the_origin_stays_in_its_comment(text: str) -> None:
    model = build_model(json.dumps(GRAPH).encode(), "graph.json")
    emitted = emit_module(model, EmitOptions(), origin=text).source
    assert check_source(emitted, "generated.py") == []
    assert MARK not in "\n".join(emitted.splitlines()[1:])


@pytest.mark.parametrize("text", NASTY)
def test_options_and_file_names_are_checked_in_the_library_too(text: str) -> None:
    model = build_model(json.dumps(GRAPH).encode(), "graph.json")
    with pytest.raises(ValueError, match="name"):
        EmitOptions(class_name=text)
    with pytest.raises(ValueError, match="dtype"):
        EmitOptions(dtype=text)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weight file"):
        emit_module(model, EmitOptions(weights="safetensors"), weights_file=text)


def test_metadata_and_names_of_parameter_files_stay_out(tmp_path: Path) -> None:
    graph = document([1, 2], op("linear", [0], [1, 1], out_dim=1, in_dim=2))
    (tmp_path / "g.ir.json").write_text(json.dumps(graph))
    for text in NASTY:
        weight = {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}
        bias = {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}
        tensors = {"linear_1_W": weight, "linear_1_b": bias}
        for header, sound in (
            ({"__metadata__": {text: text}, **tensors}, True),
            ({**tensors, text: {"dtype": "F32", "shape": [0], "data_offsets": [12, 12]}}, False),
        ):
            encoded = json.dumps(header).encode()
            data = len(encoded).to_bytes(8, "little") + encoded + bytes(12)
            (tmp_path / "p.safetensors").write_bytes(data)
            try:
                model = read_model(tmp_path / "g.ir.json", tmp_path / "p.safetensors")
            except IRPyTorchError as error:
                assert not sound
                assert all(str(problem).isprintable() for problem in error.problems)
            else:
                assert sound and MARK not in emit_module(model, EmitOptions()).source


MODULE = source(
    document(
        [2, 3],
        op("hard_masked_softmax", [0], [2, 3], mask={"shape": [2, 3], "allowed": [True] * 6}),
        op("linear", [1], [2, 1], out_dim=1, in_dim=3, weight=[[1.5, -2.0, 0.0]], bias=[0.5]),
        op("rand_uniform", [], [2, 1], seed=1),
        op("add", [2, 3], [2, 1]),
    )
)
FOREIGN = (
    ("import torch\n", "import os\nimport torch\n"),
    ("import torch\n", "import torch as F\n"),
    ("from torch import fx, nn", "from torch import fx, nn, jit"),
    ("(nn.Module)", "(nn.Module, metaclass=print)"),
    ("    def forward", "    secret = 1\n\n    def forward"),
    ("    def forward", "    @torch.no_grad()\n    def forward"),
    ("v0 = x  #", "v0 = x.data  #"),
    ("v0 = x  #", "v0 = x if eval('1') else x  #"),
    ("v0 = x  #", "v0 = [x for x in ().__class__.__mro__][0]  #"),
    ("v0 = x  #", "v0 = (lambda: x)()  #"),
    ("v0 = x  #", "v0 = torch.load(x)  #"),
    ("v0 = x  #", "v0 = __import__('os')  #"),
    ("v0 = x  #", "v0 = x['a']  #"),
    ("v0 = x  # (2, 3)", "v0 = x  # anything"),
    ("y = torch.softmax", "y = torch.softmin"),
    ("allowed: torch.Tensor", "allowed: torch.Tensor = exit()"),
    ("dim=-1)\n", "dim=-2)\n"),
    ('    """Softmax over', '    """My softmax over'),
    ("1.5 -2.0 0.0", "1.5 -2.0 exit()"),
    ("1 1", "1 print"),
    ('LINEAR_2_B = "0.5"', "LINEAR_2_B = exit()"),
    ('LINEAR_2_B = "0.5"', 'linear = "0.5"'),
    ('LINEAR_2_B = "0.5"', 'LINEAR_2_B = f"0.5"'),
    ("    main()\n", "    main()\n    main()\n"),
    ("opt.step()", "opt.load_state_dict(loss)"),
    ('print(f"step', 'print(open("x"), f"step'),
    ("6 parameters" if "6 parameters" in MODULE else "parameters", "exit()"),
    ("# (2, 3)", "# (2, 3)\u202e"),
    ("# (2, 3)", "# (2, 3)\f"),
    ("# (2, 3)", "# coding: latin-1"),
)


@pytest.mark.parametrize(("old", "new"), FOREIGN)
def test_foreign_code_is_found(old: str, new: str) -> None:
    assert check_source(MODULE, "generated.py") == []
    assert old in MODULE
    (problem, *_) = check_source(MODULE.replace(old, new, 1), "generated.py")
    assert problem.code == "foreign-code"


@pytest.mark.parametrize("text", ["", "x = (", "\0", "'''", "(" * 5000])
def test_text_that_is_no_module_is_found(text: str) -> None:
    assert check_source(text, "generated.py")


def test_a_pickled_array_is_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (Path.touch, (str(tmp_path / "loaded"),))

    stream = io.BytesIO()
    np.savez(stream, linear_1_W=np.array([Trap()], dtype=object), linear_1_b=np.zeros(1))
    graph = document([1, 2], op("linear", [0], [1, 1], out_dim=1, in_dim=2))
    (tmp_path / "g.ir.json").write_text(json.dumps(graph))
    (tmp_path / "p.npz").write_bytes(stream.getvalue())
    with pytest.raises(IRPyTorchError, match="never loaded"):
        read_model(tmp_path / "g.ir.json", tmp_path / "p.npz")
    assert not (tmp_path / "loaded").exists()


def test_the_package_has_no_way_to_run_text() -> None:
    forbidden = re.compile(r"\b(eval|exec|compile|__import__|pickle|marshal|shelve|torch\.load)\(")
    for path in (ROOT / "hatch_irpytorch").rglob("*.py"):
        text = path.read_text(encoding="utf-8").replace("re.compile(", "")
        assert not forbidden.search(text.replace(".eval()", "")), path
        assert "allow_pickle=True" not in text
    assert weights_file.__module__ == "hatch_irpytorch.emit.weights"
