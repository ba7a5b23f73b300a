"""The entry point of hatch. It is imported for every build, so it imports only hatchling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hatchling.plugin import hookimpl

if TYPE_CHECKING:
    from hatch_irpytorch.plugin import IRPyTorchBuildHook


@hookimpl
def hatch_register_build_hook() -> type[IRPyTorchBuildHook]:
    from hatch_irpytorch.plugin import IRPyTorchBuildHook

    return IRPyTorchBuildHook
