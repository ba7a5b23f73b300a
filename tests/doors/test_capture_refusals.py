"""What goes wrong in a user's own code, and why torch.export refuses: each in its own words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from command_line import run
from safetensors.torch import save_file

from hatch_irpytorch.capture.pytorch.factory import Wanted, capture_factory
from hatch_irpytorch.errors import IRPyTorchError, Problem

NETS = """\
import sys
import torch
from torch import nn


class Pair(nn.Module):
    def forward(self, x, y):
        return x + y


class Keyword(nn.Module):
    def forward(self, x, *, mask):
        return x * mask


class Nothing(nn.Module):
    def forward(self):
        return torch.ones(1)


class Branch(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


class Item(nn.Module):
    def forward(self, x):
        return x * 2 if x.max().item() > 3 else x


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(4, 2)

    def forward(self, x):
        return self.table(x)


class Places(nn.Module):
    def forward(self, x):
        return torch.arange(4.0)[x]


class Seven(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(7, 2)

    def forward(self, x):
        return self.layer(x)


class Rows(nn.Module):
    def forward(self, x):
        a, b, c = x.unbind(0)
        return a + b + c


class Inverse(nn.Module):
    def forward(self, x):
        return torch.linalg.inv(x)


class Checked(nn.Module):
    def forward(self, x):
        torch.linalg.inv(x)
        return 2.0 * x


class Exits(nn.Module):
    def forward(self, x):
        sys.exit(0)


class Hollow(nn.Module):
    pass


class Huge(nn.Module):
    def forward(self, x):
        return x + torch.ones(1_000_000, 1_000_000).sum()


class Bare(nn.Module):
    def __init__(self):
        pass

    def forward(self, x):
        return x


class Listing(nn.Module):
    def named_parameters(self, *arguments, **more):
        sys.exit(0)


class Loading(nn.Linear):
    def __init__(self):
        super().__init__(2, 2)

    def load_state_dict(self, state):
        raise KeyError("mine")


class Width(nn.Module):
    def __init__(self, width):
        super().__init__()


def named(*, size):
    return nn.Linear(size, size)


def leaves():
    sys.exit(0)


def fails():
    raise KeyError("weights")


def odd():
    raise BaseException("odd")


def deep():
    return deep()


def says():
    print("building")
    return nn.Linear(4, 2)


def absent():
    return None
"""
NUMBERS = "must not depend on the numbers"
SHAPE = "is it the shape that the module takes?"
WHOLE = "it may want whole numbers"
ONE = "a graph has one input"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose module has a name of its own, for Python imports each name once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"nets_{os.getpid()}_{tmp_path.name}.py").write_text(NETS)
    return tmp_path


def refused(
    folder: Path, name: str, shape: tuple[int, ...] = (1, 4), state: Path | None = None
) -> Problem:
    module = f"nets_{os.getpid()}_{folder.name}"
    with pytest.raises(IRPyTorchError) as caught:
        capture_factory(f"{module}:{name}", Wanted(shape), state, 0)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("Pair", "`forward` takes 2 inputs: `x`, `y`", ONE),
        ("Keyword", "`forward` takes 2 inputs: `x`, `mask`", ONE),
        ("Nothing", "`forward` takes no input", ONE),
        ("Branch", "torch.export refuses the module", NUMBERS),
        ("Item", "torch.export refuses the module", NUMBERS),
        ("Words", "`forward` itself fails for an input of shape (1, 4)", WHOLE),
        ("Places", "`forward` itself fails for an input of shape (1, 4)", WHOLE),
        ("Seven", "(1x4 and 7x2)", SHAPE),
        ("Rows", "ValueError: not enough values to unpack", SHAPE),
        ("Exits", "SystemExit: 0", ""),
        ("Hollow", "NotImplementedError", ""),
    ],
)
def test_a_refusal_says_why(folder: Path, name: str, message: str, hint: str) -> None:
    problem = refused(folder, name)
    assert problem.code == "capture-failed" and message in problem.message
    assert hint in problem.hint and bool(hint) == bool(problem.hint)
    if name not in ("Hollow", "Item"):
        assert problem.place.file.startswith("nets_") and problem.place.line > 5


def test_a_check_that_torch_orders_by_a_token_is_no_input(folder: Path) -> None:
    problem = refused(folder, "Inverse", (3, 3))
    assert problem.code == "inexpressible" and "`linalg_inv_ex`" in problem.message
    module = f"nets_{os.getpid()}_{folder.name}"
    captured = capture_factory(f"{module}:Checked", Wanted((3, 3)), None, 0)
    assert captured.model.graph.tags[-1] == "mul_elem"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("Width", "missing 1 required positional argument: 'width'", "without arguments"),
        ("named", "missing 1 required keyword-only argument: 'size'", "without arguments"),
        ("leaves", "raised SystemExit: 0", ""),
        ("fails", "raised KeyError: 'weights'", ""),
        ("odd", "raised BaseException: odd", ""),
        ("deep", "raised RecursionError", ""),
        ("Bare", "listing the parameters", ""),
        ("Listing", "raised SystemExit: 0", ""),
    ],
)
def test_what_a_factory_raises_is_an_error(
    folder: Path, name: str, message: str, hint: str
) -> None:
    problem = refused(folder, name)
    assert problem.code == "capture-failed" and message in problem.message
    assert hint in problem.hint and bool(hint) == bool(problem.hint)


def test_what_a_module_raises_at_its_state_is_an_error(folder: Path) -> None:
    save_file({"weight": torch.ones(2, 2)}, folder / "state.safetensors")
    problem = refused(folder, "Loading", (1, 2), folder / "state.safetensors")
    assert problem.code == "capture-failed" and "raised KeyError: 'mine'" in problem.message
    problem = refused(folder, "says", (1, 4), folder / "state.safetensors")
    assert (
        problem.code == "bad-params" and 'Missing key(s) in state_dict: "bias"' in problem.message
    )


def test_a_name_that_is_not_there_has_the_nearest(folder: Path) -> None:
    assert refused(folder, "Pairs").hint == "did you mean `Pair`?"
    assert refused(folder, "absent").code == "bad-option"


def test_a_constant_without_bound_is_not_made(folder: Path) -> None:
    assert "a constant of more than" in refused(folder, "Huge").message


@pytest.mark.parametrize("shape", [(1_000_000, 1_000_000), (1 << 62, 4), (3,) * 40])
def test_an_input_without_bound_is_not_made(folder: Path, shape: tuple[int, ...]) -> None:
    problem = refused(folder, "Pair", shape)
    assert (problem.code, problem.place.file) == ("too-large", "--shape")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import sys; sys.exit(0)", "SystemExit"),
        ("raise BaseException('odd')", "BaseException"),
        ("1 / 0", "ZeroDivisionError"),
        ("def f(:", "SyntaxError"),
        ("import no_such_package", "ModuleNotFoundError"),
        ("x = '\0'", "SyntaxError"),
    ],
)
def test_what_an_import_raises_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"broken_{os.getpid()}_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(text)
    with pytest.raises(IRPyTorchError) as caught:
        capture_factory(f"{module}:Net", Wanted((1, 4)), None, 0)
    (problem,) = caught.value.problems
    assert problem.code == "import-failed" and name in problem.message + str(problem.place)


def test_the_command_tells_one_line_and_keeps_its_output_clean(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    options = ("--shape", "1,4", "-o", "models/net")
    left = run(tmp_path, "capture", "nets:leaves", *options)
    assert left.returncode == 2 and left.stderr.count("\n") == 1
    assert left.stderr.startswith("nets.py:") and not (tmp_path / "models").exists()
    traced = run(tmp_path, "--debug", "capture", "nets:fails", *options)
    assert 'raise KeyError("weights")' in traced.stderr
    result = run(tmp_path, "capture", "nets:says", *options)
    assert result.returncode == 0 and result.stderr == "building\n"
    assert all(line.startswith("models/net.") for line in result.stdout.splitlines())


@pytest.mark.parametrize("output", ["models/Net", "models/import", "file/net", "models/net"])
def test_the_output_is_looked_at_before_the_work(tmp_path: Path, output: str) -> None:
    """Before torch is imported, and before the user's code is."""
    (tmp_path / "nets.py").write_text("open('ran', 'w')")
    (tmp_path / "file").write_text("")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/net.ir.json").write_text("{}")
    result = run(tmp_path, "capture", "nets:Net", "--shape", "1,4", "-o", output)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("nets.py:Net", "a module is named as `import` names it; such as `nets:SmallCNN`"),
        ("nets.py", "a module is named as `import` names it"),
        ("net.onnx", "`net.onnx` is an ONNX file; `irpytorch import-onnx` takes it"),
        ("net.pt", "load it in Python, and give the module to `irpytorch capture`"),
    ],
)
def test_a_file_is_no_factory(tmp_path: Path, factory: str, message: str) -> None:
    result = run(tmp_path, "capture", factory, "--shape", "1", "-o", "models/net")
    assert (result.returncode, result.stdout) == (2, "") and message in result.stderr
