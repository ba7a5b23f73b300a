"""`make_optimizer`, `train_step` and the run as a program. torchlean.ir.v1: 5.4."""

from __future__ import annotations

from hatch_irpytorch.emit.layout import statement
from hatch_irpytorch.emit.marks import TRAINED, WEIGHTS_KEY
from hatch_irpytorch.emit.plan import ModulePlan, Skeleton
from hatch_irpytorch.ir.ops.code import Code, call
from hatch_irpytorch.ir.shapes import numel
from hatch_irpytorch.ir.symbolic import SymbolicShape, declared

_MAKE_OPTIMIZER = '''\
def make_optimizer(
    model: nn.Module, kind: str = "adam", lr: float = 1e-3
) -> torch.optim.Optimizer | None:
    """An optimizer over the trainable parameters, or None when there are none."""
    if kind not in ("adam", "sgd"):
        raise ValueError(f"unknown optimizer: {kind!r}")
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        return None
    if kind == "sgd":
        return torch.optim.SGD(parameters, lr=lr)
    return torch.optim.Adam(parameters, lr=lr{eps})
'''
# Adam's own 1e-8 is 0 in float16, and a parameter without gradient would become 0 / 0.
_EPS = {"float16": ", eps=1e-4"}

_SAVE_WEIGHTS = '''\
def save_weights(model: nn.Module, path: str) -> None:
    """Write the weights as a ParamStore that names its graph; needs safetensors."""
    from safetensors.torch import save_file

    graph = "{graph_digest}"
    metadata = {"{key}": f"{trained}; graph {graph}"}
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, path, metadata=metadata)
'''

_LOSS = "    loss: torch.Tensor = model(x)\n"
_SINGLE = "    loss = F.mse_loss(model(x), y)\n"
_SEVERAL = """\
    pairs = zip(model(x), y, strict=True)
    loss = torch.stack([F.mse_loss(out, target) for out, target in pairs]).sum()
"""
# The mean of nothing is NaN, the loss of nothing is 0. torchlean.ir.v1: 6.5.
_SINGLE_EMPTY = '    loss = F.mse_loss(model(x), y, reduction="sum")\n'
_SEVERAL_EMPTY = """\
    pairs = zip(model(x), y, strict=True)
    sums = [(F.mse_loss(out, target, reduction="sum"), out.numel()) for out, target in pairs]
    loss = torch.stack([total / max(count, 1) for total, count in sums]).sum()
"""
_STEP = """\
    if opt is not None:
        opt.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        opt.step()
"""
_STEPS = 5

RUN_AS_PROGRAM = """\
if __name__ == "__main__":
    main()
"""


def skeleton_text(plan: ModulePlan, skeleton: Skeleton) -> list[str]:
    """The functions of the training part, each ending in a newline."""
    optimizer = _MAKE_OPTIMIZER.replace("{eps}", _EPS.get(plan.dtype, ""))
    return [
        optimizer,
        _train_step(plan, skeleton),
        save_weights_text(skeleton.graph_digest),
        _main(plan, skeleton),
    ]


def save_weights_text(graph_digest: str) -> str:
    """The function that saves a trained module; the digest is checked by whoever reads the file."""
    values = {"{graph_digest}": graph_digest, "{key}": WEIGHTS_KEY, "{trained}": TRAINED}
    text = _SAVE_WEIGHTS
    for place, value in values.items():
        text = text.replace(place, value)
    return text


def _target_type(plan: ModulePlan) -> str:
    return "torch.Tensor" if len(plan.output_shapes) == 1 else "tuple[torch.Tensor, ...]"


def _train_step(plan: ModulePlan, skeleton: Skeleton) -> str:
    arguments = ["model: nn.Module", "x: torch.Tensor"]
    if not skeleton.output_is_loss:
        arguments.append(f"y: {_target_type(plan)}")
    arguments.append("opt: torch.optim.Optimizer | None = None")
    signature = "".join(f"    {argument},\n" for argument in arguments)
    short = f"    {', '.join(arguments)}\n"
    signature = short if len(short) <= 89 else signature
    if skeleton.output_is_loss:
        what, loss = "the module's output is the loss", _LOSS
    elif len(plan.output_shapes) == 1:
        what = "the loss is the mean squared error to y"
        loss = _SINGLE_EMPTY if _has_empty_output(plan) else _SINGLE
    else:
        what = "the loss sums the mean squared errors to y"
        loss = _SEVERAL_EMPTY if _has_empty_output(plan) else _SEVERAL
    if skeleton.has_gradient:
        doc, step = f"One step; {what}. Returns the loss before it.", _STEP
    else:
        doc, step = "The loss. No parameter reaches the output, so there is no step to take.", ""
    return (
        f"def train_step(\n{signature}) -> float:\n"
        f'    """{doc}"""\n    model.train()\n{loss}{step}    return float(loss.detach())\n'
    )


def _has_empty_output(plan: ModulePlan) -> bool:
    return any(numel(declared(shape)) == 0 for shape in plan.output_shapes)


def _main(plan: ModulePlan, skeleton: Skeleton) -> str:
    """Trains on random numbers for a few steps and prints the loss of each."""
    lines = [
        "def main() -> None:",
        '    """Train on random numbers for a few steps and print the loss of each."""',
        "    torch.manual_seed(0)",
        '    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")',
        f"    model = {plan.name}().to(device)",
        "    opt = make_optimizer(model)",
        *statement("x", _input(plan, skeleton), indent=4),
    ]
    arguments = "model, x, opt"
    if not skeleton.output_is_loss:
        targets = [_random("torch.randn", shape, plan.dtype) for shape in plan.output_shapes]
        lines += statement("y", targets[0] if len(targets) == 1 else call("", *targets), indent=4)
        arguments = "model, x, y, opt"
    lines += [
        f"    for step in range({_STEPS}):",
        f"        loss = train_step({arguments})",
        '        print(f"step {step}: loss {loss:.6f}")',
    ]
    return "\n".join(lines) + "\n"


def _input(plan: ModulePlan, skeleton: Skeleton) -> Code:
    """Random numbers that the module takes: whole ones, where it takes no others."""
    if plan.integers is None:
        source = "torch.rand" if skeleton.positive_input else "torch.randn"
        return _random(source, plan.input_shape, plan.dtype)
    first = int(skeleton.positive_input and plan.integers > 1)
    shape, dtype = declared(plan.input_shape), f"torch.{plan.dtype}"
    return call("torch.randint", first, plan.integers, shape, dtype=dtype, device="device")


def _random(source: str, shape: SymbolicShape, dtype: str) -> Code:
    return call(source, declared(shape), dtype=f"torch.{dtype}", device="device")
