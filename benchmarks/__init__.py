"""Speed and memory beside other ways; `nox -s bench` writes `docs/benchmarks.md`."""
