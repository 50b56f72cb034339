"""Test features of a trained network: of rows, clips and passages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from reid.data.clips import Clips, Tracklets
from reid.data.clips import batches as clip_batches
from reid.data.dataset import Data
from reid.data.views import Batch, Views
from reid.evaluation.pooling import pooled
from reid.evaluation.trained import description_of
from reid.experiments import Experiment
from reid.nn.weights import fill, read_state
from reid.papers.contract import Method
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.project.progress import Meter, advance

CLIP_FRAMES = 256  # in a batch of test clips; more where one clip has more


def embed_views(
    method: Method[Any, Any], params: Any, network: nn.Module, views: Views, mean: Tensor,
    batch: int = 64,
) -> np.ndarray:  # fmt: skip
    """(N, D) float32 test features of prepared samples, in order."""
    was_training = network.training
    network.eval()
    order = np.array_split(np.arange(len(views.data)), max(1, -(-len(views.data) // batch)))
    batches: list[np.ndarray] = []
    with Meter("features", len(views.data), unit="images"):
        for rows, samples in views.batches(order):
            batches.append(embed(method, params, network, samples, mean))
            advance(len(rows))
    network.train(was_training)
    return np.concatenate(batches)


def embed_data(
    method: Method[Any, Any], params: Any, network: nn.Module, views: Views, mean: Tensor,
    clips: Clips | None,
) -> tuple[Data, np.ndarray]:  # fmt: skip
    """Test features (N, D) and their rows: all rows, or of clips the first of each tracklet."""
    if clips is None:
        return views.data, embed_views(method, params, network, views, mean)
    was_training = network.training
    network.eval()
    tracklets = Tracklets.of(views.data)
    drawn = list(clip_batches(tracklets.test_clips(clips), CLIP_FRAMES))
    total: np.ndarray | None = None
    source = views.batches(rows.ravel() for rows, _ in drawn)
    with Meter("features", sum(rows.size for rows, _ in drawn), unit="frames"):
        for (rows, owner), (_, samples) in zip(drawn, source, strict=True):
            shaped = {name: values.unflatten(0, rows.shape) for name, values in samples.items()}
            feature = embed(method, params, network, shaped, mean)
            total = np.zeros((len(tracklets), feature.shape[1])) if total is None else total
            np.add.at(total, owner, feature)
            advance(rows.size)
    network.train(was_training)
    assert total is not None  # a data set has rows, and each is of a tracklet
    count = np.bincount(np.concatenate([owner for _, owner in drawn]))[:, None]
    return tracklets.heads, (total / count).astype(np.float32)


def embed(
    method: Method[Any, Any], params: Any, network: nn.Module, samples: Batch, mean: Tensor
) -> np.ndarray:
    """(B, D) float32 test features of a batch of prepared samples; `network` is in eval mode."""
    kind = next(iter(samples.values())).device.type
    mixed = kind == "cuda" and params.precision == "auto"
    with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=mixed):
        ready = method.normalize(params, samples, mean)
        return method.embed(network, params, ready).float().cpu().numpy()


def trained_network(
    experiment: Experiment, project: Project, device: torch.device
) -> tuple[nn.Module, Tensor, dict[str, Any]]:
    """The published network of an experiment, its channel means and its description."""
    folder = project.run(experiment.name) / "train"
    described = description_of(experiment.name, project)
    if described is None:
        raise ReidError(f"{folder}: not trained yet; run `reid train {experiment.name}`")
    if any(described["params"].get(k) != v for k, v in experiment.trained().items()):
        raise ReidError(
            f"{folder}: was trained with other parameters than params.yaml has now; "
            f"run `reid train {experiment.name}`"
        )
    params = experiment.params.model_copy(update={"weights": ""})  # these are in the network now
    network = experiment.method.build(params, len(described["people"]))
    weights = folder / "model.safetensors"
    fill(network, read_state(weights), weights, experiment.name)
    mean = torch.tensor(described["channel_mean"], device=device)
    return network.to(device).eval(), mean, described


def features(
    experiment: Experiment, project: Project, data: Data, device: torch.device
) -> tuple[Data, np.ndarray]:
    """Test features (N, D) by the published network, and their rows.

    The rows are all of `data`, or where a paper's samples are clips, the first of each tracklet.
    """
    network, mean, _ = trained_network(experiment, project, device)

    def view(row: dict[str, Any]) -> dict[str, np.ndarray]:
        return experiment.method.view(experiment.params, row["image"], row)

    views = Views(data, view, device, experiment.params.resident)
    clips = experiment.paper.clips(experiment.params)
    return embed_data(experiment.method, experiment.params, network, views, mean, clips)


def tested_rows(data: Data) -> Data:
    """The rows that are queries or in the gallery."""
    return data.choose(data.labels("query").astype(bool) | data.labels("gallery").astype(bool))


def compared_features(
    experiment: Experiment, project: Project, tested: Data, device: torch.device
) -> tuple[Data, np.ndarray]:
    """The features that an evaluation compares, and their rows: as `features`, pooled if asked."""
    tested, feature = features(experiment, project, tested, device)
    pool = experiment.paper.pool(experiment.params)
    return (tested, feature) if pool == "none" else pool_passages(tested, feature, pool)


def pool_passages(data: Data, feature: np.ndarray, pool: str) -> tuple[Data, np.ndarray]:
    """One feature a passage, the `mean` or `max` of its images' (N, D), beside its first row.

    A passage is a tracklet of one person in one camera; without tracklets, all images of a person
    in a camera.
    """
    labels = [data.labels(n) for n in ("person", "camera", "tracklet", "query", "gallery")]
    feature, first = pooled(feature, labels, pool)
    return data.choose(first), feature


def feature_table(labels: pa.Table, feature: np.ndarray) -> pa.Table:
    """A table of label columns with (N, D) features appended as the column `feature`."""
    values = pa.array(feature.astype(np.float32).ravel())
    column = pa.FixedSizeListArray.from_arrays(values, feature.shape[1])
    return labels.append_column("feature", column)
