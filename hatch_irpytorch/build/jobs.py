"""Many models at once: each in one of several processes, results in the order of the manifests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from hatch_irpytorch.build.model import GeneratedModel, generate_model
from hatch_irpytorch.errors import IRPyTorchError, Place, Problem, Problems, fail

if TYPE_CHECKING:
    from hatch_irpytorch.manifest import Manifest
    from hatch_irpytorch.project import Project

MODELS_PER_PROCESS = 16
"""A process is not started for fewer."""

_MODELS_PER_PART = 16

Progress = Callable[[int, int], None]
Attempt = GeneratedModel | tuple[Problem, ...]


def process_count(jobs: int | None, models: int) -> int:
    """How many processes `jobs` asks for; None asks for all cores, where there is work for them."""
    if jobs is not None:
        return max(1, min(jobs, models))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, models // MODELS_PER_PROCESS))


def generate_models(
    project: Project,
    manifests: Sequence[Manifest],
    golden: bool,
    jobs: int | None,
    progress: Progress | None = None,
) -> list[GeneratedModel]:
    """What each manifest gives. Raises `IRPyTorchError` with the problems of all of them.

    `progress` is told how many of how many are done, whenever there are more.
    """
    attempt = partial(_attempt, project, golden)
    count = process_count(jobs, len(manifests))
    told = 0

    def tell(done: int) -> None:
        nonlocal told
        if progress is not None and done > told:
            told = done
            progress(done, len(manifests))

    if count == 1:
        attempts = _one_by_one(attempt, manifests, tell)
    else:
        attempts = _in_processes(attempt, manifests, count, tell)
    problems = Problems()
    models = []
    for result in attempts:
        if isinstance(result, GeneratedModel):
            models.append(result)
        else:
            problems.extend(result)
    problems.raise_if_any()
    return models


def _attempt(project: Project, golden: bool, manifest: Manifest) -> Attempt:
    try:
        return generate_model(project, manifest, golden)
    except IRPyTorchError as error:
        return error.problems


def _one_by_one(
    attempt: Callable[[Manifest], Attempt],
    manifests: Sequence[Manifest],
    tell: Callable[[int], None],
) -> Iterator[Attempt]:
    for done, manifest in enumerate(manifests, 1):
        result = attempt(manifest)
        tell(done)
        yield result


def _in_processes(
    attempt: Callable[[Manifest], Attempt],
    manifests: Sequence[Manifest],
    count: int,
    tell: Callable[[int], None],
) -> Iterator[Attempt]:
    """The results of `count` processes, this one among them, which work on parts of the list."""
    from hatch_irpytorch.build.workers import WorkerDiedError, shared_out

    size = max(1, min(_MODELS_PER_PART, len(manifests) // (4 * count)))
    parts = [manifests[start : start + size] for start in range(0, len(manifests), size)]
    work = partial(_all_of, attempt)
    try:
        for attempts in shared_out(work, parts, count, lambda done: tell(_models_of(done))):
            yield from attempts
    except WorkerDiedError:
        message = "a process of the build ended before its work did"
        hint = "memory may have run out; try fewer with `--jobs`"
        raise fail("process-died", Place(manifests[0].file), message, hint) from None


def _models_of(done: dict[int, list[Attempt]]) -> int:
    return sum(map(len, done.values()))


def _all_of(attempt: Callable[[Manifest], Attempt], part: Sequence[Manifest]) -> list[Attempt]:
    return [attempt(manifest) for manifest in part]
