"""Every check of this repository: `nox` runs them all, `nox -s regen` refreshes `generated/`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = [
    "check",
    "lint",
    "build",
    "models",
    "typecheck",
    "tests",
    "downstream",
]

ROOT = Path(__file__).parent
SHARED = ROOT / ".nox" / "shared"
PYTHON = str(SHARED / ("Scripts" if sys.platform == "win32" else "bin") / "python")
HOOK = "./hatch_irpytorch"


_installed: list[str] = []


def shared_environment(session: nox.Session) -> None:
    """One environment for all sessions that need torch, made by the first of them."""
    if _installed:
        return
    if not Path(PYTHON).exists():
        session.run(sys.executable, "-m", "venv", str(SHARED), external=True)
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "-q")
    session.run(*pip, "pip>=25.1", external=True)
    session.run(*pip, HOOK, "--group", "test", "--group", "typecheck", external=True)
    _installed.append(HOOK)


@nox.session
def regen(session: nox.Session) -> None:
    """Bring `generated/` and the golden files up to date; names of models may follow `--`."""
    session.install("-q", HOOK)
    session.run("irpytorch", "regen", *session.posargs)


@nox.session
def check(session: nox.Session) -> None:
    """Fail with a diff when `generated/` or a golden file is not what the inputs give."""
    session.install("-q", HOOK)
    session.run("irpytorch", "check")


@nox.session(venv_backend="none")
def models(session: nox.Session) -> None:
    """Each generated module imports cleanly, runs, and equals its golden file and the reference."""
    shared_environment(session)
    session.run(PYTHON, "-m", "hatch_irpytorch", "verify", *session.posargs, external=True)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """The test suite."""
    shared_environment(session)
    session.run(PYTHON, "-m", "pytest", *session.posargs, external=True)


@nox.session(venv_backend="none")
def soak(session: nox.Session) -> None:
    """The random tests for hours instead of minutes: graphs, hostile inputs, bit patterns."""
    shared_environment(session)
    files = (
        "ops/test_random_graphs.py",
        "reading/test_explaining.py",
        "reading/test_hostile_input.py",
        "reading/test_exact_numbers.py",
        "emitting/test_tables.py",
    )
    paths = [f"tests/{file}" for file in files]
    session.run(PYTHON, "-m", "pytest", "--soak", *paths, *session.posargs, external=True)


@nox.session(venv_backend="none")
def peers(session: nox.Session) -> None:
    """Other people's test cases through the doors, for minutes; writes `docs/coverage.md`."""
    shared_environment(session)
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "-q")
    session.run(*pip, "--group", "peers", external=True)
    session.run(PYTHON, "-m", "peers", external=True, env={"PYTHONPATH": str(ROOT / "tests")})


@nox.session
def zoo(session: nox.Session) -> None:
    """Networks of libraries through both doors, for hours; writes its parts of `docs/coverage.md`.

    Arguments after `--` are patterns of names; what has a result in `.nox/zoo.jsonl` is not run
    again. The libraries need a newer torch than the supported range has.
    """
    groups = nox.project.dependency_groups(nox.project.load_toml(), "zoo")
    session.install("-q", HOOK, *groups)
    env = {"PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}
    session.run("python", "-m", "peers.zoo", *session.posargs, env=env)


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Speed and memory beside peers, for a quarter of an hour; writes `docs/benchmarks.md`."""
    shared_environment(session)
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "-q")
    session.run(*pip, "--group", "bench", external=True)
    session.run(PYTHON, "-m", "benchmarks", external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Formatter and linter: our rules for our code, their own defaults for generated code."""
    session.install("-q", *nox.project.dependency_groups(nox.project.load_toml(), "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", "--isolated", "generated")
    session.run("ruff", "format", "--isolated", "--check", "generated")


@nox.session(venv_backend="none")
def typecheck(session: nox.Session) -> None:
    """Strict types in our code and in generated code."""
    shared_environment(session)
    session.run(PYTHON, "-m", "mypy", external=True)


@nox.session
def build(session: nox.Session) -> None:
    """Wheel, sdist and wheel from sdist of both distributions: the same bytes, a clean tree."""
    session.install("-q", "build")
    folder = ROOT / ".nox" / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    for name in (HOOK, "."):
        direct, by_way = folder / "direct" / name, folder / "from-sdist" / name
        session.run("python", "-m", "build", "-q", "--wheel", "--outdir", str(direct), name)
        session.run("python", "-m", "build", "-q", "--outdir", str(by_way), name)
        for wheel in direct.glob("*.whl"):
            if wheel.read_bytes() != (by_way / wheel.name).read_bytes():
                session.error(f"{wheel.name} from the sdist differs from the direct one")
    session.run("git", "diff", "--exit-code", "--", "generated", external=True)


@nox.session(venv_backend="none")
def downstream(session: nox.Session) -> None:
    """A project that requires the built hook: its wheel is built in isolation and its model run."""
    shared_environment(session)
    folder = ROOT / ".nox" / "downstream"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "tests" / "sample_project", folder / "project")
    hooks, wheels, site = (str(folder / name) for name in ("hooks", "wheels", "site"))
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check")
    session.run(*pip, "wheel", "-q", "--no-deps", "-w", hooks, HOOK, external=True)
    session.run(
        *(*pip, "wheel", "-q", "--no-deps", "-w", wheels, str(folder / "project")),
        env={"PIP_FIND_LINKS": hooks},
        external=True,
    )
    session.run(
        *(*pip, "install", "-q", "--no-deps", "--no-index", "--find-links", wheels),
        *("--target", site, "sample-nets"),
        external=True,
    )
    run_model = str(folder / "project" / "run_model.py")
    session.run(PYTHON, run_model, env={"PYTHONPATH": site}, external=True)
