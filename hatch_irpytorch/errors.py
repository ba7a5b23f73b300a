"""Every error this project reports: where it is, what it is, and the codes with their sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

CODES: dict[str, str] = {
    "alias-in-manifest": "YAML anchors and aliases have no use in a manifest",
    "approximated": "a function without a form of its own is computed by a polynomial",
    "as-reals": "booleans or integers are given as real numbers",
    "bad-arity": "a node has the wrong number of parents",
    "bad-attribute": "an attribute of a node is missing, ill-typed or out of its range",
    "bad-encoding": "the file is not UTF-8 text without a byte order mark",
    "bad-format": "the document is not a torchlean.ir.v1 graph",
    "bad-golden": "a golden file cannot be used",
    "bad-id": "a node's id differs from its position",
    "bad-json": "the text is not JSON as RFC 8259 defines it",
    "bad-name": "a name is not an identifier that generated source can carry",
    "bad-option": "an option or value has the wrong type or is out of its closed set",
    "bad-parent": "a parent is not an earlier node, or not a tensor",
    "bad-params": "the parameter file cannot be read",
    "bad-path": "a path does not mean the same on every system",
    "bad-payload": "a payload value has the wrong type or shape",
    "bad-project": "the project's own configuration cannot be used",
    "bad-shape": "a declared shape is not an array of natural numbers",
    "bad-tuple": "a tuple value is used where a tensor is needed, or the reverse",
    "bad-yaml": "the text is not YAML",
    "busy": "another build holds the project for too long",
    "cannot-lock": "the lock that keeps builds of one project apart cannot be taken",
    "cannot-write": "an output could not be written or removed",
    "capture-failed": "a module or an ONNX file cannot be captured as a whole",
    "case-clash": "two paths differ only in upper and lower case",
    "changed": "an input changed while it was read",
    "custom-op": "a `custom` node needs its Lean body, which JSON cannot carry",
    "domain": "a value lies outside the domain of an operation",
    "duplicate-key": "a key is given twice in one object",
    "duplicate-module": "two manifests produce the same module",
    "edited-by-hand": "a generated file differs from what was last generated",
    "extra-payload": "the parameter file holds an entry that no node of the graph uses",
    "finite-only": "what was converted is right for finite numbers",
    "foreign-code": "a generated module, or bytecode beside it, is not what the emitter writes",
    "import-failed": "a generated module does not import cleanly",
    "in-place": "`forward` writes into its input, which a graph leaves as it was",
    "inexpressible": "an operation has no form in torchlean.ir.v1",
    "infinite-constant": "an infinity was replaced by the largest power of 2 that float32 holds",
    "internal": "something failed that this project did not foresee",
    "interrupted": "Ctrl-C stopped the command",
    "masked-row": "a softmax over a row that is masked whole is NaN, the graph weighs it evenly",
    "missing-file": "a file does not exist",
    "missing-key": "a required key is missing",
    "missing-onnx": "reading an ONNX file needs the package onnx",
    "missing-payload": "a node that is evaluated lacks its payload",
    "missing-torch": "a check that runs generated modules needs torch",
    "left-out": "an output that is no tensor is no part of the graph",
    "mixed-names": "a parameter file names some entries by node, others by module",
    "mixed-dialects": "a document mixes the legacy and the v1 dialect",
    "no-manifests": "no manifest was found",
    "not-free": "an extent that is to be free is fixed by what the graph does",
    "not-finite": "NaN or an infinity stands where JSON cannot carry one",
    "not-ours": "a file that this project did not write stands where an output belongs",
    "not-shipped": "a target of the build would not ship what the generated package needs",
    "not-golden": "a module, or its golden file, is not what the model gives",
    "not-parity": "a module's outputs differ from the reference",
    "other-graph": "parameters belong, or may belong, to another graph",
    "orphaned": "a generated file has no manifest any more",
    "out-of-memory": "the machine has too little memory for what was asked",
    "other-dtype": "the source changes its dtype, and the graph keeps that of its module",
    "outside-project": "a path leads out of the project",
    "overflow": "a finite number is beyond the dtype of the module",
    "params-beside": "the parameters that a graph lacks were taken from the file beside it",
    "precision": "numbers are not rounded where the source rounds them",
    "process-died": "a process that generated models ended too early",
    "rebuilt": "a derived file held a merge conflict or no text of ours, and was made again",
    "shape-mismatch": "a declared shape differs from what the shape rule gives",
    "smoke-failed": "the run of a generated module as a program failed",
    "stale": "a generated file is older than its inputs",
    "system": "the operating system refused what a command needs",
    "too-deep": "the text is nested too deeply",
    "too-large": "the file or a value is larger than any real one",
    "training": "training of a captured module differs from that of its source",
    "unknown-key": "a key is not known here",
    "unknown-kind": "a node's kind is not known",
    "unknown-module": "no manifest has this name",
    "untied": "what was one tensor, or was computed, is stored by a node of its own",
    "unsupported": "the graph asks for something the format does not define",
    "unused-weight": "a dense grouped kernel holds non-zero weights outside its blocks",
}


class Place(NamedTuple):
    """Where a problem is: a file, and in it a line and column, or a node."""

    file: str
    line: int = 0
    column: int = 0
    node: int | None = None
    kind: str = ""
    tensor: int | None = None

    def __str__(self) -> str:
        if self.line:
            return f"{self.file}:{self.line}:{self.column}"
        if self.node is None:
            return self.file
        tensor = "" if self.tensor in (None, self.node) else f", tensor {self.tensor}"
        kind = f" ({self.kind}{tensor})" if self.kind else ""
        return f"{self.file}: node {self.node}{kind}"


class Problem(NamedTuple):
    """One thing that is wrong. `field`, `expected` and `found` repeat the message as data."""

    code: str
    place: Place
    message: str
    hint: str = ""
    field: str = ""
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        return self.line()

    def line(self, severity: str = "error") -> str:
        """One printable line of at most `MAX_LINE` characters; a note is no error."""
        parts = [str(self.place), self.message, self.hint]
        place, message, hint = map(_printable, parts)
        if len(place) + len(message) + len(hint) > MAX_LINE - 100:
            place, message, hint = (_cut(text) for text in (place, message, hint))
        return f"{place}: {severity}[{self.code}]: {message}{'; ' if hint else ''}{hint}"


MAX_LINE = 2000
"""No message is longer; `--json` has all of it."""

MAX_PROBLEMS = 50
"""No more problems of one file are told, but how many more there are; `--json` has them all."""


def _cut(text: str, limit: int = 600) -> str:
    """A long text without its middle."""
    half = limit // 2
    if len(text) <= limit:
        return text
    return f"{text[:half]}... {len(text) - limit} more ...{text[-half:]}"


def _printable(text: str) -> str:
    """One line: control characters, line breaks and marks of direction become escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class IRPyTorchError(Exception):
    """Bad input. `problems` holds everything found, in the order of the input."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(told_lines(self.problems)))


def told_lines(problems: Iterable[Problem], severity: str = "error") -> Iterator[str]:
    """The problems as lines, in their order; of each file the first `MAX_PROBLEMS` and a count."""
    counts: dict[str, int] = {}
    for problem in problems:
        file = problem.place.file
        counts[file] = counts.get(file, 0) + 1
        if counts[file] <= MAX_PROBLEMS:
            yield problem.line(severity)
    for file, count in counts.items():
        if count > MAX_PROBLEMS:
            yield f"{_cut(_printable(file))}: {count - MAX_PROBLEMS} more; `--json` has all"


class Problems:
    """A list that grows while a file is read, so that all its mistakes are told at once."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def add(self, code: str, place: Place, message: str, hint: str = "") -> None:
        self._found.append(Problem(code, place, message, hint))

    def mismatch(
        self, code: str, place: Place, field: str, expected: str, found: str, hint: str = ""
    ) -> None:
        message = f"`{field}` must be {expected}, found {found}"
        self._found.append(Problem(code, place, message, hint, field, expected, found))

    def extend(self, problems: Iterable[Problem]) -> None:
        self._found.extend(problems)

    def raise_if_any(self) -> None:
        """Raise `IRPyTorchError` with everything collected so far, if there is anything."""
        if self._found:
            raise IRPyTorchError(self._found)


def fail(code: str, place: Place, message: str, hint: str = "") -> IRPyTorchError:
    """The exception for a single problem, to be raised by the caller."""
    return IRPyTorchError([Problem(code, place, message, hint)])


def text_of(error: BaseException) -> str:
    """What an exception of unknown origin says; nothing where its own `__str__` raises."""
    try:
        return str(error)
    except Exception:
        return ""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the known word closest to `word`, or an empty string."""
    from difflib import get_close_matches

    close = get_close_matches(word[:100], sorted(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""


def shown(value: object, limit: int = 60) -> str:
    """A value of unknown origin as one short line of printable ASCII, in backticks."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif value is None:
        text = "null"
    elif isinstance(value, dict):
        return "an object"
    elif isinstance(value, list):
        return f"an array of {len(value)}"
    elif isinstance(value, int) and value.bit_length() > 256:
        return "a very large integer"
    elif isinstance(value, str | int | float):
        text = str(value)[: limit + 1]
    else:
        return str(value)[:limit]
    text = text.encode("unicode_escape").decode("ascii")
    return f"`{text[:limit]}...`" if len(text) > limit else f"`{text}`"
