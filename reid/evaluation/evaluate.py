"""Evaluates a trained experiment, where that is not done yet.

Reads   3-runs/<experiment>/train, and the data set's query and gallery rows
Writes  3-runs/<experiment>/evaluate: see `run`; for another data set than the experiment's own, or
        by another protocol: 3-runs/<experiment>/evaluate-on-<data set>, .../evaluate-by-<protocol>

An evaluation has a key: of the training, the tested rows, the rule, the parameters, the code. What
is published under it is returned as it is, without torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reid.evaluation.trained import check_code, training_key
from reid.experiments import Experiment
from reid.project.layout import Project, key_of, read_object, sha256_of
from reid.project.locks import lock
from reid.project.publish import is_as_kept, keep, publish_again, publishing

WRITTEN = {"features.parquet", "metrics.json", "cmc.csv", "ranked.parquet"}


def folder_of(
    experiment: Experiment, project: Project,
    dataset: str | None = None, protocol: str | None = None,
) -> Path:  # fmt: skip
    """The folder of an evaluation; another data set or another protocol has its own."""
    params, words = experiment.params, ["evaluate"]
    if dataset and dataset != params.dataset:
        words.append(f"on-{dataset}")
    if protocol and protocol != params.protocol:
        words.append(f"by-{protocol}")
    return project.run(experiment.name) / "-".join(words)


def evaluation_key(
    experiment: Experiment, project: Project,
    dataset: str | None = None, protocol: str | None = None,
) -> str:  # fmt: skip
    """A name for an evaluation of what is trained, on the data as it is, by the code as it is."""
    weights = project.run(experiment.name) / "train" / "model.safetensors"
    return key_of(
        [
            sha256_of(weights) if weights.is_file() else "",
            training_key(experiment.name, project), experiment.described(),
            dataset or experiment.params.dataset, experiment.tested(project, dataset, protocol),
            experiment.test_code(project).fingerprint,
        ]
    )  # fmt: skip


def evaluate(
    experiment: Experiment, project: Project, *,
    device: str = "auto", dataset: str | None = None, protocol: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Extract features, score them by a protocol of the data set, publish. Returns the metrics.

    `dataset` names another data set than the experiment's own (a cross-domain test), `protocol`
    another protocol than the experiment's, or than the first of that other data set.
    """
    check_code(experiment, project)
    target = folder_of(experiment, project, dataset, protocol)
    name = f"{target.name}@{experiment.name}"
    staging, hint = project.publishing / name, f"reid evaluate {experiment.name}"
    key = evaluation_key(experiment, project, dataset, protocol)
    kept = project.work / "evaluate" / name
    with lock(project.work / "locks" / name, f"evaluate {experiment.name}"):
        if _is_of(target, key) and is_as_kept(target, kept):
            pass
        elif _is_of(kept, key) and is_as_kept(kept, kept):
            publish_again(kept, target, staging)
        else:
            from reid.evaluation.run import run

            with publishing(target, staging) as folder:
                options = {"device": device, "dataset": dataset, "protocol": protocol}
                run(experiment, project, folder, key=key, **options)
                keep(folder, kept)
    return read_object(target / "metrics.json", {}, hint) or {}


def _is_of(folder: Path, key: str) -> bool:
    """Whether a folder holds all of the evaluation of that key."""
    try:
        noted = json.loads((folder / "metrics.json").read_text("utf-8"))
        return noted["key"] == key and {path.name for path in folder.iterdir()} >= WRITTEN
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False  # absent or damaged: computed anew
