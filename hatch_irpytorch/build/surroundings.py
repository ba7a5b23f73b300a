"""What stands in the output folder beside the package: Python may import it in place of another."""

from __future__ import annotations

from fnmatch import fnmatch

from hatch_irpytorch.build.files import folder_names
from hatch_irpytorch.build.lock import LOCK_FOLDER, OLD_NAME
from hatch_irpytorch.names import shadows
from hatch_irpytorch.project import Project

_OF_TOOLS = ("__pycache__", "*.egg-info", "*.dist-info", ".*")
"""What Python, pip, git and editors leave there, and a killed build."""


def strangers(project: Project) -> list[str]:
    """Paths beside the package that neither we nor the project's own wheel account for.

    What the wheel names in `packages` or the like is the project's own, a `src` folder for one,
    unless its name is that of a module that Python, torch or numpy import.
    """
    found = []
    own = set(project.package_folders)
    for folder in project.package_folders[1:]:
        for name in folder_names(project.root, folder):
            path = f"{folder}/{name}"
            ours = folder == project.output and name in (LOCK_FOLDER, OLD_NAME)
            if path in own or ours or any(fnmatch(name, pattern) for pattern in _OF_TOOLS):
                continue
            if shadows(name.partition(".")[0]) or not _is_shipped(project, path):
                found.append(path)
    return found


def _is_shipped(project: Project, path: str) -> bool:
    return any(
        path == named or path.startswith(f"{named}/") or named.startswith(f"{path}/")
        for named in project.shipped
    )
