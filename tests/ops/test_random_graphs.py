"""Random graphs over all ops: every promise about a single model, on graphs nobody wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from closeness import KEEPS_ZERO_SIGN, allowance, far, largest_step
from conftest import Counts
from documents import namespace
from hypothesis import HealthCheck, given, seed, settings
from random_graphs import RandomGraph, random_graphs
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from hatch_irpytorch import EmitOptions, Graph, Model, emit_module, evaluate
from hatch_irpytorch.emit import literals
from hatch_irpytorch.emit.plan import Tensor
from hatch_irpytorch.emit.planning import plan_module
from hatch_irpytorch.errors import IRPyTorchError
from hatch_irpytorch.ir.graph import Node
from hatch_irpytorch.ir.ops import DomainError, Input
from hatch_irpytorch.ir.params import StoreFile
from hatch_irpytorch.ir.read import build_model
from hatch_irpytorch.ir.stores import Entry
from hatch_irpytorch.ir.write import write_document

Array = np.ndarray[Any, np.dtype[np.float64]]
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
PARTS = 4
"""The graphs are shared out to this many tests, so that they run at the same time."""

GRADIENT_STEPS = (1e-4, 7.3e-5, 5e-5)
FASTEST = 100.0
FILE = "graph.json"


Test = Callable[[], None]


def every(counts: Counts, part: int) -> Callable[[Test], Test]:
    """The settings of one part: its number of graphs and its seed."""
    chosen = settings(
        max_examples=counts.graphs // PARTS,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    def decorate(test: Test) -> Test:
        return seed(counts.first_seed + part)(chosen(test))

    return decorate


def read(case: RandomGraph) -> Model:
    return build_model(json.dumps(case.document).encode(), FILE, case.store)


def build(model: Model, **options: Any) -> torch.nn.Module:
    text = emit_module(model, EmitOptions(training_skeleton=False, **options)).source
    module: torch.nn.Module = namespace(text)["ExportedIRModel"]()
    return module


def is_within(model: Model, dtype: str) -> bool:
    """Whether a dtype has a number for each of a model; if not, the model is refused."""
    with np.errstate(over="ignore"):
        if all(np.isfinite(rounded(a, dtype)[np.isfinite(a)]).all() for a in model.params.values()):
            return True
    with pytest.raises(IRPyTorchError) as caught:
        build(model, dtype=dtype)
    assert {problem.code for problem in caught.value.problems} == {"overflow"}
    return False


def run(module: torch.nn.Module, x: Array, dtype: str) -> list[torch.Tensor]:
    with torch.no_grad():
        found = module(torch.tensor(x, dtype=getattr(torch, dtype)))
    outputs = list(found) if isinstance(found, tuple) else [found]
    return [output.detach() for output in outputs]


def rounded(array: np.ndarray[Any, Any], dtype: str) -> Array:
    return literals.rounded(array, dtype).astype(np.float64)


def payload_of(model: Model, node: Node) -> dict[str, Array]:
    found = {field: array for (owner, field), array in model.params.items() if owner == node.id}
    return {field: array.astype(np.float64) for field, array in found.items()}


def rounded_model(model: Model, dtype: str) -> Model:
    params = {key: rounded(array, dtype) for key, array in model.params.items()}
    return Model(model.graph, params)


def observed(model: Model) -> Model:
    """The same graph with every node as an output."""
    everything = tuple(node.id for node in model.graph.nodes)
    return Model(replace(model.graph, output_ids=everything), model.params)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("part", range(PARTS))
def test_every_node_equals_the_reference(counts: Counts, part: int, dtype: str) -> None:
    """Each node, given what torch computed for its parents; and nothing else moves an output."""

    @every(counts, part)
    @given(random_graphs())
    def check(case: RandomGraph) -> None:
        model = read(case)
        x = rounded(case.x, dtype)
        whole = observed(model)
        if not is_within(whole, dtype):
            return
        tensors = run(build(whole, dtype=dtype), x, dtype)
        outputs = run(build(model, dtype=dtype), x, dtype)
        for output, node_id in zip(outputs, model.graph.output_ids, strict=True):
            assert tuple(output.shape) == model.graph.nodes[node_id].shape
            assert output.dtype == getattr(torch, dtype)
            np.testing.assert_array_equal(output.numpy(), tensors[node_id].numpy())
        values = [tensor.double().numpy() for tensor in tensors]
        for node in model.graph.nodes:
            check_node(rounded_model(model, dtype), node, values, x, dtype)

    check()


def check_node(model: Model, node: Node, values: list[Array], x: Array, dtype: str) -> None:
    inputs = [values[parent] for parent in node.parents]
    payload = payload_of(model, node)
    with np.errstate(all="ignore"):
        try:
            expected = x if isinstance(node.op, Input) else node.op.reference(*inputs, **payload)
        except DomainError:
            return
        expected = np.asarray(expected)
        allowed = np.asarray(allowance(node, inputs, payload, expected))
        step = largest_step(node, inputs)
        wrong = far(values[node.id], expected, allowed, step, dtype, TOLERANCE[dtype])
    assert not wrong.any(), (node, inputs, values[node.id], expected, allowed)
    if node.op.tag in KEEPS_ZERO_SIGN - {"relu"}:
        same_sign = np.signbit(values[node.id]) == np.signbit(expected)
        assert (same_sign | np.isnan(expected)).all(), node


@pytest.mark.parametrize("part", range(PARTS))
def test_outputs_equal_the_reference_end_to_end(counts: Counts, part: int) -> None:
    """`evaluate` against the module, as close as rounding noise in this graph lets them be."""

    @every(counts, part)
    @given(random_graphs())
    def check(case: RandomGraph) -> None:
        model = read(case)
        try:
            expected = evaluate(model, case.x)
        except IRPyTorchError as error:
            assert {problem.code for problem in error.problems} == {"domain"}
            return
        found = [y.numpy() for y in run(build(model, dtype="float64"), case.x, "float64")]
        noisy = [walk(model, case.x, np.random.default_rng(i)) for i in range(3)]
        for position, output in enumerate(model.graph.output_ids):
            others = [values[output] for values in noisy]
            with np.errstate(all="ignore"):
                spread = sum((np.abs(other - expected[position]) for other in others), np.zeros(()))
                margin = 1e-12 * np.abs(expected[position]) + 100.0 * spread + 1e-300
                close = np.abs(found[position] - expected[position]) <= margin
            alike = (found[position] == expected[position]) | np.isnan(expected[position])
            unstable = ~np.isfinite(spread) | ~np.isfinite(found[position])
            assert (close | alike | unstable).all()

    check()


def walk(
    model: Model,
    x: Array,
    noise: np.random.Generator | None = None,
    frozen: dict[int, Array] | None = None,
) -> dict[int, Array]:
    """All live values; with relative noise of a few rounding steps, or detached values frozen."""
    values: dict[int, Array] = {}
    live = model.graph.live_ids()
    with np.errstate(all="ignore"):
        for node in model.graph.nodes:
            if node.id not in live:
                continue
            if frozen is not None and node.id in frozen:
                values[node.id] = frozen[node.id]
                continue
            inputs = [values[parent] for parent in node.parents]
            payload = payload_of(model, node)
            try:
                value = x if isinstance(node.op, Input) else node.op.reference(*inputs, **payload)
            except DomainError:
                value = np.full(node.shape, np.nan)
            value = np.asarray(value, dtype=np.float64)
            if noise is not None:
                unit = np.asarray(allowance(node, inputs, payload, value))
                value = value + 1e-15 * unit * noise.normal(size=value.shape)
            values[node.id] = value
    return values


@dataclass
class Tally:
    """Entries whose gradient was looked at, and those where a difference could be formed."""

    tried: int = 0
    compared: int = 0


@pytest.mark.parametrize("part", range(PARTS))
def test_gradients_equal_finite_differences(counts: Counts, part: int) -> None:
    """Of every parameter and of the input, wherever three step sizes agree on the difference."""
    tally = Tally()

    @every(counts, part)
    @given(random_graphs(tame=True))
    def check(case: RandomGraph) -> None:
        model = read(case)
        base = walk(model, case.x)
        outputs = [base[output] for output in model.graph.output_ids]
        finite = all(np.isfinite(output).all() for output in outputs)
        if finite and not waves_too_fast(model, base):
            compare_gradients(model, case.x, base, tally)

    check()
    assert tally.compared > 0.5 * tally.tried > 0


def waves_too_fast(model: Model, base: dict[int, Array]) -> bool:
    """Whether a sine or cosine of large numbers turns more than a difference could follow."""
    waves = [n for n in model.graph.nodes if n.op.tag in ("sin", "cos") and n.id in base]
    return any((np.abs(base[n.parents[0]]) > FASTEST).any() for n in waves)


def compare_gradients(model: Model, x: Array, base: dict[int, Array], tally: Tally) -> None:
    graph = model.graph
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in graph.output_shapes]
    stopped = {n.id: base[n.id] for n in graph.nodes if n.op.tag == "detach" and n.id in base}
    module = build(model, dtype="float64")
    inputs = torch.tensor(x, requires_grad=True)
    if not backward(module, inputs, weights):
        return

    def total(changed: Model, at: Array) -> float:
        values = walk(changed, at, frozen=stopped)
        products = zip(graph.output_ids, weights, strict=True)
        return sum(float((values[output] * w).sum()) for output, w in products)

    for entry in rng.permutation(x.size)[:2]:
        compare_slope(
            entry_of(inputs.grad, entry),
            partial(lambda e, h: total(model, x + h * one_hot(x.shape, e)), entry),
            tally,
        )
    parameters = dict(module.named_parameters())
    for held in plan_module(model, EmitOptions(dtype="float64")).tensors:
        parameter = parameters.get(held.name)
        for entry in rng.permutation(0 if parameter is None else parameter.numel())[:2]:
            assert parameter is not None
            compare_slope(
                entry_of(parameter.grad, entry),
                partial(lambda b, e, h: total(shifted(model, b, e, h), x), held, entry),
                tally,
            )


def backward(module: torch.nn.Module, x: torch.Tensor, weights: list[Array]) -> bool:
    """Gradients of the weighted sum of the outputs; False when nothing is differentiable."""
    found = module(x)
    outputs = found if isinstance(found, tuple) else (found,)
    pairs = zip(outputs, weights, strict=True)
    loss = torch.stack([(output * torch.tensor(w)).sum() for output, w in pairs]).sum()
    if loss.requires_grad:
        torch.autograd.backward(loss)
    return loss.requires_grad


def entry_of(gradient: torch.Tensor | None, entry: int) -> float:
    return 0.0 if gradient is None else float(gradient.reshape(-1)[entry])


def compare_slope(gradient: float, loss: Callable[[float], float], tally: Tally) -> None:
    tally.tried += 1
    here = loss(0.0)
    sides = [((loss(h) - here) / h, (here - loss(-h)) / h) for h in GRADIENT_STEPS]
    slopes = [(right + left) / 2 for right, left in sides]
    # The two sides of a kink, as where the entries of a window are equal, do not approach.
    wide, _, narrow = (abs(right - left) for right, left in sides)
    scale = 1.0 + abs(slopes[2])
    # Beside a loss of 1e14 a change of 1e-5 is rounded away.
    noise = abs(here) * np.finfo(np.float64).eps / GRADIENT_STEPS[2]
    smooth = narrow <= 0.75 * wide + 1e-6 * scale and noise < 1e-7 * scale
    formed = max(slopes) - min(slopes) < 1e-6 * scale and smooth
    # An infinite slope, as of a square root at 0, makes NaN of what is multiplied with it.
    if formed and math.isfinite(gradient):
        tally.compared += 1
        assert abs(gradient - (4 * slopes[2] - slopes[0]) / 3) <= 1e-5 * scale


def one_hot(shape: tuple[int, ...], entry: int) -> Array:
    array = np.zeros(shape)
    array.reshape(-1)[entry] = 1.0
    return array


def shifted(model: Model, held: Tensor, entry: int, h: float) -> Model:
    """The model with one entry of an emitted parameter moved by `h`."""
    node = model.graph.nodes[held.node_id]
    field = "values"
    for slot in node.op.payload(*model.graph.parent_shapes(node)):
        if slot.name and held.name.endswith(f"_{node.id}_{slot.name}"):
            field = slot.field
    array: Array = model.params[node.id, field].astype(np.float64)
    moved = array + h * one_hot(held.shape, entry)
    return Model(model.graph, {**model.params, (node.id, field): moved})


@pytest.mark.parametrize("part", range(PARTS))
def test_a_state_dict_regenerates_the_same_source(counts: Counts, part: int) -> None:
    """state_dict → ParamStore → source, and inline and stored weights are the same bits."""

    @every(counts, part)
    @given(random_graphs())
    def check(case: RandomGraph) -> None:
        model = read(case)
        for dtype in ("float32", "bfloat16"):
            if not is_within(observed(model), dtype):
                continue
            options = EmitOptions(dtype=dtype)
            text = emit_module(model, options).source
            state = namespace(text)["ExportedIRModel"]().state_dict()
            data = save_tensors({name: t.contiguous() for name, t in state.items()})
            again = build_model(graph_only(model.graph), FILE, store(data))
            assert emit_module(again, options).source == text
            stored = emit_module(
                model,
                EmitOptions(dtype=dtype, weights="safetensors"),
                weights_file="m.safetensors",
            )
            if stored.weights is None:
                continue
            for name, tensor in load_tensors(bytes(stored.weights)).items():
                assert tensor.dtype == state[name].dtype
                assert_same_bits(tensor, state[name])

    check()


def graph_only(graph: Graph) -> bytes:
    return json.dumps(write_document(graph)).encode()


def store(data: bytes) -> StoreFile:
    """A state dict as a ParamStore, by way of torch's own reader."""
    entries = {}
    for name, tensor in load_tensors(data).items():
        array = tensor.double().numpy()
        dtype = str(tensor.dtype).removeprefix("torch.")
        entries[name] = Entry(array.shape, dtype, lambda array=array: array)  # type: ignore[misc]
    return StoreFile("state.safetensors", entries)


def assert_same_bits(a: torch.Tensor, b: torch.Tensor) -> None:
    word = {2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    nan = torch.isnan(a) & torch.isnan(b)
    assert ((a.view(word) == b.view(word)) | nan).all()


@pytest.mark.parametrize("part", range(PARTS))
def test_json_to_graph_to_json_is_the_identity(counts: Counts, part: int) -> None:
    """Of a plain document at once; of one with lowered kinds from its first rewriting on."""

    @every(counts, part)
    @given(random_graphs())
    def check(case: RandomGraph) -> None:
        model = read(case)
        stored = set() if case.store is None else set(case.store.entries)
        in_json = {
            (node, field): array
            for (node, field), array in model.params.items()
            if f"const_{node}" not in stored
        }
        written = write_document(model.graph, in_json)
        kinds = {node["kind"] for node in case.document["nodes"]}
        lowered = {"multihead_attention", "tuple_getitem"} & kinds
        several = [
            n for n in case.document["nodes"] if n.get("keepdim") or len(n.get("axes", "1")) != 1
        ]
        dropped = any(note.code == "unused-weight" for note in model.notes)
        if not lowered and not several and not dropped:
            assert json.dumps(written, sort_keys=True) == json.dumps(case.document, sort_keys=True)
        again = build_model(json.dumps(written).encode(), FILE, case.store)
        params = {key: again.params[key] for key in in_json}
        assert write_document(again.graph, params) == written

    check()
