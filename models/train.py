"""Train the digits models and write their graphs and parameters beside this script.

    pip install ./hatch_irpytorch && pip install --group train && python models/train.py [NAME...]

Each graph is given small random parameters, emitted, and trained as the module that comes out;
the module's state dict is the ParamStore. The networks of `nets.py` are trained as they are and
then captured, one from PyTorch and one by way of an ONNX file.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import graphs
import nets
import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional

from hatch_irpytorch import EmitOptions, Model, emit_module
from hatch_irpytorch.capture import from_onnx, from_torch
from hatch_irpytorch.capture.files import write_captured
from hatch_irpytorch.ir.graph import Graph
from hatch_irpytorch.ir.read import build_graph

HERE = Path(__file__).parent
EPOCHS = 60

MODELS: dict[str, tuple[graphs.Document, tuple[int, ...]]] = {
    "digits_mlp": (graphs.perceptron(32, 10), (1, 64)),
    "digits_cnn": (graphs.cnn(), (1, 1, 8, 8)),
    "digits_transformer": (graphs.transformer(), (1, 8, 8)),
    "digits_autoencoder": (graphs.autoencoder(), (1, 64)),
    "digits_wide": (graphs.perceptron(320, 256, 10), (1, 64)),
    "legacy_cnn": (graphs.legacy_cnn(), (1, 8, 8)),
    "digits_softmax": (graphs.softmax_regression(), (1, 64)),
}

CAPTURED: dict[str, type[torch.nn.Module]] = {
    "digits_residual": nets.DigitsResidual,
    "digits_gated": nets.DigitsGated,
}
BY_ONNX = "digits_gated"
SHAPES = {
    **{name: shape for name, (_, shape) in MODELS.items()},
    **dict.fromkeys(CAPTURED, (1, 1, 8, 8)),
    "digits_fused": MODELS["digits_transformer"][1],
}


def digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training images, training labels, test images, test labels; pixels in [0, 1]."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16.0, labels, test_size=0.25, random_state=0, stratify=labels)
    x, x_test, y, y_test = parts
    return (
        torch.tensor(x, dtype=torch.float32),
        torch.tensor(y),
        torch.tensor(x_test, dtype=torch.float32),
        torch.tensor(y_test),
    )


def initial_model(document: graphs.Document) -> Model:
    """The graph with random weights, zero biases and identity normalisations."""
    graph = build_graph(json.dumps(document).encode("ascii"), "graph")
    return Model(graph, initial_params(graph))


def initial_params(graph: Graph) -> dict[tuple[int, str], Any]:
    rng = np.random.default_rng(0)
    params: dict[tuple[int, str], Any] = {}
    for node in graph.nodes:
        slots = () if node.op.optional_payload() else node.op.payload(*graph.parent_shapes(node))
        for slot in slots:
            if slot.field == "weight":
                bound = float(np.prod(slot.shape[1:])) ** -0.5
                value = rng.uniform(-bound, bound, slot.shape)
            elif slot.field in ("gamma", "var"):
                value = np.ones(slot.shape)
            else:
                value = np.zeros(slot.shape)
            params[node.id, slot.field] = value
    for node in graph.nodes:
        if node.op.tag == "const":
            users = [user.op.tag for user in graph.nodes if node.id in user.parents]
            if len(node.shape) == 4:
                params[node.id, "values"] = np.full(node.shape, 0.5)
            elif users == ["mul_elem"]:
                params[node.id, "values"] = np.ones(node.shape)
            elif users == ["broadcast_to"]:
                params[node.id, "values"] = rng.normal(0, 0.1, node.shape)
    return params


def load(source: str) -> torch.nn.Module:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "untrained.py"
        path.write_text(source, encoding="utf-8")
        spec = spec_from_file_location("untrained", path)
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        model: torch.nn.Module = module.ExportedIRModel()
        return model


def batched(model: torch.nn.Module, shape: tuple[int, ...]) -> Any:
    """The module over a batch of samples, each of which it sees alone."""

    def run(params: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.func.functional_call(model, params, (x.reshape(shape),))
        return out.reshape(out.shape[-1:]) if out.dim() in (1, 2) else out

    return torch.func.vmap(run, in_dims=(None, 0))


def calibrate(model: Model, x: torch.Tensor) -> None:
    """Set each batch norm's statistics to those of its input over the training images."""
    params: Any = model.params
    for node in model.graph.nodes:
        if node.op.tag == "batch_norm_eval":
            prefix = Model(replace(model.graph, output_ids=node.parents), model.params)
            module = load(emit_module(prefix, EmitOptions(training_skeleton=False)).source)
            with torch.no_grad():
                run = batched(module, model.graph.input_shape)
                seen = run(dict(module.named_parameters()), x).flatten(0, 1)
            params[node.id, "mean"] = seen.mean(dim=(0, 2, 3)).double().numpy()
            params[node.id, "var"] = seen.var(dim=(0, 2, 3), correction=0).double().numpy()


def train(name: str) -> str:
    document, shape = MODELS[name]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y, x_test, y_test = digits()
    options = EmitOptions(training_skeleton=False, compress_broadcast_params=False)
    initial = initial_model(document)
    calibrate(initial, x)
    model = load(emit_module(initial, options).source)
    run = batched(model, shape)
    is_loss = name == "digits_autoencoder"
    opt = torch.optim.Adam(model.parameters(), lr=3e-3)
    params = dict(model.named_parameters())
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(len(x)), 64):
            out = run(params, x[batch])
            if is_loss:
                loss = out.mean()
            elif name == "digits_softmax":
                loss = functional.nll_loss(torch.log(out + 1e-9), y[batch])
            else:
                loss = functional.cross_entropy(out, y[batch])
            opt.zero_grad()
            torch.autograd.backward(loss)
            opt.step()
    with torch.no_grad():
        out = run(params, x_test)
    figure = (
        f"{out.mean().item():.5f} test loss"
        if is_loss
        else (f"{(out.argmax(1) == y_test).float().mean().item():.4f} test accuracy")
    )
    write(name, document, model)
    return figure


def train_captured(name: str) -> str:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y, x_test, y_test = digits()
    images, test_images = x.reshape(-1, 1, 8, 8), x_test.reshape(-1, 1, 8, 8)
    model = CAPTURED[name]()
    opt = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(len(images)), 64):
            loss = functional.cross_entropy(model(images[batch]), y[batch])
            opt.zero_grad()
            torch.autograd.backward(loss)
            opt.step()
    model.eval()
    with torch.no_grad():
        accuracy = (model(test_images).argmax(1) == y_test).float().mean().item()
    write_captured(capture(name, model), HERE / name, type(model).__name__, "float32", force=True)
    return f"{accuracy:.4f} test accuracy"


def capture(name: str, model: torch.nn.Module) -> Model:
    example = torch.zeros(SHAPES[name])
    if name != BY_ONNX:
        return from_torch(model, example)
    path = HERE / f"{name}.onnx"
    with warnings.catch_warnings():
        # The newer exporter needs a package more, and this network nothing of it.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model, (example,), path, dynamo=False, input_names=["image"], output_names=["logits"]
        )
    return from_onnx(path)


def write(name: str, document: graphs.Document, model: torch.nn.Module) -> None:
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    if name == "digits_softmax":
        for node in document["nodes"]:
            if node["kind"] == "linear":
                weight = state[f"linear_{node['id']}_W"]
                node |= {"out_dim": weight.shape[0], "in_dim": weight.shape[1]}
                node["weight"] = weight.double().tolist()
                node["bias"] = state[f"linear_{node['id']}_b"].double().tolist()
    else:
        save_file(state, HERE / f"{name}.safetensors")
    lines = ",\n".join(f"    {json.dumps(node)}" for node in document["nodes"])
    head = {key: value for key, value in document.items() if key != "nodes"}
    text = json.dumps(head)[:-1] + f', "nodes": [\n{lines}\n]}}\n'
    (HERE / f"{name}.ir.json").write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    for name in sys.argv[1:] or [*MODELS, *CAPTURED]:
        figure = train_captured(name) if name in CAPTURED else train(name)
        print(f"{name}: {figure}", flush=True)


if __name__ == "__main__":
    main()
