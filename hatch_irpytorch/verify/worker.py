"""A process that runs generated modules and answers with what came out of them.

It is run by its path with `python -I -S -B`, so that neither the working directory nor the
environment nor a `.pth` file gives it anything to import, and told where to import from. It imports
torch once. Where processes fork, each module has one of its own; elsewhere it serves one module.

A message is a JSON header and the float64 entries of the arrays that the header describes.
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib.abc import ExecutionLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType
from typing import IO, Any

FORKS = sys.platform == "linux"
"""Whether a process that imported torch may fork: elsewhere, what torch uses may not allow it."""

Header = dict[str, Any]
Message = tuple[Header, bytes]

_LENGTHS = struct.Struct("<QQ")
_LONGEST = 1 << 40
_DONE = 77
_KEPT = 1 << 16
_SHOWN = 200


def write_message(stream: IO[bytes], header: Header, data: bytes = b"") -> None:
    """One message; the reader knows from its start how long it is."""
    text = json.dumps(header).encode("ascii")
    stream.write(_LENGTHS.pack(len(text), len(data)) + text)
    stream.write(data)
    stream.flush()


def read_message(stream: IO[bytes]) -> Message | None:
    """The next message, or None when the other side ended before all of it came."""
    start = stream.read(_LENGTHS.size)
    if len(start) < _LENGTHS.size:
        return None
    text_length, data_length = _LENGTHS.unpack(start)
    if max(text_length, data_length) > _LONGEST:
        return None
    text, data = stream.read(text_length), stream.read(data_length)
    if len(text) + len(data) < text_length + data_length:
        return None
    header: Header = json.loads(text)
    return header, data


def last_line(text: str) -> str:
    """The last line that says something: of a traceback, the exception."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_SHOWN] if lines else "nothing"


def main() -> None:
    """Serve modules until there is no further request."""
    requests, replies = _streams()
    first = read_message(requests)
    if first is None:
        return
    sys.path[:] = first[0]["path"]
    try:
        import torch  # noqa: F401
    except Exception as error:
        write_message(replies, {"failed": _told(error)})
        return
    write_message(replies, {"failed": ""})
    trains = False
    while request := read_message(requests):
        if request[0]["smoke"] and not trains:
            trains = True
            _import_compiler()
        child = os.fork() if FORKS else 0
        if child == 0:
            write_message(replies, *_answer(*request))
            os._exit(_DONE)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != _DONE:
            # Half an answer may have been written: whoever reads it takes another process.
            os._exit(code if code >= 0 else 128 - code)


def _streams() -> tuple[IO[bytes], IO[bytes]]:
    """Where requests come from and answers go to; what a module writes by itself goes nowhere."""
    streams = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    return streams


def _import_compiler() -> None:
    """The first optimizer of a process makes torch import its compiler: not one a module, then."""
    import torch

    with suppress(Exception):
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)


def _answer(request: Header, data: bytes) -> Message:
    """What came of one module: `import` and `smoke` with an error and what was printed, then
    the outputs for each input, or an error.
    """
    try:
        return _run(request, data)
    except BaseException as error:
        return {"import": {"error": _told(error), "printed": ""}}, b""


def _run(request: Header, data: bytes) -> Message:
    found: Header = {}
    module = None
    with _printed() as printed:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                module = _executed(request["name"], request)
            error = ""
        except BaseException as raised:
            error = _told(raised)
    found["import"] = {"error": error, "printed": printed.text}
    if module is None or printed.text:
        return found, b""
    if request["smoke"]:
        found["smoke"] = _smoke(request)
    net = getattr(module, request["class_name"])()
    found["runs"] = []
    entries: list[bytes] = []
    inputs = _inputs(request["inputs"], data)
    for dtype, count in request["runs"]:
        net = net.double() if dtype == "float64" else net
        for _ in range(count):
            outputs = _outputs(net.eval(), next(inputs), dtype)
            if isinstance(outputs, str):
                found["runs"].append(outputs)
            else:
                found["runs"].append([[kind, shape] for kind, shape, _ in outputs])
                entries += (entry for _, _, entry in outputs)
    return found, b"".join(entries)


def _smoke(request: Header) -> Header:
    """The module run as a program, where its own UserWarnings are errors."""
    error = ""
    with _printed() as printed, warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning, module="__main__")
        try:
            _executed("__main__", request)
        except BaseException as raised:
            error = _told(raised)
    return {"error": error, "printed": printed.text}


def _inputs(shapes: Iterable[list[int]], data: bytes) -> Iterator[Any]:
    import torch

    at = 0
    for shape in shapes:
        x = torch.zeros(shape, dtype=torch.float64)
        if x.numel():
            flat = torch.frombuffer(bytearray(data), dtype=x.dtype, count=x.numel(), offset=at)
            x = flat.reshape(shape).clone()
        at += 8 * x.numel()
        yield x


def _outputs(net: Any, x: Any, dtype: str) -> list[tuple[str, list[int], bytes]] | str:
    """Dtype, shape and entries of each tensor that a module returns, or how it fails."""
    import torch

    try:
        with torch.no_grad():
            returned = net(x.to(getattr(torch, dtype)))
        tensors = returned if isinstance(returned, tuple) else (returned,)
        return [_described(tensor) for tensor in tensors]
    except BaseException as error:
        return _told(error)


def _described(tensor: Any) -> tuple[str, list[int], bytes]:
    entries = tensor.detach().cpu().double().contiguous().numpy().tobytes()
    return str(tensor.dtype).removeprefix("torch."), list(tensor.shape), entries


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {last_line(str(error))}"


class _Text(ExecutionLoader):
    """Gives a module the text that was sent, under the path that its file has."""

    def __init__(self, request: Header) -> None:
        self.request = request

    def get_source(self, fullname: str) -> str:
        text: str = self.request["text"]
        return text

    def get_filename(self, fullname: str) -> str:
        path: str = self.request["path"]
        return path


def _executed(name: str, request: Header) -> ModuleType:
    spec = spec_from_loader(name, _Text(request))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        if before is not None:
            sys.modules[name] = before
    return module


class _Sink(io.TextIOBase):
    """Keeps what is printed, as far as anyone would read it."""

    def __init__(self) -> None:
        self.text = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text[: _KEPT - len(self.text)]
        return len(text)


@contextmanager
def _printed() -> Iterator[_Sink]:
    """What Python code prints meanwhile."""
    sink = _Sink()
    with redirect_stdout(sink), redirect_stderr(_Sink()):
        yield sink


if __name__ == "__main__":
    main()
