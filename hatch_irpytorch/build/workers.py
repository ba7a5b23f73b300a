"""Processes that work for this one, end when it ends, however it ends, and leave Ctrl-C to it."""

from __future__ import annotations

import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from hatch_irpytorch.errors import text_of

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

Part = TypeVar("Part")
Result = TypeVar("Result")


class WorkerDiedError(Exception):
    """A process ended before its work did."""


def shared_out(
    work: Callable[[Part], Result],
    parts: Sequence[Part],
    count: int,
    tell: Callable[[dict[int, Result]], None],
) -> list[Result]:
    """What `work` makes of each part, by `count` processes, this one among them.

    The others take parts from the front. Each needs a while to start, so this one works from the
    back on parts that none of them has begun. `tell` gets all results so far, by the part's index.
    Raises what `work` raises, and `WorkerDiedError`.
    """
    waiting = deque(range(len(parts)))
    finished: SimpleQueue[tuple[int, Result | BaseException]] = SimpleQueue()
    results: dict[int, Result] = {}

    def take(entry: tuple[int, Result | BaseException]) -> None:
        index, result = entry
        if isinstance(result, BaseException):
            raise result
        results[index] = result
        tell(results)

    with _workers(work, count - 1) as lines:
        for line in lines:
            Thread(target=_serve, args=(line, parts, waiting, finished), daemon=True).start()
        while waiting:
            try:
                index = waiting.pop()
            except IndexError:
                break
            take((index, work(parts[index])))
            while not finished.empty():
                take(finished.get())
        while len(results) < len(parts):
            take(finished.get())
    return [results[index] for index in range(len(parts))]


def _serve(
    line: Connection,
    parts: Sequence[Part],
    waiting: deque[int],
    finished: SimpleQueue[tuple[int, Result | BaseException]],
) -> None:
    """Give one worker parts as long as there are any, in a thread of its own."""
    while waiting:
        try:
            index = waiting.popleft()
        except IndexError:
            return
        try:
            line.send(parts[index])
            finished.put((index, line.recv()))
        except (EOFError, OSError):
            finished.put((index, WorkerDiedError()))
            return
        except Exception as error:  # on its way; without an entry the others would wait for ever
            finished.put((index, error))
            return


@contextmanager
def _workers(work: Callable[[Part], Result], count: int) -> Iterator[list[Connection]]:
    """Lines to fresh processes. They have nothing left to do when the block ends, or are ended."""
    context = get_context("spawn")
    lines: list[Connection] = []
    processes: list[SpawnProcess] = []
    try:
        with _interrupts_held_back():
            for _ in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, work), daemon=True)
                process.start()
                theirs.close()
                processes.append(process)
                lines.append(ours)
        yield lines
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Processes that are started here never see Ctrl-C; this one sees it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # Its start, which the first process needs, lets signals through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(line: Connection, work: Callable[[Part], Result]) -> None:
    """What a worker does until it is ended. It has nothing to say to who reads our output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    Thread(target=_end_with_parent, daemon=True).start()
    while True:
        part = line.recv()
        try:
            line.send(work(part))
        except Exception as error:
            line.send(_sendable(error))


def _sendable(error: Exception) -> Exception:
    """The error, or one that says the same, where it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an error's own code for pickling may raise anything
        return RuntimeError(f"{type(error).__name__}: {text_of(error)}")
    return error


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
