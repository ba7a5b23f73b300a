"""Put the zoo through the doors and renew its parts of docs/coverage.md: `nox -s zoo`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from contextlib import redirect_stdout
from fnmatch import fnmatch
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from repository import ROOT

from peers.coverage import write_part
from peers.tally import WRONG
from peers.zoo import layers, page, timm_networks, torchvision_networks, transformers_networks
from peers.zoo.check import DOORS
from peers.zoo.network import Network
from peers.zoo.process import checked

RESULTS = ROOT / ".nox" / "zoo.jsonl"
_LIBRARIES = ("torch", "torchvision", "timm", "transformers", "onnx", "onnxscript")


def networks() -> list[Network]:
    sources = (layers, torchvision_networks, timm_networks, transformers_networks)
    return [network for source in sources for network in source.networks()]


def main() -> int:
    """What is in the file of results stays; each network that is not is run and added."""
    parser = argparse.ArgumentParser(prog="peers.zoo", description=__doc__)
    parser.add_argument("names", nargs="*", default=["*"], help="patterns; default: all")
    parser.add_argument("--again", action="store_true", help="run what has results as well")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    options = parser.parse_args()
    records = _read(options.results)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    everything = networks()
    _warm_up()
    for network in everything:
        wanted = any(fnmatch(network.name, pattern) for pattern in options.names)
        if not wanted or (network.name in records and not options.again):
            continue
        record = records[network.name] = checked(network, DOORS)
        with options.results.open("a", encoding="utf-8") as stream:
            print(json.dumps(record), file=stream)
        print(network.name, *(f"{door}: {_short(record, door)}" for door in DOORS), sep=" | ")
        sys.stdout.flush()
    known = [network for network in everything if network.name in records]
    versions = ", ".join(f"{library} {version(library)}" for library in _LIBRARIES)
    for part in page.PARTS:
        found = [records[n.name] for n in known if (n.tokens is not None) == part.ids]
        if found:
            write_part(part.title, page.text_of(part, found, versions))
    wrong = [network.name for network in known if _is_wrong(records[network.name])]
    print(f"WRONG: {wrong}" if wrong else "nothing wrong")
    return 1 if wrong else 0


def _is_wrong(record: dict[str, Any]) -> bool:
    found = (reason for door in DOORS for reason in page.reasons(record, door))
    return any(reason.startswith(WRONG) for reason in found)


def _short(record: dict[str, Any], door: str) -> str:
    if "failed" in record:
        return str(record["failed"])[:100]
    found = page.reasons(record, door)
    return found[0] if found else f"right ({record[door]['share']:.2f})"


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {record["name"]: record for record in map(json.loads, lines)}


def _warm_up() -> None:
    """What each process would import and set up anew is there before they are forked."""
    import timm  # noqa: F401
    import torchvision  # noqa: F401
    import transformers  # noqa: F401

    layer = torch.nn.Linear(2, 2).eval()
    with redirect_stdout(StringIO()):
        torch.onnx.export(layer, (torch.ones(1, 2),), dynamo=True, verbose=False)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    sys.exit(main())
