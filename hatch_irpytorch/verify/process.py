"""Worker processes: started when there is a module to run, replaced when one ended too early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Timer
from typing import IO

from hatch_irpytorch.errors import Place, fail
from hatch_irpytorch.verify import worker
from hatch_irpytorch.verify.worker import Header, Message, read_message, write_message

TIMEOUT_SECONDS = 900.0
"""How long one module may take, and the import of torch."""


class WorkerEndedError(Exception):
    """A worker ended, or was ended, before it answered: the message says how."""


class Worker:
    """A process that runs modules one after the other; `path` is what it may import from."""

    def __init__(self, path: Sequence[str], seconds: float = TIMEOUT_SECONDS) -> None:
        self._path = list(path)
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._closed = False

    def start(self) -> None:
        """Start the process; it imports torch while this one goes on."""
        if self._process is not None or self._closed:
            return
        self._ready = False
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(Path(worker.__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(worker.__file__).resolve().parent,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        with suppress(OSError):
            write_message(self._process.stdin, {"path": self._path})

    def ask(self, request: Header, data: bytes = b"") -> Message:
        """The answer to a request.

        Raises `WorkerEndedError`, after which another process is taken, and `missing-torch` when
        torch cannot be imported.
        """
        if self._process is not None and self._process.poll() is not None:
            self._end()
        self.start()
        if not self._ready:
            failed = self._exchange(None)[0]["failed"]
            if failed:
                self._end()
                message = f"torch cannot be imported: {failed}"
                raise fail("missing-torch", Place("irpytorch verify"), message)
            self._ready = True
        answer = self._exchange((request, data))
        if not worker.FORKS:
            self._end()
        return answer

    def _exchange(self, message: Message | None) -> Message:
        process = self._process
        if process is None:
            raise WorkerEndedError("the process was ended")
        assert process.stdin is not None and process.stdout is not None
        late = Event()

        def end() -> None:
            late.set()
            _kill(process)

        overdue = Timer(self._seconds, end)
        overdue.daemon = True
        overdue.start()
        try:
            answer = _answer(process.stdin, process.stdout, message)
        finally:
            overdue.cancel()
        if answer is not None:
            return answer
        code = self._end()
        if late.is_set():
            raise WorkerEndedError(f"it did not end within {self._seconds:g} seconds")
        raise WorkerEndedError(f"the process ended early, {_ending(code)}")

    def _end(self) -> int:
        """End the process; returns its exit code, its own one where it had ended before."""
        process, self._process = self._process, None
        if process is None:
            return 0
        _kill(process)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        return process.wait()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._closed = True
        self._end()


def _answer(requests: IO[bytes], answers: IO[bytes], message: Message | None) -> Message | None:
    try:
        if message is not None:
            write_message(requests, *message)
        return read_message(answers)
    except (OSError, ValueError):
        return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started."""
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _ending(code: int) -> str:
    """How a process ended; a shell counts signals from 128 on."""
    by_signal = -code if code < 0 else code - 128
    if 0 < by_signal < 65:
        return f"by signal {by_signal}"
    return f"with code {code}"
