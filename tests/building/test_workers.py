"""Workers of `regen --jobs`: they end when the command ends, however it ends, and say nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing import parent_process
from pathlib import Path

import pytest
from repository import ROOT

from hatch_irpytorch.build.workers import WorkerDiedError, shared_out

CHILDREN = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
posix = pytest.mark.skipif(not CHILDREN.exists(), reason="the children of a process, as Linux has")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models enough for three processes, one of them with work for many seconds."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "models").mkdir()
    (folder / "pyproject.toml").write_text("[tool.hatch.build.hooks.irpytorch]\n")
    for name in ("digits_mlp.ir.json", "digits_mlp.safetensors"):
        shutil.copy(ROOT / "models" / name, folder / "models")
    text = "ir: digits_mlp.ir.json\nparams: digits_mlp.safetensors\n"
    for index in range(40):
        (folder / f"models/model_{index}.yaml").write_text(text)
    nodes: list[object] = [{"id": 0, "kind": "input", "shape": [2], "parents": []}]
    nodes += [
        {"id": index, "kind": "relu", "shape": [2], "parents": [index - 1]}
        for index in range(1, 600_001)
    ]
    graph = {"format": "torchlean.ir.v1", "input_id": 0, "output_ids": [600_000], "nodes": nodes}
    (folder / "models/deep.ir.json").write_text(json.dumps(graph))
    (folder / "models/deep.yaml").write_text("ir: deep.ir.json\n")
    return folder


def start(project: Path) -> subprocess.Popen[str]:
    """The command, whose first worker has just been started."""
    command = [sys.executable, "-m", "hatch_irpytorch", "regen", "--jobs", "3"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, cwd=project, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(3000):
        if children.read_text():
            break
        time.sleep(0.01)
    return process


@posix
@pytest.mark.parametrize(
    ("name", "after"), [("SIGTERM", 0.0), ("SIGTERM", 0.8), ("SIGKILL", 0.3), ("SIGHUP", 0.8)]
)
def test_workers_end_with_the_command(project: Path, name: str, after: float) -> None:
    """End of file on its output says that nobody holds it any more."""
    process = start(project)
    time.sleep(after)
    assert process.poll() is None
    process.send_signal(getattr(signal, name))
    started = time.monotonic()
    process.communicate(timeout=60)
    assert time.monotonic() - started < 5
    assert process.returncode == -getattr(signal, name)
    with pytest.raises(ProcessLookupError):
        for _ in range(50):
            os.killpg(process.pid, 0)
            time.sleep(0.1)


@posix
@pytest.mark.parametrize("after", [0.0, 0.05, 0.2, 0.8])
def test_an_interrupt_is_one_line(project: Path, after: float) -> None:
    """Ctrl-C reaches the workers as well, also those that are just starting."""
    process = start(project)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    assert errors == "irpytorch regen: error[interrupted]: stopped by Ctrl-C\n"


def slow_double(number: int) -> int:
    """So slow in the first process that the others start, on any machine."""
    time.sleep(0.2 if parent_process() is None else 0.02)
    return 2 * number


def raises_late(number: int) -> int:
    if number == 3:
        raise LookupError("three")
    return slow_double(number)


class HasStreamError(Exception):
    """An error that cannot be sent to another process."""

    def __init__(self) -> None:
        super().__init__("with a stream")
        self.stream = sys.stdout.buffer


def raises_unsendable(number: int) -> int:
    if number == 0:
        raise HasStreamError
    return slow_double(number)


def exits(number: int) -> int:
    if number == 0:
        os._exit(3)
    return slow_double(number)


def test_results_come_in_the_order_of_the_parts() -> None:
    told: list[int] = []
    parts = list(range(60))
    found = shared_out(slow_double, parts, 3, lambda results: told.append(len(results)))
    assert found == [2 * number for number in parts] and told == list(range(1, 61))


def test_what_a_worker_raises_is_raised_here() -> None:
    with pytest.raises(LookupError, match="three"):
        shared_out(raises_late, list(range(100)), 2, lambda results: None)
    with pytest.raises(RuntimeError, match="HasStreamError: with a stream"):
        shared_out(raises_unsendable, list(range(100)), 2, lambda results: None)


def test_a_worker_that_ends_is_told() -> None:
    with pytest.raises(WorkerDiedError):
        shared_out(exits, list(range(100)), 2, lambda results: None)


class LostError(Exception):
    """What can be sent, but not be read again, as when memory runs out on the way."""


class Lost:
    """A result or a part that is lost on its way between two processes."""

    def __init__(self, when_read: bool) -> None:
        self._when_read = when_read

    def __reduce__(self) -> tuple[object, ...]:
        if self._when_read:
            return (lose, ())
        raise LostError("not sent")


def lose() -> None:
    raise LostError("not read")


def lost_when_read(number: int) -> object:
    return Lost(True) if number == 0 else slow_double(number)


def lost_when_sent(number: int) -> object:
    return Lost(False) if number == 0 else slow_double(number)


def any_part(part: object) -> int:
    return slow_double(1)


SHARED_OUT = f"""
import sys
sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]!r}
from test_workers import Lost, any_part, lost_when_read, lost_when_sent, shared_out
if __name__ == "__main__":
    try:
        shared_out(CALL, 2, lambda results: None)
    except Exception as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("lost_when_read, list(range(100))", "not read"),
        ("lost_when_sent, list(range(100))", "not sent"),
        ("any_part, [Lost(False) for _ in range(100)]", "not sent"),
    ],
)
def test_what_is_lost_between_processes_is_raised_and_not_waited_for(
    tmp_path: Path, call: str, said: str
) -> None:
    """In a process of its own, which can be ended where it waits."""
    script = tmp_path / "script.py"
    script.write_text(SHARED_OUT.replace("CALL", call))
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert (result.stdout, result.stderr) == (f"{said}\n", "")
