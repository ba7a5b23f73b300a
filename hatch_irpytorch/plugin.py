"""The build hook: options, generate, artifacts; and clean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

from hatch_irpytorch.errors import IRPyTorchError

if TYPE_CHECKING:
    from hatch_irpytorch.build.lock import Locks
    from hatch_irpytorch.errors import Problem
    from hatch_irpytorch.project import Project


class IRPyTorchBuildHook(BuildHookInterface[Any]):
    """Writes the generated package before a wheel or an sdist is built."""

    PLUGIN_NAME = "irpytorch"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Bring the outputs up to date, or fail with `check`; then see that they are shipped."""
        with self._told():
            project = self._project()
            locks = self._checked(project) if project.check else self._built(project)
            self._ship(project, locks, version, build_data)

    def _checked(self, project: Project) -> Locks:
        """The lock files of a project in which nothing is stale, or an error."""
        from hatch_irpytorch.build.lock import read_locks
        from hatch_irpytorch.build.outputs import describe
        from hatch_irpytorch.build.progress import terminal_progress
        from hatch_irpytorch.build.regenerate import differences

        found = differences(project, golden=False, jobs=None, progress=terminal_progress())
        if found:
            raise IRPyTorchError([describe(difference) for difference in found])
        return read_locks(project)

    def _built(self, project: Project) -> Locks:
        """The lock files of a project after what changed was made."""
        from hatch_irpytorch.build.current import build_outputs
        from hatch_irpytorch.build.progress import terminal_progress

        locks, notes = build_outputs(project, jobs=None, progress=terminal_progress())
        for note in notes:
            self._remark(note)
        return locks

    def _remark(self, note: Problem) -> None:
        self.app.display_warning(str(note).replace("error[", "note[", 1))

    def _ship(
        self, project: Project, locks: Locks, version: str, build_data: dict[str, Any]
    ) -> None:
        from hatch_irpytorch.shipping import (
            check_wheel,
            complete_sdist,
            hatchling_told,
            leave_locks_out,
            mark_artifacts,
        )

        with hatchling_told():
            mark_artifacts(project, build_data, self.target_name)
            leave_locks_out(project, self.build_config, self.target_name)
            if self.target_name == "wheel":
                check_wheel(project, locks, self.build_config, version, build_data)
            elif self.target_name == "sdist":
                for note in complete_sdist(project, locks, self.build_config, build_data):
                    self._remark(note)

    def clean(self, versions: list[str]) -> None:
        """Remove what the hook wrote, and nothing else."""
        from hatch_irpytorch.build.outputs import clean_outputs
        from hatch_irpytorch.build.process_lock import project_lock, remove_process_lock

        with self._told():
            project = self._project()
            with project_lock(project):
                clean_outputs(project)
            remove_process_lock(project)

    def _project(self) -> Project:
        """The project by the configuration of this build, from which `irpytorch` reads it too."""
        from hatch_irpytorch.project import configured_project, read_options

        root = Path(self.root)
        found = configured_project(root, self.metadata.hatch.config)
        return found if found is not None else read_options(root, self.config)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """End the build with the message of an error instead of its traceback."""
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            from hatch_irpytorch.unforeseen import ending

            end = ending(error, f"hatch build hook `{self.PLUGIN_NAME}`")
            self.app.abort(end.text, end.code)
            raise SystemExit(end.code) from None
