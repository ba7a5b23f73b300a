"""The build hook: options, generate, artifacts; and clean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

from hatch_irpytorch.errors import IRPyTorchError

if TYPE_CHECKING:
    from hatch_irpytorch.project import Project


class IRPyTorchBuildHook(BuildHookInterface[Any]):
    """Writes the generated package before a wheel or an sdist is built."""

    PLUGIN_NAME = "irpytorch"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Bring the outputs up to date, or fail with `check`; then add them as artifacts."""
        try:
            project = self._project()
            if project.check:
                self._check(project)
            else:
                self._build(project)
        except IRPyTorchError as error:
            self._abort(error)
        build_data["artifacts"].append(f"/{project.output}")

    def _check(self, project: Project) -> None:
        from hatch_irpytorch.build.outputs import describe
        from hatch_irpytorch.build.progress import terminal_progress
        from hatch_irpytorch.build.regenerate import differences

        found = differences(project, golden=False, jobs=None, progress=terminal_progress())
        if found:
            raise IRPyTorchError([describe(difference) for difference in found])

    def _build(self, project: Project) -> None:
        from hatch_irpytorch.build.current import build_outputs
        from hatch_irpytorch.build.progress import terminal_progress

        for note in build_outputs(project, jobs=None, progress=terminal_progress()):
            self.app.display_warning(str(note).replace("error[", "note[", 1))

    def clean(self, versions: list[str]) -> None:
        """Remove what the hook wrote, and nothing else."""
        from hatch_irpytorch.build.outputs import clean_outputs
        from hatch_irpytorch.build.process_lock import project_lock, remove_process_lock

        try:
            project = self._project()
            with project_lock(project):
                clean_outputs(project)
            remove_process_lock(project)
        except IRPyTorchError as error:
            self._abort(error)

    def _project(self) -> Project:
        from hatch_irpytorch.project import read_options

        where = f"tool.hatch.build.hooks.{self.PLUGIN_NAME}"
        return read_options(Path(self.root), self.config, where)

    def _abort(self, error: IRPyTorchError) -> NoReturn:
        self.app.abort(str(error))
        raise SystemExit(1)
