"""All checks of a project's generated modules, each module by itself, as they end.

Nothing of what is on disk is run: the modules are generated in memory, what differs from them is
told, and of the rest the text that was generated is run.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from hatch_irpytorch.axes.free import free_model
from hatch_irpytorch.build.bytecode import foreign_bytecode
from hatch_irpytorch.build.generate import Generated, generate_project
from hatch_irpytorch.build.jobs import process_count
from hatch_irpytorch.build.model import GeneratedModel, load_model
from hatch_irpytorch.build.outputs import Difference, describe
from hatch_irpytorch.build.regenerate import output_differences
from hatch_irpytorch.errors import Place, Problem, fail
from hatch_irpytorch.project import Project
from hatch_irpytorch.verify.batches import BATCH_SIZES, as_given, batch_cases
from hatch_irpytorch.verify.findings import Run, problems_of, request_inputs
from hatch_irpytorch.verify.golden import golden_cases, golden_limits, golden_problems
from hatch_irpytorch.verify.import_path import import_path
from hatch_irpytorch.verify.parity import parity_cases, parity_limits
from hatch_irpytorch.verify.process import Worker, WorkerEndedError
from hatch_irpytorch.verify.source import check_source, encoding_problems

if TYPE_CHECKING:
    from hatch_irpytorch.build.golden import GoldenFile
    from hatch_irpytorch.ir.graph import Model
    from hatch_irpytorch.manifest import Manifest


class Checked(NamedTuple):
    """What was checked of a module, or of the package as a whole, and what was found."""

    module: str
    checks: tuple[str, ...]
    problems: tuple[Problem, ...]


def require_torch(
    command: str = "irpytorch verify", work: str = "checking generated modules"
) -> None:
    """Raise `missing-torch`, in the name of a command, where torch is not installed."""
    if find_spec("torch") is None:
        message = f"{work} needs torch, which is not installed"
        raise fail("missing-torch", Place(command), message, "pip install torch")


def verify_project(
    project: Project, names: Sequence[str] = (), jobs: int | None = None
) -> Generator[Checked, None, None]:
    """What is found of the package as a whole, under no name, and then of each module as it ends.

    `jobs` processes run modules, None for as many as there is work for. Raises `IRPyTorchError`
    with the problems of every manifest before any module is run.
    """
    with ExitStack() as stack:
        path = import_path(sys.path, project.root, project.root / project.output)
        first = Worker(path)
        stack.callback(first.close)
        # Torch is imported there while the modules are generated here.
        first.start()
        generated = generate_project(project, names, golden=True, jobs=jobs)
        unlike, others = _by_module(project, generated, whole=not names)
        yield Checked("", (), (*map(describe, others), *foreign_bytecode(project)))
        workers = [first]
        workers += (Worker(path) for _ in range(1, process_count(jobs, len(generated.models))))
        free: SimpleQueue[Worker] = SimpleQueue()
        for worker in workers:
            free.put(worker)

        def check(made: GeneratedModel) -> Checked:
            differences = unlike[made.manifest.module]
            if differences:
                return Checked(made.manifest.module, (), tuple(_told_apart(differences)))
            worker = free.get()
            try:
                return _check(project, made, worker)
            finally:
                free.put(worker)

        pool = ThreadPoolExecutor(len(workers))
        stack.callback(pool.shutdown)
        for worker in workers:
            stack.callback(worker.close)
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        ended: SimpleQueue[Future[Checked]] = SimpleQueue()
        for made in generated.models:
            pool.submit(check, made).add_done_callback(ended.put)
        for _ in generated.models:
            yield ended.get().result()


def _by_module(
    project: Project, generated: Generated, *, whole: bool
) -> tuple[dict[str, list[Difference]], list[Difference]]:
    """What differs from the files of each chosen module, and everything else that differs."""
    owners = {path: made.manifest.module for made in generated.models for path in made.outputs}
    unlike: dict[str, list[Difference]] = {made.manifest.module: [] for made in generated.models}
    others = []
    for difference in output_differences(project, generated, whole=whole):
        if difference.path in owners:
            unlike[owners[difference.path]].append(difference)
        else:
            others.append(difference)
    return unlike, others


def _told_apart(differences: Sequence[Difference]) -> Iterator[Problem]:
    for difference in differences:
        yield describe(difference)
        if difference.path.endswith(".py") and isinstance(difference.before, bytes):
            yield from encoding_problems(difference.before, difference.path)


def _check(project: Project, made: GeneratedModel, worker: Worker) -> Checked:
    manifest, golden = made.manifest, made.golden
    assert golden is not None
    module, options = manifest.module, manifest.emit
    file, name = f"{project.package_path}/{module}.py", f"{project.package}.{module}"
    source = made.outputs[file]
    assert isinstance(source, bytes)
    text = source.decode("ascii")
    problems = check_source(text, file)
    if problems:
        return Checked(module, (), tuple(problems))
    model, _ = load_model(project, manifest)
    problems = golden_problems(project.root, module, golden)
    runs = _runs(model, manifest, golden)
    header, data = request_inputs(runs)
    header |= {
        "name": name,
        "path": str(project.root / file),
        "text": text,
        "class_name": options.class_name,
        "smoke": options.training_skeleton,
    }
    try:
        problems += problems_of(worker.ask(header, data), name, file, runs)
    except WorkerEndedError as ended:
        problems.append(Problem("import-failed", Place(file), f"running `{name}`: {ended}"))
    checks = ["import", *(["smoke"] if options.training_skeleton else ())]
    golden_run, parity_run, batch_run, _ = runs
    numbered = (("parity", parity_run), ("batch", batch_run), ("golden", golden_run))
    checks += [check for check, run in numbered if run.cases]
    return Checked(module, tuple(checks), tuple(problems))


def _runs(model: Model, manifest: Manifest, golden: GoldenFile) -> tuple[Run, Run, Run, Run]:
    options = manifest.emit
    free = free_model(model, options.batch, options.batch_axis, options.free)
    cases = golden_cases(manifest.module, golden)
    hint = f"`golden.rtol` and `golden.atol` in {manifest.file} set the tolerance"
    exact = parity_cases(model, options.dtype, cases)
    limits = parity_limits(model, options, exact)
    batches = batch_cases(exact, free, BATCH_SIZES)
    empty = batch_cases(exact, free, (0,))
    return (
        Run("not-golden", as_given(cases, free), golden_limits(model, manifest, cases), hint),
        Run("not-parity", as_given(exact, free), limits),
        Run("not-parity", batches, limits),
        Run("not-parity", empty, limits, may_refuse=True),
    )
