"""The project that a command runs in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reid.project.errors import ReidError

if TYPE_CHECKING:
    from reid.project.layout import Project


def project() -> Project:
    """The project that the command runs in: here, or the nearest folder above with params.yaml."""
    from reid.project.layout import Project
    from reid.project.params import PARAMS_FILE

    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / PARAMS_FILE).is_file():
            import os

            os.chdir(folder)  # paths in params.yaml and in messages are the project's
            return Project(Path())
    raise ReidError(f"{here}: no {PARAMS_FILE} here or above; run inside a project")
