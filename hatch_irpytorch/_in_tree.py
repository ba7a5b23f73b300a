"""The build script of this repository: the hook from its own tree.

hatchling runs this file without registering it as a module, so nothing else belongs in it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hatch_irpytorch.plugin import IRPyTorchBuildHook


def get_build_hook() -> type[IRPyTorchBuildHook]:
    return IRPyTorchBuildHook
