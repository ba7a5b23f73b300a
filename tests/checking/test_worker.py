"""The process that runs modules: nothing that a text does hangs, breaks or misleads who asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents import document, op, source

from hatch_irpytorch import IRPyTorchError
from hatch_irpytorch.build.golden import GoldenCase
from hatch_irpytorch.verify import worker as worker_module
from hatch_irpytorch.verify.findings import Run, problems_of, request_inputs, smoke_problem
from hatch_irpytorch.verify.import_path import import_path
from hatch_irpytorch.verify.numbers import Limits
from hatch_irpytorch.verify.process import Worker, WorkerEndedError

GRAPH = document(
    [1, 2],
    op("linear", [0], [1, 2], weight=[[1.0, -0.5], [0.5, 2.0]], bias=[0.25, -1.0]),
    op("relu", [1], [1, 2]),
)
TEXT = source(GRAPH, class_name="Net")
X = np.array([[0.5, -1.5]])
EXPECTED = np.array([[1.5, 0.0]])
IMPORT = "from torch import fx, nn\n"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = Worker(sys.path)
    yield made
    made.close()


def runs(dtype: str = "float32", expected: Any = EXPECTED) -> tuple[Run, ...]:
    case = GoldenCase(X, (np.asarray(expected, dtype=float),))
    return (
        Run("not-golden", (case,), Limits(dtype, 1e-6, 1e-6), "hint"),
        Run("not-parity", (case, case), Limits("float64", 1e-9, 1e-300)),
    )


def findings(
    worker: Worker, text: str, wanted: tuple[Run, ...] = (), smoke: bool = True
) -> list[str]:
    """Codes and messages of what is found of a module with this text."""
    wanted = wanted or runs()
    header, data = request_inputs(wanted)
    path = str(Path(__file__).with_name("net.py"))
    header |= {"name": "nets.net", "path": path, "text": text, "class_name": "Net", "smoke": smoke}
    answer = worker.ask(header, data)
    found = problems_of(answer, "nets.net", "net.py", wanted)
    return [f"{problem.code}: {problem.message}" for problem in found]


def changed(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new)


def test_a_sound_module_has_no_findings(worker: Worker) -> None:
    assert findings(worker, TEXT) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import nothing_like_it", "import-failed: importing `nets.net` failed: ModuleNotFound"),
        ("print('hello')", "import-failed: importing `nets.net` printed: hello"),
        ("import warnings; warnings.warn('old')", "failed: UserWarning: old"),
        ("x = (", "failed: SyntaxError"),
        ("exit()", "failed: NameError"),
        ("raise SystemExit(0)", "failed: SystemExit: 0"),
        ("raise KeyboardInterrupt", "failed: KeyboardInterrupt"),
        ("def f(): f()\nf()", "failed: RecursionError"),
        ("import sys; print('x' * 10**7)", "printed: xxxx"),
        ("import sys; sys.stdout = None", "printed no losses: nothing"),
        ("import os; os.write(1, b'\\xff' * 100)", ""),
        ("import os; os.close(0); os.close(1)", "failed: OSError"),
        ("import torch; torch.set_default_dtype(torch.float64)", ""),
        ("__import__('builtins').print = None", "TypeError"),
    ],
)
def test_an_import_that_is_not_clean_is_found(worker: Worker, line: str, message: str) -> None:
    found = findings(worker, changed(IMPORT, f"{IMPORT}\n{line}\n"))
    assert [message in each for each in found] == [True] * bool(message)
    assert findings(worker, TEXT) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("opt.step()", "raise RuntimeError('no')", "failed: RuntimeError: no"),
        ("return float(loss.detach())", "return float('nan')", "a loss that is not finite: ["),
        ("loss {loss:.6f}", "loss much", "a loss that is not finite: ["),
        ("step {step}", "stage {step}", "printed no losses: stage 4: loss"),
        ("return float(loss.detach())", "return -float(loss.detach())", "the loss rises from -"),
    ],
)
def test_a_run_as_a_program_is_judged(worker: Worker, old: str, new: str, message: str) -> None:
    (found,) = findings(worker, changed(old, new))
    assert found.startswith("smoke-failed: ") and message in found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("torch.relu(v1)", "torch.tanh(v1)", "output 0 at (0, "),
        ("return v2", "return v2, v2", "2 outputs, expected 1"),
        ("return v2", "return v2.sum()", "output 0 is (), expected (1, 2)"),
        ("return v2", "return v2.half()", "output 0 is float16, expected float"),
        ("return v2", "return 'v2'", "the module raises AttributeError"),
        ("return v2", "return None", "the module raises AttributeError"),
        ("return v2", "return torch.cat((v2, x), dim=7)", "the module raises IndexError"),
        ("return v2", "return v2 * float('nan')", "is nan, expected"),
        ("return v2", "raise SystemExit(0)", "the module raises SystemExit"),
    ],
)
def test_outputs_are_compared_for_every_case(
    worker: Worker, old: str, new: str, message: str
) -> None:
    found = findings(worker, changed(old, new))
    found = [each for each in found if not each.startswith("smoke-failed")]
    assert [each.partition(":")[0] for each in found] == ["not-golden", *["not-parity"] * 2]
    assert all(message in each for each in found)


def test_a_class_that_cannot_be_made_is_found(worker: Worker) -> None:
    wrong = changed("        super().__init__()\n", "        super().__init__()\n        1 / 0\n")
    assert (
        "import-failed: importing `nets.net` failed: ZeroDivisionError"
        in findings(worker, wrong.replace("    main()\n", "    pass\n"))[0]
    )


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("import os; os._exit(0)", "ended early, with code 0"),
        ("import os; os._exit(3)", "ended early, with code 3"),
        ("import os; os.abort()", "ended early, by signal 6"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended early, by signal 9"),
        ("import ctypes; ctypes.string_at(0)", "ended early, by signal 11"),
    ],
)
def test_a_process_that_ends_is_told_and_replaced(
    worker: Worker, statement: str, message: str
) -> None:
    with pytest.raises(WorkerEndedError, match=message):
        findings(worker, changed(IMPORT, f"{IMPORT}\n{statement}\n"), smoke=False)
    assert findings(worker, TEXT, smoke=False) == []


def test_a_process_whose_parent_was_ended_harms_no_other_module(worker: Worker) -> None:
    statement = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
    assert findings(worker, TEXT, smoke=False) == []
    process = worker._process
    assert process is not None
    with suppress(WorkerEndedError):
        findings(worker, changed(IMPORT, f"{IMPORT}\n{statement}\n"), smoke=False)
    assert process.wait(60) == -signal.SIGKILL
    assert findings(worker, TEXT, smoke=False) == []


@pytest.mark.parametrize(
    "statement",
    [
        "while True: pass",
        "import time; time.sleep(1000)",
        "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(1000)",
        "import os, time\nif os.fork() == 0: time.sleep(1000)\nos._exit(77)",
    ],
)
def test_a_module_that_never_ends_is_ended(statement: str) -> None:
    slow = Worker(sys.path)
    try:
        assert findings(slow, TEXT, smoke=False) == []
        slow._seconds = 1.0
        start = time.monotonic()
        with pytest.raises(WorkerEndedError, match="did not end within 1 seconds"):
            findings(slow, changed(IMPORT, f"{IMPORT}\n{statement}\n"), smoke=False)
        assert time.monotonic() - start < 100
    finally:
        slow.close()


def test_closing_ends_a_process_that_works() -> None:
    busy = Worker(sys.path)
    assert findings(busy, TEXT, smoke=False) == []
    assert busy._process is not None
    process = busy._process
    threading.Timer(0.5, busy.close).start()
    with pytest.raises(WorkerEndedError):
        findings(busy, changed(IMPORT, f"{IMPORT}\nwhile True: pass\n"), smoke=False)
    assert process.wait(60) != 0
    with pytest.raises(WorkerEndedError, match="was ended"):
        busy.ask({"smoke": False})


def test_models_do_not_share_what_they_change(worker: Worker) -> None:
    """The warnings filter, torch's seed and dtype, modules of other names."""
    change = (
        "import sys, torch, warnings\n"
        "torch.set_default_dtype(torch.float64)\n"
        "torch.relu = torch.tanh\n"
        "sys.modules['math'] = None\n"
        "warnings.simplefilter('ignore')\n"
    )
    assert findings(worker, changed(IMPORT, f"{IMPORT}\n{change}"))
    assert findings(worker, TEXT) == []


def test_a_torch_that_cannot_be_imported_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no such library')\n")
    broken = Worker([str(tmp_path), *sys.path])
    with pytest.raises(IRPyTorchError, match="torch cannot be imported: ImportError: no such lib"):
        broken.ask({"smoke": False})
    broken.close()


def test_a_process_that_cannot_speak_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program.py"
    for text in ("", "import os; os.write(1, b'x')", "import os; os.write(1, b'\\xff' * 16)"):
        program.write_text(text)
        monkeypatch.setattr(worker_module, "__file__", str(program))
        with pytest.raises(WorkerEndedError):
            Worker(sys.path).ask({"smoke": False})


def test_arrays_of_every_shape_come_through(worker: Worker) -> None:
    text = changed("return v2", "return x, x.sum(), x[:0]")
    outputs = (X, np.array(-1.0), np.zeros((0, 2)))
    case = GoldenCase(X, outputs)
    wanted = (Run("not-golden", (case, case), Limits("float64", 0.0, 0.0)),)
    assert findings(worker, text, wanted, smoke=False) == []


def test_losses_may_be_anything_that_is_printed() -> None:
    for text in ("step 0: loss 1e400\nstep 1: loss 0", "step 0: loss x\nstep 1: loss y"):
        assert "not finite" in smoke_problem("net", {"error": "", "printed": text})
    assert smoke_problem("net", {"error": "", "printed": ""}).endswith("no losses: nothing")


def test_the_path_of_the_command_without_what_is_here(tmp_path: Path) -> None:
    output = tmp_path / "generated"
    output.mkdir()
    link = tmp_path / "link"
    link.symlink_to(output)
    others = ["/usr/lib", str(tmp_path)]
    entries = ["", ".", "generated", str(Path.cwd()), str(output), str(output / "x"), str(link)]
    assert import_path([*entries, *others], tmp_path / "root", output) == others


def test_the_worker_takes_nothing_from_its_surroundings(tmp_path: Path) -> None:
    """Not even before it was told its path: it imports the standard library alone."""
    for name in ("json.py", "torch.py", "sitecustomize.py", "usercustomize.py", "warnings.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": "json.py"}
    command = [sys.executable, "-I", "-S", "-B", str(worker_module.__file__)]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, stdin=subprocess.DEVNULL)
    assert not (tmp_path / "ran").exists()
