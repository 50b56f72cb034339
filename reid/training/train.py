"""Trains an experiment of any paper, where that is not done yet: see `run`.

Writes  3-runs/<experiment>/train: model.safetensors, history.csv, experiment.json, code.json,
        and best.safetensors where identities are held out

A training has a key, see `Experiment.key`. What is published under it is left as it is, without
torch. A damaged history.csv is written again from the checkpoint, and removed where there is none:
it costs no training.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from reid.evaluation.trained import training_key
from reid.experiments import Experiment
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.project.locks import lock
from reid.project.publish import is_as_kept, keep, publish_again, refuse_link
from reid.training.published import (
    CHECKPOINT,
    HISTORY,
    folder_of,
    kept_of,
    read_history,
    staging_of,
)


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
    kept, trained = kept_of(work), training_key(name, project) == key
    wrong = _damage(name, project) if trained else ""
    if trained and not wrong and is_as_kept(target, kept):
        return target
    refuse_link(target)
    if kept.is_dir() and is_as_kept(kept, kept):
        if is_first():
            with lock(work / "lock", f"train {name}"):
                publish_again(kept, target, staging_of(name, project))
        return target
    if trained and is_as_kept(target, kept, HISTORY) and not (work / CHECKPOINT).is_file():
        if is_first():
            with lock(work / "lock", f"train {name}"):
                _go_without_history(target, kept)
            say(
                f"{name}: {HISTORY} {wrong or 'is not as it was written'}, and no checkpoint holds "
                "it: it is removed, what was trained is kept. To train anew, remove "
                f"{target} and {work}"
            )
        return target
    from reid.training.run import run

    run(experiment, project, work, key=key, code=code, device=device, say=say)
    return target


def _damage(name: str, project: Project) -> str:
    """What is wrong with a published history; empty where it is whole, or not there."""
    try:
        read_history(project.run(name))
    except ReidError:
        return "is damaged"
    return ""


def _go_without_history(target: Path, kept: Path) -> None:
    (target / HISTORY).unlink(missing_ok=True)
    if kept.is_dir():
        keep(target, kept)


def is_first() -> bool:
    """Whether this is a training's first or only process: it prints and publishes."""
    return os.environ.get("RANK", "0") == "0"
