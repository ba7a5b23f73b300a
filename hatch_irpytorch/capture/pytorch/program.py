"""An `nn.Module` as an exported program of the ATen ops that the tables here know."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from typing import Any

import torch
from torch import fx, nn

from hatch_irpytorch.capture.pytorch import (
    activation_ops,
    attention_ops,
    comparison_ops,
    complex_ops,
    elementwise_ops,
    index_ops,
    layer_ops,
    movement_ops,
    recurrent_ops,
    reduction_ops,
    rounding_ops,
    sampling_ops,
    scatter_ops,
    window_ops,
)
from hatch_irpytorch.capture.pytorch.call import Call, module_name
from hatch_irpytorch.capture.pytorch.dropout import called_droppers, drops_by_op
from hatch_irpytorch.capture.pytorch.gradients import kept_from_gradients
from hatch_irpytorch.capture.pytorch.refusals import export_problem, own_place
from hatch_irpytorch.capture.pytorch.tensors import Identity, Parameter, identity
from hatch_irpytorch.errors import IRPyTorchError, Place, fail

OPS = complex_ops.paired(
    {
        **elementwise_ops.OPS,
        **comparison_ops.OPS,
        **activation_ops.OPS,
        **complex_ops.OPS,
        **attention_ops.OPS,
        **movement_ops.OPS,
        **index_ops.OPS,
        **recurrent_ops.OPS,
        **reduction_ops.OPS,
        **rounding_ops.OPS,
        **sampling_ops.OPS,
        **scatter_ops.OPS,
        **layer_ops.OPS,
        **window_ops.OPS,
    }
)
"""Every ATen op that has a form, by name."""

OUTERMOST = "forward"


@dataclass(frozen=True)
class Program:
    """The nodes of a module in order, what its placeholders hold, and what it returns.

    `returned` tells the results of `forward` from the new values of buffers and inputs and from
    tokens of the order of effects, which an exported program returns before them; `replaced` holds
    placeholder and name of what changes, by the position of its new value among the results.
    `drops` says that training would drop something.
    """

    nodes: tuple[fx.Node, ...]
    returned: tuple[bool, ...]
    replaced: dict[int, tuple[str, str]]
    inputs: dict[str, torch.Tensor | Parameter]
    user_input: str
    uses: dict[Identity, int]
    buffers: dict[Identity, str]
    drops: bool


def export(call: Call, example: torch.Tensor) -> Program:
    """The module of a call in eval mode as a program. Raises `IRPyTorchError`: `capture-failed`."""
    if not hasattr(torch.export, "default_decompositions"):
        raise fail("capture-failed", Place(call.file), "capture needs torch 2.6 or newer")
    try:
        with in_eval_mode(call), called_droppers(call) as droppers:
            exported = torch.export.export(call, (example,), strict=False)
            untrained = kept_from_gradients(exported)
            drops = bool(droppers) or drops_by_op(exported)
            _keep_places(exported.graph_module)
            table: Any = torch.export.default_decompositions()
            for op in list(table):
                if _packet(op) in OPS:
                    table.pop(op)
            exported = exported.run_decompositions(table)
    except (KeyboardInterrupt, MemoryError, IRPyTorchError):
        raise
    except BaseException as error:  # torch.export and `forward` itself may raise anything
        raise export_problem(error, call, example, call.file, in_eval_mode) from error
    return _read(exported, untrained, drops, call.file)


def _keep_places(module: fx.GraphModule) -> None:
    """Have the nodes of blocks such as `no_grad` keep their places when torch inlines the blocks.

    Run as code they would all come from text that torch generated.
    """
    for block in module.modules():
        if block is not module and isinstance(block, fx.GraphModule):
            block.forward = fx.Interpreter(block).run


@contextmanager
def in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Eval mode, and nothing said."""
    with _eval_mode(module), _plain_attention(), _without_logs(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _eval_mode(module: nn.Module) -> Iterator[None]:
    """Every part in eval mode, and afterwards in the mode it had."""
    modes = [(part, part.training) for part in module.modules()]
    with suppress(NotImplementedError):  # by torch's own exported modules, whose mode is fixed
        module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Transformer layers by their Python code, not by one fused op."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _without_logs() -> Iterator[None]:
    """What torch logs on its way to an error, pages of it, is left out: the error says it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        logging.disable(before)


def _packet(op: Any) -> str:
    """`add` for `aten.add.Tensor`; other namespaces keep theirs."""
    namespace, _, name = str(op._schema.name).partition("::")
    if namespace != "aten":
        return f"{namespace}::{name}"
    view = name.removesuffix("_copy")
    return view if name not in OPS and view in OPS and _copies_view(op) else name


def _copies_view(op: Any) -> bool:
    """Whether an op is a view without its alias, as `expand_copy` is and `index_copy` is not."""
    packet = op.overloadpacket
    tags = (getattr(packet, overload).tags for overload in packet.overloads())
    return any(torch.Tag.view_copy in some for some in tags)


def op_name(node: fx.Node) -> str:
    """The table's name for what a node calls."""
    target = node.target
    return (
        _packet(target) if hasattr(target, "_schema") else getattr(target, "__name__", str(target))
    )


def whole_op(node: fx.Node) -> str:
    """The op that torch made what a node calls of; nothing where it is the op itself."""
    whole = node.meta.get("original_aten")
    name = _packet(whole) if hasattr(whole, "_schema") else ""
    return "" if name == op_name(node) else name


def overload_name(node: fx.Node) -> str:
    """The name with its overload: `add.Tensor`."""
    return str(node.target).removeprefix("aten.").removesuffix(".default")


def _read(exported: Any, untrained: Container[str], drops: bool, file: str) -> Program:
    signature = exported.graph_signature
    nodes = tuple(exported.graph.nodes)
    inputs: dict[str, torch.Tensor | Parameter] = {}
    users: Counter[Identity] = Counter()
    held: dict[Identity, str] = {}
    by_name = {node.name: node for node in nodes if node.op == "placeholder"}
    for name, target in signature.inputs_to_parameters.items():
        tensor = exported.state_dict[target]
        key = identity(tensor)
        given = tensor.detach() if target in untrained else tensor
        inputs[name] = Parameter(module_name(target), given, key)
        users[key] += sum(
            argument is by_name[name]
            for user in by_name[name].users
            for argument in user.all_input_nodes
        )
    for name, target in signature.inputs_to_buffers.items():
        buffers = exported.state_dict if target in exported.state_dict else exported.constants
        inputs[name] = buffers[target].detach()
        if target in exported.state_dict:
            held[identity(buffers[target])] = module_name(target)
    for name, target in signature.inputs_to_lifted_tensor_constants.items():
        inputs[name] = exported.constants[target].detach()
    others = [name for name in by_name if name not in inputs and name not in signature.input_tokens]
    if len(others) != 1:
        message = f"a graph has one input, the module takes {len(others)}"
        raise fail("capture-failed", Place(file), message)
    returned = tuple(spec.kind.name == "USER_OUTPUT" for spec in signature.output_specs)
    replaced = _replaced(signature)
    return Program(nodes, returned, replaced, inputs, others[0], dict(users), held, drops)


def _replaced(signature: Any) -> dict[int, tuple[str, str]]:
    owners = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    placeholders = {target: name for name, target in owners.items()}
    return {
        position: (placeholders.get(spec.target, spec.target), spec.target)
        for position, spec in enumerate(signature.output_specs)
        if spec.kind.name in ("BUFFER_MUTATION", "PARAMETER_MUTATION", "USER_INPUT_MUTATION")
    }


def source_place(node: fx.Node, file: str) -> Place:
    """The line of the user's own source that a node comes from, as far as torch knows it."""
    return own_place(node.meta.get("stack_trace") or "", file)


def module_path(node: fx.Node) -> str:
    """The dotted name of the module whose `forward` a node is in; of the outermost: `forward`."""
    stack = node.meta.get("nn_module_stack")
    path = module_name(str(list(stack.values())[-1][0])) if stack else ""
    return path or OUTERMOST


def blank(node: fx.Node) -> torch.Tensor:
    """A tensor of the shape and dtype that a node's result has."""
    made = node.meta["val"]
    return torch.empty(1, dtype=made.dtype).expand(made.shape)
