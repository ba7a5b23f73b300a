"""A network in a process of its own, whose time and memory are bounded."""

from __future__ import annotations

import json
import os
import resource
import signal
from typing import Any

from peers.zoo.check import check
from peers.zoo.network import Network

SECONDS = 600
BYTES = 6 << 30


def checked(network: Network, doors: tuple[str, ...]) -> dict[str, Any]:
    """What is known of a network, also when its process ends before its time."""
    source, target = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        _run(network, doors, target)
    os.close(target)
    with os.fdopen(source, encoding="utf-8") as stream:
        lines = stream.read().splitlines()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    record: dict[str, Any] = json.loads(lines[-1]) if lines else {"name": network.name}
    if status:
        late = status == -signal.SIGALRM
        record["ended"] = "out of time" if late else f"ended with {status}"
    return record


def _run(network: Network, doors: tuple[str, ...], target: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
    signal.alarm(SECONDS)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    with os.fdopen(target, "w", encoding="utf-8") as stream:

        def report(record: dict[str, Any]) -> None:
            print(json.dumps(record), file=stream, flush=True)

        code = 1
        try:
            check(network, doors, report)
            code = 0
        finally:
            os._exit(code)
