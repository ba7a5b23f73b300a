"""Graph documents written node by node, and what to do with them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from hatch_irpytorch import EmitOptions, IRPyTorchError, Model, Problem, emit_module, evaluate
from hatch_irpytorch.emit import EmittedModule
from hatch_irpytorch.emit.plan import ModulePlan
from hatch_irpytorch.emit.planning import plan_module
from hatch_irpytorch.ir.params import StoreFile
from hatch_irpytorch.ir.read import build_model
from hatch_irpytorch.verify.source import check_source

Node = dict[str, Any]
Document = dict[str, Any]

POOL: dict[str, Any] = {"spatial_rank": 1, "kernel": [2], "stride": [1], "padding": [0]}
"""The attributes of a pooling with windows of two."""

CONV: dict[str, Any] = {
    "spatial_rank": 1,
    "kernel": [2],
    "stride": [1],
    "padding": [0],
    "padding_after": [0],
    "dilation": [1],
    "groups": 1,
    "channel_axis": 0,
    "in_channels": 2,
    "out_channels": 2,
}
"""The attributes of a convolution with windows of two."""


LINEAR = {"weight": [[1.0, 0.0], [0.5, -1.0], [0.0, 2.0]], "bias": [0.0, 0.25, -0.5]}
X = np.arange(6.0).reshape(3, 2)


def document(input_shape: list[int], *nodes: Node, outputs: list[int] | None = None) -> Document:
    """A graph whose node 0 is the input; ids and empty parents are filled in."""
    listed: list[Node] = [{"kind": "input", "shape": input_shape}, *nodes]
    complete = [{"id": i, "parents": [], **node} for i, node in enumerate(listed)]
    return {
        "format": "torchlean.ir.v1",
        "input_id": 0,
        "output_ids": [len(listed) - 1] if outputs is None else outputs,
        "nodes": complete,
    }


def op(kind: str, parents: list[int], shape: list[int], **fields: Any) -> Node:
    return {"kind": kind, "parents": parents, "shape": shape, **fields}


def const(shape: list[int], values: Any) -> Node:
    flat = np.broadcast_to(np.asarray(values, dtype=float), shape).reshape(-1).tolist()
    return {"kind": "const", "shape": shape, "values": flat}


def regression() -> Document:
    """A linear node with weights."""
    weight, bias = np.eye(3, 2).tolist(), [0.5, 0.25, 0.125]
    return document([4, 2], op("linear", [0], [4, 3], weight=weight, bias=bias))


def read(value: Document, store: StoreFile | None = None) -> Model:
    return build_model(json.dumps(value).encode("utf-8"), "graph.json", store)


def problems(value: Document | bytes, store: StoreFile | None = None) -> tuple[Problem, ...]:
    """What is wrong with a document; nothing when it is sound."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode("utf-8")
    try:
        build_model(data, "graph.json", store)
    except IRPyTorchError as error:
        return error.problems
    return ()


def plan(value: Document, **options: Any) -> ModulePlan:
    return plan_module(read(value), EmitOptions(**options))


def source(value: Document, **options: Any) -> str:
    return emit_module(read(value), EmitOptions(**options)).source


def with_weight_file(dtype: Any = "float32") -> EmittedModule:
    """The module of `regression`, whose weights are in `net.safetensors`."""
    options = EmitOptions(weights="safetensors", dtype=dtype)
    return emit_module(read(regression()), options, weights_file="net.safetensors")


def namespace(text: str) -> dict[str, Any]:
    """What a generated module defines, once its text is found to be nothing but ours."""
    foreign = check_source(text, "generated.py")
    assert not foreign, "\n".join(map(str, foreign))
    found: dict[str, Any] = {"__name__": "generated"}
    exec(compile(text, "generated.py", "exec"), found)
    return found


def module(text: str) -> torch.nn.Module:
    loaded: torch.nn.Module = namespace(text)["ExportedIRModel"]()
    return loaded


def run_both(value: Document, x: Any, **options: Any) -> tuple[list[Any], list[Any]]:
    """Outputs of the generated float64 module and of the reference for the input `x`."""
    model = read(value)
    text = emit_module(model, EmitOptions(**{"dtype": "float64", **options})).source
    found = module(text)(torch.tensor(x, dtype=torch.float64))
    outputs = found if isinstance(found, tuple) else (found,)
    return [y.detach().numpy() for y in outputs], list(evaluate(model, x))


def assert_equal(value: Document, x: Any, expected: Any, **options: Any) -> None:
    """Module and reference both give `expected` as their first output, to 1e-12."""
    found, reference = run_both(value, x, **options)
    np.testing.assert_allclose(reference[0], expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12, atol=1e-12)


def codes(value: Document | bytes) -> list[str]:
    return [problem.code for problem in problems(value)]


def linear_document(**fields: Any) -> Document:
    return document([1, 2], op("linear", [0], [1, 3], **{**LINEAR, **fields}))
