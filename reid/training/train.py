"""Trains an experiment of any paper, where that is not done yet: see `run`.

Writes  3-runs/<experiment>/train: model.safetensors, history.csv, experiment.json, code.json,
        and best.safetensors where identities are held out

A training has a key, see `Experiment.key`. What is published under it is left as it is, without
torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from reid.evaluation.trained import training_key
from reid.experiments import Experiment
from reid.project.layout import Project
from reid.project.locks import lock
from reid.project.publish import is_as_kept, publish_again, refuse_link
from reid.training.published import folder_of, kept_of, staging_of


def train(
    experiment: Experiment, project: Project, *, device: str = "auto",
    say: Callable[[str], None] = lambda line: None,
) -> Path:  # fmt: skip
    """Train, or go on training, and publish. Returns the published folder.

    A training begun under other code is not continued; `say` gets a line with what changed.
    """
    code = experiment.code(project)
    key, name = experiment.key(project, code), experiment.name
    target = folder_of(name, project)
    work = project.work / "train" / key
    if training_key(name, project) == key and is_as_kept(target, kept_of(work)):
        return target
    refuse_link(target)
    if kept_of(work).is_dir() and is_as_kept(kept_of(work), kept_of(work)):
        if is_first():
            with lock(work / "lock", f"train {name}"):
                publish_again(kept_of(work), target, staging_of(name, project))
        return target
    from reid.training.run import run

    run(experiment, project, work, key=key, code=code, device=device, say=say)
    return target


def is_first() -> bool:
    """Whether this is a training's first or only process: it prints and publishes."""
    return os.environ.get("RANK", "0") == "0"
