"""The texts beside `pyproject.toml`: attributes of git, the pre-commit entry, a workflow."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from hatch_irpytorch.errors import IRPyTorchError, Place, fail
from hatch_irpytorch.init.toml_edits import newline_of
from hatch_irpytorch.project import Project

ATTRIBUTES = ".gitattributes"
PRE_COMMIT = ".pre-commit-config.yaml"
WORKFLOW = ".github/workflows/irpytorch.yml"
_HOOK_ID = "irpytorch-check"


def with_attributes(text: str, project: Project) -> str:
    """Attributes with those of our files; a pattern that has a line keeps its own."""
    patterns = [line.split()[0] for line in text.splitlines() if line.strip()]
    missing = [
        f"{pattern} {attributes}"
        for pattern, attributes in _attributes(project)
        if pattern not in patterns and not _is_told_otherwise(pattern, patterns)
    ]
    newline = newline_of(text)
    start = text if not text or text.endswith("\n") else text + newline
    return start + "".join(f"{line}{newline}" for line in missing) if missing else text


def _attributes(project: Project) -> list[tuple[str, str]]:
    output, models = _git_pattern(project.output), _git_pattern(project.models)
    lines = "text eol=lf"
    return [
        (f"{output}/**/*.py", lines),
        (f"{output}/**/*.json", lines),
        (f"{models}/*.yaml", lines),
        (f"{models}/*.yml", lines),
        (f"{models}/*.json", lines),
        ("tests/golden/*.json", lines),
        ("*.safetensors", "binary"),
        (f"{output}/**/*.safetensors", "linguist-generated"),
    ]


def _is_told_otherwise(pattern: str, patterns: list[str]) -> bool:
    """Git LFS is set by a line for weight files, which a later `binary` would take away."""
    return pattern == "*.safetensors" and any(p.endswith(".safetensors") for p in patterns)


def _git_pattern(path: str) -> str:
    """A path at the start of a pattern; git reads white space as the pattern's end."""
    return re.sub(r"[\[\]!#]", r"\\\g<0>", path).replace(" ", "?")


def _entry(project: Project) -> list[str]:
    """The lines of the pre-commit entry, without indentation."""
    folders = "|".join(re.escape(f"{name}/") for name in (project.models, project.output))
    files = f"^({folders}|tests/golden/|pyproject\\.toml$)".replace("'", "''")
    return [
        "- repo: local",
        "  hooks:",
        f"    - id: {_HOOK_ID}",
        "      name: irpytorch check",
        "      entry: irpytorch check",
        "      language: system",
        f"      files: '{files}'",
        "      pass_filenames: false",
    ]


def with_pre_commit(text: str, project: Project) -> str:
    """A configuration of pre-commit with our entry at the end of its `repos`.

    Raises `bad-yaml` for a text that has no such list in lines of its own.
    """
    newline = newline_of(text)
    root, repos = _repos(text)
    if root is None:
        start = text if not text or text.endswith("\n") else text + newline
        return start + "".join(f"{line}{newline}" for line in ("repos:", *_indented(project, 2)))
    leaves = _leaves(repos)
    if any(node.value in (_HOOK_ID, "irpytorch-regen") for node in leaves):
        return text
    if repos.flow_style or not repos.value:
        raise _no_place()
    at = _line_end(text, max(node.end_mark.index for node in leaves))
    before = "" if text[:at].endswith("\n") else newline
    lines = _indented(project, repos.start_mark.column)
    new = text[:at] + before + "".join(f"{line}{newline}" for line in lines) + text[at:]
    new_root, after = _repos(new)
    if len(after.value) != len(repos.value) + 1 or len(new_root.value) != len(root.value):
        raise _no_place()
    return new


def _line_end(text: str, at: int) -> int:
    """Where the line ends that a node ends in; a block of text ends after its last line."""
    if text[:at].endswith("\n"):
        return at
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _indented(project: Project, column: int) -> list[str]:
    return [f"{' ' * column}{line}" for line in _entry(project)]


def _repos(text: str) -> tuple[Any, Any]:
    """The root of a YAML text and its list `repos`, as nodes with their places.

    Neither for a text that holds nothing.
    """
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = getattr(error, "problem", None) or "it is nested too deeply"
        raise fail("bad-yaml", Place(PRE_COMMIT), f"not YAML: {problem}") from None
    if root is None:
        return None, None
    if isinstance(root, yaml.MappingNode):
        for key, value in root.value:
            if key.value == "repos" and isinstance(value, yaml.SequenceNode):
                return root, value
    raise _no_place()


def _leaves(node: Any) -> list[Any]:
    """The scalars below a node and the collections in brackets, each once."""
    found, waiting, seen = [], [node], set()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        scalar = isinstance(current.value, str)
        if scalar or current.flow_style:
            found.append(current)
        for item in () if scalar else current.value:
            waiting += item if isinstance(item, tuple) else [item]
    return found


def _no_place() -> IRPyTorchError:
    message = "there is no list `repos`, an item a line, to add an entry to"
    return fail("bad-yaml", Place(PRE_COMMIT), message, "write one, or add the entry by hand")


def workflow(requirement: str) -> str:
    """A workflow that checks a project's files, with the hook that its builds ask for."""
    install = json.dumps(f"python -m pip install {shlex.quote(requirement)}")
    return f"""\
name: irpytorch
on: [push, pull_request]
permissions:
  contents: read
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: {install}
      - run: irpytorch check
      - run: python -m pip install . torch numpy
      - run: irpytorch verify
"""
