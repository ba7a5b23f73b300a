"""What a capture of either door trains: as much as its source, and what is otherwise is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import called
from documents import namespace
from onnx import numpy_helper
from onnx_files import check, make_node, save
from torch import Tensor, nn
from torch.nn import functional

from hatch_irpytorch import EmitOptions, Model, emit_module
from hatch_irpytorch.capture import from_onnx, from_torch
from hatch_irpytorch.ir.read import read_model

NORMAL = np.random.default_rng(0).normal


class Residual(nn.Module):
    """A small residual network: convolutions without bias, batch norms, a frozen stem."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.left = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.plain = nn.BatchNorm2d(4, affine=False)
        self.drop = nn.Dropout(0.5)
        self.scale = nn.LayerNorm(4, bias=False)
        self.head = nn.Linear(4, 2)
        self.token = nn.Parameter(torch.zeros(1, 2))
        self.blur: Tensor
        self.register_buffer("blur", torch.full((4, 1, 3, 3), 1 / 9))
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.stem(x - self.mean))
        y = torch.relu(y + self.plain(self.left(y)))
        y = functional.conv2d(y, self.blur, groups=4)
        out: Tensor = self.head(self.drop(self.scale(y.mean((2, 3)))))
        return out + self.token


def module(model: Model) -> nn.Module:
    made: nn.Module = namespace(emit_module(model, EmitOptions()).source)["ExportedIRModel"]()
    return made


def shapes(network: nn.Module) -> list[tuple[int, ...]]:
    """Of all that an optimizer would be given."""
    return sorted(tuple(p.shape) for p in network.parameters() if p.requires_grad)


def training_notes(model: Model) -> list[str]:
    return [note.message for note in model.notes if note.code == "training"]


X = torch.randn(2, 3, 6, 6)


@pytest.mark.parametrize("frozen", [(), ("stem",), ("stem", "norm", "head", "scale")])
def test_a_captured_network_trains_what_its_source_does(frozen: tuple[str, ...]) -> None:
    source = Residual().eval()
    for name in frozen:
        source.get_submodule(name).requires_grad_(False)
    model = from_torch(source, X)
    assert shapes(module(model)) == shapes(source)
    torch.testing.assert_close(module(model)(X), source(X))
    told = training_notes(model)
    assert len(told) == len(set(told)) == (4 if frozen else 3)
    for phrase in ("without a bias", "batch norm keeps", "dropout is gone"):
        assert sum(phrase in note for note in told) == 1
    assert sum("source does not train" in note for note in told) == bool(frozen)


def test_a_network_that_trains_as_its_source_gets_no_note() -> None:
    source = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.0), nn.LayerNorm(4)).eval()
    assert training_notes(from_torch(source, torch.zeros(2, 3))) == []


class Folded(nn.Module):
    """A convolution whose kernel adds up windows."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.fold(x, (4, 4), 3, stride=1)


def test_a_kernel_that_a_formula_makes_is_not_learned() -> None:
    model = from_torch(Folded(), torch.zeros(1, 9, 4))
    assert any(node.op.tag == "conv" for node in model.graph.nodes)
    assert (shapes(module(model)), training_notes(model)) == ([], [])


class DropPath(nn.Module):
    """Drops whole samples in training, as libraries write it: evaluation shows no op of it."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * (torch.rand(len(x), 1, 1) >= self.drop_prob)


class StochasticDepth(nn.Module):
    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return DropPath(self.p)(x) if self.training else x


class Functional(nn.Module):
    def __init__(self, p: float, *, under: bool = False) -> None:
        super().__init__()
        self.likely = p
        self.under = under

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(not self.under):
            return functional.dropout(x, self.likely, self.training)


class Recurrent(nn.Module):
    def __init__(self, layers: int, dropout: float) -> None:
        super().__init__()
        self.cells = nn.RNN(4, 4, layers, dropout=dropout, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.cells(x)[0]
        return found


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop, self.path = nn.Dropout(0.1), DropPath(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return 2.0 * x


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (nn.Dropout1d(0.1), True),
        (nn.AlphaDropout(0.1), True),
        (nn.Dropout(0.0), False),
        (DropPath(0.1), True),
        (DropPath(0.0), False),
        (StochasticDepth(0.1), True),
        (Functional(0.1), True),
        (Functional(0.1, under=True), True),
        (Functional(0.0), False),
        (Recurrent(2, 0.1), True),
        (Recurrent(2, 0.0), False),
        (Unused(), False),
        (nn.TransformerEncoderLayer(4, 2, 4, dropout=0.1, batch_first=True), True),
        (nn.TransformerEncoderLayer(4, 2, 4, dropout=0.0, batch_first=True), False),
    ],
)
def test_dropout_is_told_where_training_would_drop(layer: nn.Module, told: bool) -> None:
    notes = training_notes(from_torch(nn.Sequential(layer).eval(), torch.zeros(1, 2, 4)))
    assert ["dropout is gone" in note for note in notes] == [True] * told


@pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last")
def test_the_dropout_of_one_recurrent_layer_does_nothing() -> None:
    assert training_notes(from_torch(Recurrent(1, 0.1).eval(), torch.zeros(1, 2, 4))) == []


@pytest.mark.parametrize(
    ("padding", "frozen", "told"),
    [(1, False, "row of padding"), (None, False, ""), (1, True, "source does not train")],
)
def test_the_row_of_padding_is_told_where_it_is_learned(
    padding: int | None, frozen: bool, told: str
) -> None:
    source = nn.Embedding(5, 2, padding_idx=padding).requires_grad_(not frozen)
    notes = training_notes(from_torch(source, torch.zeros(1, 3, dtype=torch.int64), tokens=5))
    assert [told in note for note in notes] == [True] * bool(told)


def test_a_frozen_parameter_that_several_nodes_read_stays_frozen() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3), requires_grad=False)

        def forward(self, x: Tensor) -> Tensor:
            return functional.linear(functional.linear(x, self.weight), self.weight)

    model = from_torch(Tied(), torch.zeros(2, 3))
    assert shapes(module(model)) == []
    assert any("`--learn" in note for note in training_notes(model))


@pytest.mark.parametrize("opset", [11, 17])
def test_layers_of_a_file_without_a_bias(tmp_path: Path, opset: int) -> None:
    """Weights that are initializers are parameters, numbers inside the graph are not."""
    weights = {
        "w": NORMAL(size=(2, 3, 3, 3)).astype(np.float32),
        "t": NORMAL(size=(2, 2, 2, 2)).astype(np.float32),
        "m": NORMAL(size=(4, 3)).astype(np.float32),
        **{n: (NORMAL(size=2) ** 2).astype(np.float32) for n in ("g", "b", "u", "v")},
    }
    blur = np.full((2, 1, 2, 2), 0.25, np.float32)
    nodes = [
        make_node("Constant", [], ["k"], value=numpy_helper.from_array(blur)),
        make_node("Conv", ["x", "w"], ["c"]),
        make_node("BatchNormalization", ["c", "g", "b", "u", "v"], ["n"]),
        make_node("Conv", ["n", "k"], ["s"], group=2),
        make_node("ConvTranspose", ["s", "t"], ["d"], strides=[2, 2]),
        make_node("Dropout", ["d"], ["o"]),
        make_node("MatMul", ["o", "m"], ["y"]),
    ]
    path = save(tmp_path / "net.onnx", nodes, [1, 3, 5, 5], opset, weights)
    model = check(path, [1, 3, 5, 5])
    assert shapes(module(model)) == sorted([(2, 3, 3, 3), (2,), (2,), (2, 2, 2, 2), (3, 4)])
    assert len(training_notes(model)) == 4


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize(("ratio", "told"), [(0.1, True), (0.0, False), (None, True)])
def test_dropout_of_a_file_is_told_where_it_would_drop(
    tmp_path: Path, opset: int, ratio: float | None, told: bool
) -> None:
    as_input = {} if opset < 12 or ratio is None else {"r": np.array(ratio, np.float32)}
    attributes = {} if opset > 11 or ratio is None else {"ratio": ratio}
    node = make_node("Dropout", ["x", *as_input], ["y"], **attributes)
    model = from_onnx(save(tmp_path / "m.onnx", [node], [2, 3], opset, as_input))
    assert ["dropout is gone" in note for note in training_notes(model)] == [True] * told


def test_what_describes_the_input_of_a_file_is_data(tmp_path: Path) -> None:
    constants = {
        "mean": NORMAL(size=(3, 1, 1)).astype(np.float32),
        "std": (NORMAL(size=(3, 1, 1)) ** 2 + 1).astype(np.float32),
        "flat": NORMAL(size=12).astype(np.float32),
        "shape": np.array([1, 12]),
        "table": np.zeros((1, 12), np.float32),
        "late": NORMAL(size=12).astype(np.float32),
        "mask": np.array([[0.0] * 6 + [-np.inf] * 6], np.float32),
    }
    nodes = [
        make_node("Sub", ["x", "mean"], ["a"]),
        make_node("Div", ["a", "std"], ["b"]),
        make_node("Reshape", ["b", "shape"], ["c"]),
        make_node("Sub", ["c", "flat"], ["d"]),
        make_node("Add", ["d", "table"], ["e"]),
        make_node("Sub", ["e", "late"], ["f"]),
        make_node("Add", ["f", "mask"], ["g"]),
        make_node("Softmax", ["g"], ["y"], axis=1),
    ]
    model = from_onnx(save(tmp_path / "net.onnx", nodes, [1, 3, 2, 2], 13, constants))
    trained = {
        node.origin for node in model.graph.nodes if getattr(node.op, "learnable", None) is True
    }
    assert trained == {"table", "late"}


def test_a_class_token_of_zeros_is_a_parameter(tmp_path: Path) -> None:
    constants = {"token": np.zeros((1, 1, 4), np.float32), "one": np.array([1.0], np.float32)}
    nodes = [
        make_node("Concat", ["token", "x"], ["a"], axis=1),
        make_node("Mul", ["a", "one"], ["b"]),
        make_node("PRelu", ["b", "slope"], ["y"]),
    ]
    constants["slope"] = np.array([0.25], np.float32)
    path = save(tmp_path / "net.onnx", nodes, [1, 2, 4], 13, constants)
    assert shapes(module(from_onnx(path))) == [(1,), (1, 1, 4)]


def test_recurrent_layers_of_a_file_train_their_weights(tmp_path: Path) -> None:
    hidden = 2
    constants = {
        "w": NORMAL(size=(1, 4 * hidden, 3)).astype(np.float32),
        "r": NORMAL(size=(1, 4 * hidden, hidden)).astype(np.float32),
        "p": NORMAL(size=(1, 3 * hidden)).astype(np.float32),
    }
    node = make_node("LSTM", ["x", "w", "r", "", "", "", "", "p"], ["y"], hidden_size=hidden)
    model = check(save(tmp_path / "net.onnx", [node], [3, 1, 3], 14, constants), [3, 1, 3])
    assert shapes(module(model)) == sorted([(8, 3), (8, 2), (2,), (2,), (2,)])


NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4))
        self.head = nn.Linear(4, 2, bias=False)
        self.token = nn.Parameter(torch.zeros(2))
        self.body[0].requires_grad_(False)

    def forward(self, x):
        return self.head(self.body(x)) + self.token
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"body.2.weight", "body.2.bias", "head.weight", "token"}),
        (["--freeze", "body*"], {"head.weight", "token"}),
        (["--freeze", "*.weight", "--freeze", "token"], {"body.2.bias"}),
        (["--freeze", "*", "--learn", "head"], {"head.weight", "head.bias"}),
        (["--learn", "body.0.bias", "--freeze", "linear_*"], {"body.0.bias", "token"}),
    ],
)
def test_patterns_on_the_command_line(
    tmp_path: Path, options: list[str], expected: set[str]
) -> None:
    (tmp_path / "freezing_nets.py").write_text(NETS, encoding="utf-8")
    arguments = ["capture", "freezing_nets:Net", "--shape", "1,3", "-o", "net", *options]
    result = called(tmp_path, *arguments)
    assert result.returncode == 0, result.stderr
    found = module(read_model(tmp_path / "net.ir.json", tmp_path / "net.safetensors"))
    names = {"linear_1": "body.0", "linear_3": "body.2", "linear_4": "head"}
    parts = {"W": "weight", "b": "bias"}
    learned = set()
    for name, _ in found.named_parameters():
        layer, _, part = name.rpartition("_")
        learned.add(f"{names[layer]}.{parts[part]}" if layer in names else "token")
    assert learned == expected


@pytest.mark.parametrize("option", ["--freeze", "--learn"])
def test_a_pattern_without_a_match_is_refused(tmp_path: Path, option: str) -> None:
    (tmp_path / "freezing_nets.py").write_text(NETS, encoding="utf-8")
    arguments = ["capture", "freezing_nets:Net", "--shape", "1,3", "-o", "net", option, "boby.0"]
    result = called(tmp_path, *arguments)
    assert result.returncode == 2
    assert "boby.0" in result.stderr and "did you mean `body.0" in result.stderr
    assert not (tmp_path / "net.ir.json").exists()
    nodes = [make_node("Gemm", ["x", "w"], ["y"], name="/head/Gemm")]
    save(tmp_path / "net.onnx", nodes, [1, 3], 13, {"w": np.ones((3, 2), np.float32)})
    result = called(tmp_path, "import-onnx", "net.onnx", "-o", "net", option, "head.Gem")
    assert result.returncode == 2
    assert "did you mean `head.Gemm" in result.stderr
    result = called(tmp_path, "import-onnx", "net.onnx", "-o", "net", option, "head.*")
    assert result.returncode == 0, result.stderr
