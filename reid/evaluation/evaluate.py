"""Evaluates a trained experiment: features once, then metrics, curves and ranked lists.

Reads   3-runs/<experiment>/train, and the data set's query and gallery rows
Writes  3-runs/<experiment>/evaluate: features.parquet (image_id, labels, feature), metrics.json,
        cmc.csv, ranked.parquet (each query's first gallery images and which of them match);
        for another data set than the experiment's own, or by another protocol:
        3-runs/<experiment>/evaluate-on-<data set>, .../evaluate-by-<protocol>
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from reid.code.published import differences
from reid.code.published import published as published_code
from reid.data.clips import Tracklets
from reid.data.clips import batches as clip_batches
from reid.data.dataset import Data
from reid.data.views import Batch, Views
from reid.evaluation import metrics
from reid.evaluation.distances import Comparison
from reid.evaluation.labels import Labels
from reid.evaluation.pooling import pooled
from reid.evaluation.protocol import Protocol, protocol_of
from reid.evaluation.single_shot import single_gallery_shot
from reid.experiments import Experiment
from reid.nn.weights import fill, read_state
from reid.papers.contract import Paper
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, read_object
from reid.project.locks import lock
from reid.project.progress import Meter, advance
from reid.project.publish import publishing
from reid.shards.folder import write_shard

CLIP_FRAMES = 256  # in a batch of test clips; more where one clip has more
RANKED = 10  # gallery images kept for each query
DESCRIBED = {"key": str, "params": dict, "people": list, "channel_mean": list}  # of a training
LABELS = ["image_id", "person", "camera", "train", "query", "gallery"]


def embed_views(
    paper: Paper[Any, Any], params: Any, network: nn.Module, views: Views, mean: Tensor,
    batch: int = 64,
) -> np.ndarray:  # fmt: skip
    """(N, D) float32 test features of prepared samples, in order."""
    was_training = network.training
    network.eval()
    order = np.array_split(np.arange(len(views.data)), max(1, -(-len(views.data) // batch)))
    batches: list[np.ndarray] = []
    with Meter("features", len(views.data), unit="images"):
        for rows, samples in views.batches(order):
            batches.append(embed(paper, params, network, samples, mean))
            advance(len(rows))
    network.train(was_training)
    return np.concatenate(batches)


def embed_data(
    paper: Paper[Any, Any], params: Any, network: nn.Module, views: Views, mean: Tensor
) -> tuple[Data, np.ndarray]:
    """Test features (N, D) and their rows: all rows, or of clips the first of each tracklet."""
    clips = paper.clips(params)
    if clips is None:
        return views.data, embed_views(paper, params, network, views, mean)
    was_training = network.training
    network.eval()
    tracklets = Tracklets.of(views.data)
    drawn = list(clip_batches(tracklets.test_clips(clips), CLIP_FRAMES))
    total: np.ndarray | None = None
    source = views.batches(rows.ravel() for rows, _ in drawn)
    with Meter("features", sum(rows.size for rows, _ in drawn), unit="frames"):
        for (rows, owner), (_, samples) in zip(drawn, source, strict=True):
            shaped = {name: values.unflatten(0, rows.shape) for name, values in samples.items()}
            feature = embed(paper, params, network, shaped, mean)
            total = np.zeros((len(tracklets), feature.shape[1])) if total is None else total
            np.add.at(total, owner, feature)
            advance(rows.size)
    network.train(was_training)
    assert total is not None  # a data set has rows, and each is of a tracklet
    count = np.bincount(np.concatenate([owner for _, owner in drawn]))[:, None]
    return tracklets.heads, (total / count).astype(np.float32)


def embed(
    paper: Paper[Any, Any], params: Any, network: nn.Module, samples: Batch, mean: Tensor
) -> np.ndarray:
    """(B, D) float32 test features of a batch of prepared samples; `network` is in eval mode."""
    kind = next(iter(samples.values())).device.type
    mixed = kind == "cuda" and params.precision == "auto"
    with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=mixed):
        ready = paper.normalize(params, samples, mean)
        return paper.embed(network, params, ready).float().cpu().numpy()


def mean_metrics(
    feature: np.ndarray, person: np.ndarray, camera: np.ndarray, distance: Any, parts: int = 1
) -> tuple[float, float]:
    """Rank-1 and mAP of features (N, D) searched among themselves, across cameras."""
    labels, protocol = Labels.of(person, camera, person, camera), Protocol(junk=(-1,))
    comparison = Comparison(distance, parts)
    result = metrics.evaluate(feature, feature, labels, protocol, comparison)
    return result.rank1, result.map


def training_key(experiment: Experiment, project: Project) -> str:
    """The key of the published training, see `Experiment.key`; empty where there is none."""
    try:
        described = description_of(experiment.name, project)
    except ReidError:  # damaged: what is there is of no training
        return ""
    return described["key"] if described else ""


def description_of(name: str, project: Project) -> dict[str, Any] | None:
    """What a training published of itself, None where there is none; `ReidError` if damaged."""
    path = project.run(name) / "train" / "experiment.json"
    return read_object(path, DESCRIBED, f"reid train {name}")


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
    network = experiment.paper.build(params, len(described["people"]))
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
        return experiment.paper.view(experiment.params, row["image"], row)

    views = Views(data, view, device, experiment.params.resident)
    return embed_data(experiment.paper, experiment.params, network, views, mean)


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


def device_of(device: str) -> torch.device:
    """The torch device of a name; `auto` is CUDA where there is one, else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        result = torch.device(device)
    except RuntimeError:
        raise ReidError(f"device: no `{device}` (there are auto, cpu, cuda)") from None
    if result.type == "cuda" and not torch.cuda.is_available():
        raise ReidError(f"device: `{device}`, but torch finds no CUDA device; use cpu")
    if result.type == "cuda" and (result.index or 0) >= torch.cuda.device_count():
        raise ReidError(f"device: no `{device}` (torch finds {torch.cuda.device_count()} of CUDA)")
    return result


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


def evaluate(
    experiment: Experiment, project: Project, *,
    device: str = "auto", dataset: str | None = None, protocol: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Extract features, score them by a protocol of the data set, publish. Returns the metrics.

    `dataset` names another data set than the experiment's own (a cross-domain test), `protocol`
    another protocol than the experiment's, or than the first of that other data set.
    """
    torch_device = device_of(device)
    _check_code(experiment, project)
    params = experiment.params
    data = experiment.open(project, dataset, protocol)
    _check_persons(experiment, project, data)
    tested, feature = compared_features(experiment, project, tested_rows(data), torch_device)
    query, gallery = (np.flatnonzero(tested.labels(role)) for role in ("query", "gallery"))
    described = data.protocol_in_force()
    in_force = protocol_of(described)
    person, camera = tested.labels("person"), in_force.view(tested.labels("camera"))
    labels = Labels.of(person[query], camera[query], person[gallery], camera[gallery])
    comparison = Comparison(params.distance, experiment.paper.feature_parts(params))
    sides = (feature[query], feature[gallery], labels)
    result = metrics.evaluate(*sides, in_force, comparison)
    first = metrics.ranked(*sides, min(RANKED, len(gallery)), in_force, comparison)
    scores = single_gallery_shot(*sides, in_force, comparison) if in_force.single_shot else result
    written = {
        "experiment": experiment.name, "paper": experiment.paper.name,
        "dataset": dataset or params.dataset, "dimensions": int(feature.shape[1]),
        "params": experiment.described(), "training": training_key(experiment, project),
        "code": experiment.test_code(project).fingerprint,
        **scores.as_dict(),
        "protocol": described.get("name", "default"), "single_gallery_shot": in_force.single_shot,
    }  # fmt: skip
    target = folder_of(experiment, project, dataset, protocol)
    name = f"{target.name}@{experiment.name}"
    with (
        lock(project.work / "locks" / name, f"evaluate {experiment.name}"),
        publishing(target, project.publishing / name) as folder,
    ):
        _write(folder, tested, feature, written)
        _write_ranked(folder, tested, query, gallery, first, result)
    return written


def _check_code(experiment: Experiment, project: Project) -> None:
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


def _check_persons(experiment: Experiment, project: Project, data: Data) -> None:
    """`ReidError` where the network was trained on persons that another protocol only tests on.

    Persons that are in both training and test of that protocol, as with passages, are allowed.
    """
    query = {*data.role("query").labels("person").tolist()}
    unseen = query - {*data.role("train").labels("person").tolist()}
    described = description_of(experiment.name, project)
    if described is None or data.rule == experiment.params.protocol:
        return
    trained = {*described["people"]}
    if seen := unseen & trained:
        raise ReidError(
            f"{experiment.name} was trained on {len(seen)} of the {len(query)} persons that "
            f"{data.rule} tests; train an experiment with `protocol: {data.rule}`"
        )


def feature_table(labels: pa.Table, feature: np.ndarray) -> pa.Table:
    """A table of label columns with (N, D) features appended as the column `feature`."""
    values = pa.array(feature.astype(np.float32).ravel())
    column = pa.FixedSizeListArray.from_arrays(values, feature.shape[1])
    return labels.append_column("feature", column)


def _write(folder: Path, data: Data, feature: np.ndarray, written: dict[str, Any]) -> None:
    write_shard(folder / "features.parquet", feature_table(data.rows.select(LABELS), feature), {})
    (folder / "metrics.json").write_bytes(as_json(written))
    with (folder / "cmc.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rank", "share"])
        writer.writerows((i + 1, f"{share:.6f}") for i, share in enumerate(written["cmc"]))


def _write_ranked(
    folder: Path, tested: Data, query: np.ndarray, gallery: np.ndarray,
    first: np.ndarray, result: metrics.Result,
) -> None:  # fmt: skip
    """Write each query's nearest gallery entries `first` (Q, k); `query`, `gallery` are rows."""
    ids = np.array(tested.rows["image_id"].to_pylist(), dtype=object)
    person, rows = tested.labels("person"), []
    for i, order in enumerate(first):
        chosen = gallery[order[order >= 0]]
        rows.append(
            {
                "query": ids[query[i]],
                "gallery": ids[chosen].tolist(),
                "match": (person[chosen] == person[query[i]]).tolist(),
                "average_precision": float(result.query_average_precision[i]),
                "first_match": int(result.query_first_rank[i]),
            }
        )
    write_shard(folder / "ranked.parquet", pa.Table.from_pylist(rows), {})
