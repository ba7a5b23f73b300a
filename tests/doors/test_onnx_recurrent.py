"""Recurrent layers of ONNX with what few of them have, beside ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_files import Array, check, make_node, save

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("GRU", {"activations": ["HardSigmoid", "Tanh"]}),
    ("GRU", {"activations": ["HardSigmoid", "LeakyRelu"], "activation_alpha": [0.4, 0.3]}),
    ("GRU", {"clip": 0.3, "linear_before_reset": 1}),
    ("LSTM", {"clip": 0.3}),
    ("LSTM", {"input_forget": 1}),
    (
        "LSTM",
        {
            "activations": ["HardSigmoid", "ScaledTanh", "Elu"],
            "activation_alpha": [0.4, 0.8, 0.7],
            "activation_beta": [0.3, 1.5],
        },
    ),
    ("RNN", {"activations": ["Affine"], "activation_alpha": [0.5], "activation_beta": [0.1]}),
]


def saved(path: Path, op: str, ways: int, lengths: list[int] | None, **said: Any) -> Path:
    """Four steps of a batch of three, two numbers each; three numbers of state."""
    rng = np.random.default_rng(4)
    gates = GATES[op]
    constants: dict[str, Array] = {
        "w": rng.normal(size=(ways, 3 * gates, 2)).astype(np.float32),
        "r": rng.normal(size=(ways, 3 * gates, 3)).astype(np.float32),
        "b": rng.normal(size=(ways, 6 * gates)).astype(np.float32),
        "h": rng.normal(size=(ways, 3, 3)).astype(np.float32),
    }
    inputs = ["x", "w", "r", "b", "", "h"]
    if lengths is not None:
        constants["n"] = np.array(lengths, np.int32)
        inputs[4] = "n"
    outputs = ("y", "last", *(["cell"] if op == "LSTM" else []))
    node = make_node(op, inputs, list(outputs), hidden_size=3, **said)
    return save(path, [node], [4, 3, 2], 14, constants, outputs)


@pytest.mark.parametrize(("op", "said"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_gates(tmp_path: Path, op: str, said: dict[str, Any]) -> None:
    check(saved(tmp_path / "m.onnx", op, 1, None, **said), [4, 3, 2])


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_sequences_of_their_own_lengths(tmp_path: Path, op: str, direction: str) -> None:
    ways = 2 if direction == "bidirectional" else 1
    check(saved(tmp_path / "m.onnx", op, ways, [4, 1, 2], direction=direction), [4, 3, 2])
