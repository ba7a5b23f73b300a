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
"""A process takes as long to start as this many small models take to generate."""


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

    `progress` is told how many of how many are done, after each.
    """
    attempt = partial(_attempt, project, golden)
    count = process_count(jobs, len(manifests))
    attempts = map(attempt, manifests) if count == 1 else _in_processes(attempt, manifests, count)
    problems = Problems()
    models = []
    for done, result in enumerate(attempts, 1):
        if progress is not None:
            progress(done, len(manifests))
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


def _in_processes(
    attempt: Callable[[Manifest], Attempt],
    manifests: Sequence[Manifest],
    count: int,
) -> Iterator[Attempt]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    chunk = max(1, len(manifests) // (4 * count))
    try:
        with ProcessPoolExecutor(count, get_context("spawn")) as pool:
            yield from pool.map(attempt, manifests, chunksize=chunk)
    except BrokenProcessPool:
        message = "a process of the build ended before its work did"
        hint = "memory may have run out; try fewer with `--jobs`"
        raise fail("process-died", Place(manifests[0].file), message, hint) from None
