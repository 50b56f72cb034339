"""Clips that networks are shown in the report: which frames, and what a network makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from reid import experiments
from reid.arrays import images
from reid.data.clips import Tracklets
from reid.evaluation.features import trained_network
from reid.experiments import Experiment
from reid.look import attention_maps
from reid.papers import paper_of
from reid.project.errors import ReidError
from reid.project.params import check
from reid.report.blocks import Row, Shot, jpeg
from reid.results.built import Run, Runs

SHOWN_PX = 192  # height of a frame


@dataclass(frozen=True)
class Clip:
    """The first frames of a query's tracklet."""

    ids: list[str]  # image_id of each frame
    frames: list[int]  # their numbers
    told: str  # whose tracklet it is


def experiment_of(runs: Runs, run: Run) -> Experiment | None:
    """A run's experiment as it was trained; None where that was not on the data as built now."""
    if run.trained is None or not (run.folder / "train" / "model.safetensors").is_file():
        return None
    try:
        params = check(experiments.params_model(run.paper), run.trained["params"], run.name)
        experiment = Experiment(run.name, paper_of(run.paper), params)
        current = experiment.key(runs.built.project) == run.trained["key"]
    except (ReidError, KeyError):  # a parameter or a build that is there no more
        return None
    return experiment if current else None


def of_a_query(runs: Runs, experiment: Experiment, length: int) -> Clip | None:
    """The first frames of the middle query's tracklet, of those that are long enough.

    None without queries. Where all tracklets are shorter, the whole of a longest one.
    """
    queries = experiment.open(runs.built.project).role("query")
    if not len(queries):
        return None
    found = Tracklets.of(queries)
    long = np.flatnonzero(found.count >= min(length, found.count.max()))
    number = long[len(long) // 2]
    first = found.first[number]
    shown = found.rows[first : first + min(length, found.count[number])]
    rows = queries.choose(shown).rows.to_pylist()
    told = ", ".join(f"{name} {rows[0][name]}" for name in ("person", "camera", "tracklet"))
    return Clip([row["image_id"] for row in rows], [row["frame"] for row in rows], told)


def prepared(
    runs: Runs, experiment: Experiment, clip: Clip
) -> tuple[nn.Module, dict[str, Tensor], dict[str, np.ndarray]] | None:
    """The trained network, the normalised clip (1, T, ...), and its views (T, h, w, c) before.

    None where the experiment's rows lack a frame of the clip.
    """
    project, method, params = runs.built.project, experiment.method, experiment.params
    data = experiment.open(project)
    place = {image_id: i for i, image_id in enumerate(data.rows["image_id"].to_pylist())}
    if not set(clip.ids) <= set(place):
        return None
    network, mean, _ = trained_network(experiment, project, torch.device("cpu"))
    rows = data.__getitems__([place[image_id] for image_id in clip.ids])
    each = [method.view(params, row["image"], row) for row in rows]
    views = {name: np.stack([view[name] for view in each]) for name in each[0]}
    batch = {name: torch.from_numpy(view)[None] for name, view in views.items()}
    return network, method.normalize(params, batch, mean), views


# -- pictures --------------------------------------------------------------------------------


def frames_of(runs: Runs, clip: Clip) -> list[np.ndarray]:
    """The clip's frames, all of one size."""
    positions = [runs.built.positions[image_id] for image_id in clip.ids]
    found: list[Any] = runs.built.data.values("image", positions)
    width = max(1, round(SHOWN_PX * found[0].shape[1] / found[0].shape[0]))
    return [images.resize(image, SHOWN_PX, width) for image in found]


def heat(frames: list[np.ndarray], weights: np.ndarray) -> list[np.ndarray]:
    """Weights (T, h, w) as colours over T frames of one size; one range of colours for all."""
    height, width = frames[0].shape[:2]
    fitted = [cv2.resize(w, (width, height), interpolation=cv2.INTER_LINEAR) for w in weights]
    strip = attention_maps.overlay(np.concatenate(frames), np.concatenate(fitted))
    return np.split(strip, len(frames))


def row(
    title: str, shown: list[np.ndarray], clip: Clip, labels: list[str] | None = None, note: str = ""
) -> Row:
    """Pictures of a clip's frames side by side."""
    each = zip(shown, clip.ids, labels or [""] * len(shown), strict=True)
    shots = [Shot(jpeg(image), f"{image_id}, {title}", label) for image, image_id, label in each]
    return Row(title, shots, note)
