"""Generated modules work with what people do to modules: compile, export, trace, map, copy, move.

What cannot work, and why, is in `docs/guarantees.md`; a test here fails when it works after all.
"""

from __future__ import annotations

import copy
import pickle
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from documents import source
from op_cases import CASES, Case, document
from repository import CLASSES, ROOT
from torch.nn.utils import parametrize

from hatch_irpytorch.manifest import default_class_name

Outputs = torch.Tensor | tuple[torch.Tensor, ...]
MODELS = sorted(path.stem for path in (ROOT / "models").glob("*.yaml"))


def without_numbers(text: str) -> str:
    return re.sub(r"[-\d.e]+", "0", text.replace("N", "0"))


def without_lists(text: str) -> str:
    """Nor how many numbers stand in a row: modules that differ in no more are traced alike."""
    return re.sub(r"\(?\s*0,?(\s+0,?)*\s*\)?", "0", without_numbers(text))


def distinct_cases(alike: Callable[[str], str]) -> dict[str, Case]:
    """One op case for each class and its weights, as `alike` leaves their text."""
    found: dict[tuple[str, str], Case] = {}
    for case in CASES:
        text = source(document(case), training_skeleton=False)
        found.setdefault((case.tag, alike(text[text.index("class ") :])), case)
    return {str(case): case for case in found.values()}


OPS = distinct_cases(without_numbers)
TRACED = [*MODELS, *distinct_cases(without_lists)]
AT_ONCE = 24
N = 2
"""The rows of an input of any batch."""


def documented_extents(factory: Callable[[], torch.nn.Module]) -> list[str]:
    """The extents of the input, as the docstring of `require_shape` shows them: `N`, `1`, `8`.

    That of the module shows the same, but for shapes too long for its line.
    """
    generated = sys.modules[factory.__module__]
    shape = re.search(r"unless x is \(((?:N\b)?[\d, ]*)\)\.$", generated.require_shape.__doc__)
    assert shape is not None, generated.require_shape.__doc__
    short = re.match(r"\w+: \((.*?)\) -> ", generated.__doc__ or "")
    assert short is None or short[1] == shape[1]
    return re.findall(r"\w+", shape[1])


def input_shape(factory: Callable[[], torch.nn.Module]) -> list[int]:
    return [N if extent == "N" else int(extent) for extent in documented_extents(factory)]


@pytest.fixture(scope="session", params=[*MODELS, *OPS])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A factory of one generated module, and an input for it."""
    return made(request.param, tmp_path_factory.mktemp("cases"))


def made(name: str, folder: Path) -> Subject:
    torch.manual_seed(0)
    if name in MODELS:
        class_name = CLASSES.get(name, default_class_name(name))
        factory = getattr(import_module(f"irpytorch_models.{name}"), class_name)
        return Subject(name, factory, torch.rand(input_shape(factory)))
    case = OPS[name]
    stem = f"case_{list(OPS).index(name)}"
    text = source(document(case), training_skeleton=False)
    (folder / f"{stem}.py").write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    try:
        factory = import_module(stem).ExportedIRModel
    finally:
        sys.path.remove(str(folder))
    x = torch.rand(case.shapes[0] if case.shapes else ()) + 0.1
    return Subject(case.tag, factory, x)


class Subject:
    def __init__(self, name: str, factory: Callable[[], torch.nn.Module], x: torch.Tensor) -> None:
        self.name = name
        self.new = factory
        self.x = x
        self.module = factory()
        with torch.no_grad():
            self.y: Outputs = self.module(x)

    @property
    def is_batched(self) -> bool:
        return documented_extents(self.new)[:1] == ["N"]

    @property
    def uses_input(self) -> bool:
        return self.name not in ("const", "rand_uniform")

    def rows(self, count: int) -> torch.Tensor:
        """An input of so many rows where any number will do, else the one."""
        return torch.rand(count, *self.x.shape[1:]) + 0.1 if self.is_batched else self.x

    def told(self, message: str) -> str:
        return f"{self.name}: {message}"

    def assert_same(self, found: Any, rtol: float = 1e-4) -> None:
        torch.testing.assert_close(
            detached(found), self.y, rtol=rtol, atol=rtol, equal_nan=True, msg=self.told
        )


def detached(found: Any) -> Outputs:
    if isinstance(found, tuple | list):
        return tuple(output.detach() for output in found)
    result: torch.Tensor = found.detach()
    return result


def single(found: Any) -> torch.Tensor:
    output = detached(found)
    assert isinstance(output, torch.Tensor)
    return output


class Together(torch.nn.Module):
    """Modules in one graph, each with an input of its own: torch sets a trace up once for all."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(subject.module for subject in subjects)

    def forward(self, xs: list[torch.Tensor]) -> list[Outputs]:
        return [part(x) for part, x in zip(self.parts, xs, strict=True)]


@pytest.fixture(scope="session", params=[*range(-(-len(TRACED) // AT_ONCE))])
def subjects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Some of those that are traced."""
    first: int = AT_ONCE * request.param
    folder = tmp_path_factory.mktemp("cases")
    return [made(name, folder) for name in TRACED[first : first + AT_ONCE]]


def test_compile_as_one_graph(subjects: Sequence[Subject]) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(Together(subjects), fullgraph=True, backend="aot_eager")
    found = compiled([subject.x for subject in subjects])
    for subject, output in zip(subjects, found, strict=True):
        subject.assert_same(output)


def test_export(subjects: Sequence[Subject]) -> None:
    """With two rows as the example, a batch that is free stays free."""
    examples, others = ([subject.rows(n) for subject in subjects] for n in (N, 5))
    batches = [
        {0: torch.export.Dim(f"N{place}")} if subject.is_batched else None
        for place, subject in enumerate(subjects)
    ]
    together = Together(subjects)
    program = torch.export.export(together, (examples,), dynamic_shapes=(batches,), strict=True)
    for subject, x, found in zip(subjects, others, program.module()(others), strict=True):
        wanted = detached(subject.module(x))
        torch.testing.assert_close(
            detached(found), wanted, rtol=1e-4, atol=1e-4, equal_nan=True, msg=subject.told
        )


def test_symbolic_trace(subject: Subject) -> None:
    traced = torch.fx.symbolic_trace(subject.module)
    subject.assert_same(traced(subject.x))
    calls = [node for node in traced.graph.nodes if node.op == "call_function"]
    assert [node.name for node in calls].count("require_shape") == 1


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Converting a tensor to a Python boolean")
def test_trace(subject: Subject) -> None:
    trace: Any = torch.jit.trace
    if not subject.uses_input:
        with pytest.raises(RuntimeError, match="INTERNAL ASSERT"):
            trace(subject.module, (subject.x,))
        return
    subject.assert_same(trace(subject.module, (subject.x,))(subject.x))


def test_functional_call(subject: Subject) -> None:
    state = subject.module.state_dict()
    subject.assert_same(torch.func.functional_call(subject.module, state, (subject.x,)))


# torch has no rule of its own for fused attention under `vmap`, and says so.
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_vmap_over_a_new_leading_axis(subject: Subject) -> None:
    xs = torch.stack([subject.x, 0.9 * subject.x, 0.5 * subject.x])
    found = single(torch.func.vmap(subject.module)(xs))
    each = [single(subject.module(x)) for x in xs]
    torch.testing.assert_close(found, torch.stack(each), rtol=1e-4, atol=1e-5, equal_nan=True)


def test_copies(subject: Subject) -> None:
    subject.assert_same(copy.deepcopy(subject.module)(subject.x))
    state = pickle.loads(pickle.dumps(subject.module.state_dict()))
    other = subject.new()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(state)
    subject.assert_same(other(subject.x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_another_dtype(subject: Subject, dtype: torch.dtype) -> None:
    module = copy.deepcopy(subject.module).to(dtype)
    text = Path(sys.modules[subject.new.__module__].__file__ or "").read_text(encoding="utf-8")
    if "F.avg_pool3d" in text and dtype != torch.float64:
        with pytest.raises(NotImplementedError, match="avg_pool3d"):
            module(subject.x.to(dtype))
        return
    found = single(module(subject.x.to(dtype)))
    assert (found.dtype, found.shape) == (dtype, single(subject.y).shape)
    if dtype == torch.float64:
        subject.assert_same(found.float())


def test_the_meta_device(subject: Subject) -> None:
    found = single(copy.deepcopy(subject.module).to("meta")(subject.x.to("meta")))
    assert (found.device.type, found.shape) == ("meta", single(subject.y).shape)


def test_parametrized_parameters(subject: Subject) -> None:
    module = copy.deepcopy(subject.module)
    for name, _ in list(module.named_parameters()):
        parametrize.register_parametrization(module, name, torch.nn.Identity())
    subject.assert_same(module(subject.x))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method:DeprecationWarning")
@pytest.mark.parametrize("name", MODELS)
def test_a_model_compiles_for_real(name: str) -> None:
    class_name = CLASSES.get(name, default_class_name(name))
    model: torch.nn.Module = getattr(import_module(f"irpytorch_models.{name}"), class_name)()
    x = torch.rand(input_shape(type(model)))
    torch._dynamo.reset()
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True)(x)
        torch.testing.assert_close(compiled, model(x), rtol=1e-4, atol=1e-5)
