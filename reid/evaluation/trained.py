"""What a training published of itself: its description, its key, and whether its code is today's.

Nothing here loads torch: `features` has the network.
"""

from __future__ import annotations

from typing import Any

from reid.code.published import differences
from reid.code.published import published as published_code
from reid.experiments import Experiment
from reid.project.errors import ReidError
from reid.project.layout import Project, read_object

DESCRIBED = {"key": str, "params": dict, "people": list, "channel_mean": list}  # of a training


def training_key(name: str, project: Project) -> str:
    """The key of the published training, see `Experiment.key`; empty where there is none."""
    try:
        described = description_of(name, project)
    except ReidError:  # damaged: what is there is of no training
        return ""
    return described["key"] if described else ""


def description_of(name: str, project: Project) -> dict[str, Any] | None:
    """What a training published of itself, None where there is none; `ReidError` if damaged."""
    path = project.run(name) / "train" / "experiment.json"
    return read_object(path, DESCRIBED, f"reid train {name}")


def check_code(experiment: Experiment, project: Project) -> None:
    """`ReidError` where the network was trained by other code than the present."""
    folder, now = project.run(experiment.name) / "train", experiment.code(project)
    trained = published_code(folder)
    if trained is None or trained.fingerprint == now.fingerprint:  # None: not trained yet
        return
    raise ReidError(
        f"{folder}: was trained by other code ({differences(trained, now)}); run "
        f"`reid train {experiment.name}`, or `reid adopt train {experiment.name}` where you know "
        "that the edit changes no result"
    )
