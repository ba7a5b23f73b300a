"""What is written down agrees with the code: error codes, schema, dependencies, README."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from repository import ROOT

from hatch_irpytorch.emit.options import DTYPES
from hatch_irpytorch.errors import CODES
from hatch_irpytorch.manifest_fields import SECTIONS, manifest_schema
from hatch_irpytorch.project import OPTIONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def toml(name: str) -> dict[str, Any]:
    return tomllib.loads(text(name))


def test_every_error_code_is_used_and_every_used_code_is_listed() -> None:
    sources = [
        path.read_text(encoding="utf-8")
        for path in (ROOT / "hatch_irpytorch").rglob("*.py")
        if path.name != "errors.py"
    ]
    joined = "\n".join(sources)
    used = set(re.findall(r'(?:fail|\.add|mismatch|Problem)\(\s*"([a-z-]+)"', joined))
    assert used <= set(CODES)
    assert {code for code in CODES if f'"{code}"' in joined} == set(CODES)


def test_every_error_code_is_in_the_documentation() -> None:
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", text("docs/errors.md"), re.MULTILINE))
    assert listed == CODES


def test_the_committed_schema_is_the_printed_one() -> None:
    committed = json.loads(text("hatch_irpytorch/schema/manifest.schema.json"))
    assert committed == manifest_schema()
    jsonschema.Draft202012Validator.check_schema(committed)


@pytest.mark.parametrize("manifest", sorted((ROOT / "models").glob("*.yaml")), ids=lambda p: p.name)
def test_the_models_manifests_fit_the_schema(manifest: Path) -> None:
    import yaml

    jsonschema.validate(yaml.safe_load(manifest.read_text(encoding="utf-8")), manifest_schema())


def test_the_schema_refuses_an_unknown_key() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"ir": "a", "emit": {"weigths": "inline"}}, manifest_schema())


def test_the_root_builds_with_what_the_hook_depends_on() -> None:
    hook, root = toml("hatch_irpytorch/pyproject.toml"), toml("pyproject.toml")
    assert sorted(root["build-system"]["requires"]) == sorted(hook["project"]["dependencies"])
    assert not any("torch" in name for name in hook["project"]["dependencies"])


def test_the_supported_range_of_torch_is_one() -> None:
    root = toml("pyproject.toml")
    assert root["dependency-groups"]["torch"] == root["project"]["dependencies"]


def test_the_readme_names_every_key_and_option() -> None:
    readme = text("README.md")
    keys = [f"{section}.{field.name}" for section, fields in SECTIONS.items() for field in fields]
    for name in (*keys, *OPTIONS, *DTYPES):
        assert f"`{name}`" in readme, name


def test_the_changelog_has_the_version() -> None:
    from hatch_irpytorch import __version__

    assert f"## {__version__}" in text("CHANGELOG.md")


def test_the_diff_of_a_widened_layer_is_the_real_one() -> None:
    from difflib import unified_diff

    from hatch_irpytorch import EmitOptions, emit_module
    from hatch_irpytorch.ir.read import build_model

    graph = json.loads(text("tests/sample_project/models/affine.ir.json"))
    options = EmitOptions(class_name="Affine", dtype="float64")
    narrow = emit_module(build_model(json.dumps(graph).encode(), "affine.ir.json"), options).source
    linear, relu = graph["nodes"][1:]
    linear["weight"].append([1.0, 1.0])
    linear["bias"].append(0.0)
    linear["out_dim"], linear["shape"], relu["shape"] = 4, [1, 4], [1, 4]
    wide = emit_module(build_model(json.dumps(graph).encode(), "affine.ir.json"), options).source
    lines = list(unified_diff(narrow.splitlines(), wide.splitlines(), lineterm=""))
    (shown,) = re.findall(r"```diff\n(-\"\"\"Affine: .*?)```", text("README.md"), re.DOTALL)
    first, second, *hunk = shown.splitlines()
    assert {first, second} <= set(lines)
    start = lines.index(hunk[0].removesuffix(" class Affine(nn.Module):"))
    assert [line or " " for line in hunk[1:]] == lines[start + 1 : start + len(hunk)]


def test_the_readme_says_how_to_build_wheels_without_torch() -> None:
    for line in text("README.md").splitlines():
        assert "pip wheel" not in line or "--no-deps" in line


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    named = set(
        re.findall(r"`((?:tests|hatch_irpytorch|docs|models)/[\w/]+\.\w+)", text(f"docs/{page}"))
    )
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
