"""The committed models reach their figures, and emitted code passes every tool as it is."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from documents import source, with_weight_file
from op_cases import CASES, document
from repository import CLASSES, ROOT
from train import SHAPES, batched, digits

from hatch_irpytorch.emit import REVISION
from hatch_irpytorch.emit.options import DTYPES
from hatch_irpytorch.manifest import default_class_name

ROW = re.compile(r"^\| `(\w+)` \| ([\d.]+) (test accuracy|test loss) \|", re.MULTILINE)
FIGURES = {
    name: (figure, kind)
    for name, figure, kind in ROW.findall((ROOT / "models/README.md").read_text(encoding="utf-8"))
}


def test_every_manifest_has_its_figure() -> None:
    assert set(FIGURES) == {path.stem for path in (ROOT / "models").glob("*.yaml")} == set(SHAPES)


def input_shape(name: str) -> tuple[int, ...]:
    """The shape of one sample as the module takes it, which may have more axes than the graph."""
    text = (ROOT / f"models/{name}.yaml").read_text(encoding="utf-8")
    return (1, *SHAPES[name]) if "batch: added" in text else SHAPES[name]


# `vmap` has no rule of its own for fused attention, and says so.
@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", FIGURES)
def test_a_model_reaches_its_figure(name: str) -> None:
    figure, kind = FIGURES[name]
    generated = import_module(f"irpytorch_models.{name}")
    model = getattr(generated, CLASSES.get(name, default_class_name(name)))()
    _, _, x, y = digits()
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad():
        out = batched(model, input_shape(name))(state, x)
    if kind == "test loss":
        assert f"{out.mean().item():.5f}" == figure
    else:
        assert f"{(out.argmax(1) == y).float().mean().item():.4f}" == figure


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One module for every op case whose text differs from the others'."""
    folder = tmp_path_factory.mktemp("modules")
    seen: set[str] = set()
    texts = [source(document(case)) for case in CASES]
    of_each_rank = {(case.tag, tuple(map(len, case.shapes))): case for case in CASES}
    texts += [source(document(case), layout="modules") for case in of_each_rank.values()]
    texts += [with_weight_file(dtype).source for dtype in DTYPES]
    for text in texts:
        code = re.sub(r"[-\d.e]+", "0", text)
        if code not in seen:
            seen.add(code)
            (folder / f"case_{len(seen)}.py").write_text(text, encoding="utf-8")
    assert len(seen) > 100
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("ruff", "check", "--isolated", "--no-cache"),
        ("ruff", "format", "--isolated", "--no-cache", "--check"),
        ("mypy", "--strict", "--config-file="),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_emitted_code_of_every_op_passes(modules: Path, arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", *arguments, "."]
    result = subprocess.run(command, cwd=modules, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]


def test_a_changed_text_raises_the_revision() -> None:
    """Builds know by the revision that outputs are stale: raise it, then note the new digest."""
    texts = "".join(source(document(case)) for case in CASES)
    texts += "".join(source(document(case), layout="modules") for case in CASES)
    texts += "".join(with_weight_file(dtype).source for dtype in DTYPES)
    digest = hashlib.sha256(re.sub(r"-?\d\.\d+(e-\d+)?", "x", texts).encode()).hexdigest()
    assert (REVISION, digest[:16]) == (18, "61c4b9d3cb146a1f")
